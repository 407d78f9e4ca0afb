"""Text to comparable words: the normal form that every rule over short answers starts from.

The rules and where they come from:

- case, articles, punctuation, white space: SQuAD's script (Rajpurkar et al., 2016);
- punctuation separates words (Jean-Luc = Jean Luc): TriviaQA's script (Joshi et al., 2017); apostrophes and
  full stops join them (O'Neill = ONeill, U.S. = US): SQuAD's;
- the decimal point and the sign of a number stay, trailing zeros of a fraction go (3.50 = 3.5, and not 35):
  DROP's script (Dua et al., 2019);
- number words are digits: the VQA script (Antol et al., 2015), extended in `kick.metrics.numbers` to any cardinal or
  ordinal, per cent and units;
- kick's own: compatibility forms (NFKD) and accents are folded (Beyoncé = Beyonce), Latin letters that do not
  decompose are transliterated by anyascii (ø, ł, æ, đ, ß), `&` is `and`, an article stays if nothing else is left
  (The The), a + or # stays that ends a word of one or two letters (C++; the grade A+), Han and Kana are one word per
  character because they are written without spaces, initials join (J. R. R. = JRR), St. is Saint and Mt. is Mount
  before another word.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from anyascii import anyascii

from kick.metrics.numbers import join_numbers, split_unit

ARTICLES = frozenset({"a", "an", "the"})
TITLES = {"st": "saint", "ste": "sainte", "mt": "mount", "ft": "fort"}
LONGEST_MONOGRAM = 6

_COMBINING = re.compile(
    "[\u0300-\u036f]"
)  # accents; the vowel signs of other scripts have code points elsewhere
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_JOINING = re.compile(r"['\u2018\u2019`\u00b4\u02bb\u02bc]|(?<!\d)\.|\.(?!\d)")
_SIGNED = re.compile(r"(?<!\w)[^\W\d_]{1,2}([+#]+)(?!\w)")  # A+, AB+, C++, F#
_FRACTION = re.compile(r"(-?\d+)\.(\d*?)0*")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_INITIAL = re.compile(r"[a-z]")


@dataclass(frozen=True)
class Word:
    """One word of a text, with what the rules of containment ask about its surroundings."""

    # The word of the normal form.
    form: str
    # The same word before numbers, units and titles were rewritten.
    raw: str
    # Whether it begins with a capital in the text.
    capital: bool = False
    # The punctuation between the previous word and this one.
    before: str = ""
    # Whether a full stop follows it directly, as an initial has it.
    dotted: bool = False


def words(text: str) -> tuple[Word, ...]:
    """Return the words of the normal form of *text*, in order, with their surroundings."""
    return _words(text)


def tokens(text: str) -> list[str]:
    """Return the words of the normal form as plain strings."""
    return [word.form for word in _words(text)]


def normalize(text: str) -> str:
    """Return the normal form: lower-case words with single spaces; "" without a letter or digit. Idempotent."""
    return " ".join(tokens(text))


def plain_words(text: str) -> list[str]:
    """Return the folded words with articles kept and numbers as they are written."""
    return [word.raw for word in _raw_words(text)]


def is_empty(answer: str) -> bool:
    """Return whether *answer* has no letter or digit."""
    return not _words(answer)


def word_set(text: str) -> frozenset[str]:
    """Return the words of a list that is written with spaces between them."""
    return frozenset(text.split())


# Every metric, and every checkpoint, normalises the same aliases again.
@lru_cache(maxsize=2**16)
def _words(text: str) -> tuple[Word, ...]:
    current: Sequence[Word] = _raw_words(text)
    while True:
        reduced = _without_articles(_titles(_initials(_numbers(current))))
        if [word.form for word in reduced] == [word.form for word in current]:
            return tuple(reduced)
        current = reduced


# The normal form and the plain words of an answer both begin with these.
@lru_cache(maxsize=2**14)
def _raw_words(text: str) -> tuple[Word, ...]:
    result: list[Word] = []
    pending = ""
    for piece in text.split():
        forms = [form for part in _fold_piece(piece).split() for form in _forms(part)]
        if not forms:
            pending += piece
            continue
        lead = piece[: _first_letter(piece)]
        trail = re.search(r"[^\w]*$", piece)
        for position, form in enumerate(forms):
            first = position == 0
            result.append(
                Word(
                    form=form,
                    raw=form,
                    capital=first and piece[_first_letter(piece) : _first_letter(piece) + 1].isupper(),
                    before=pending + lead if first else ("/" if "/" in piece else ""),
                    dotted=len(forms) == 1 and piece.endswith("."),
                )
            )
        pending = trail.group() if trail else ""
    return tuple(result)


def _first_letter(piece: str) -> int:
    return next((at for at, char in enumerate(piece) if char.isalnum()), len(piece))


def _fold_piece(piece: str) -> str:
    text = _THOUSANDS.sub("", _DASHES.sub("-", _fold(piece).replace("&", " and ")))
    return _UNSPACED.sub(r" \g<0> ", _JOINING.sub("", text))


def _fold(text: str) -> str:
    """Fold compatibility forms, accents, Latin letters and case, to a fixed point: folding can expose more to fold."""
    while True:
        folded = unicodedata.normalize("NFKD", text).casefold()
        folded = unicodedata.normalize("NFKC", _COMBINING.sub("", folded))
        folded = "".join(_latin(char) for char in folded)
        if folded == text:
            return text
        text = folded


def _latin(char: str) -> str:
    """Return the ASCII letters of a Latin letter (ø, ł, æ, đ, þ); any other character as it is."""
    if char.isascii() or not char.isalpha() or not unicodedata.name(char, "").startswith("LATIN"):
        return char
    return anyascii(char).casefold() or char


def _forms(piece: str) -> list[str]:
    """Split a piece at what is neither letter, mark nor digit; keep the signs and points of numbers and names."""
    signs = {at for match in _SIGNED.finditer(piece) for at in range(*match.span(1))}
    cleaned = "".join(
        char if char in "-." or at in signs or unicodedata.category(char)[0] in "LMN" else " "
        for at, char in enumerate(piece)
    )
    forms = []
    for part in cleaned.split():
        sign = "-" if re.match(r"-\d", part) else ""
        halves = [half for half in part.split("-") if half]
        for position, half in enumerate(halves):
            number = _number((sign if position == 0 else "") + half)
            forms += split_unit(number)
    return forms


def _number(word: str) -> str:
    match = _FRACTION.fullmatch(word)
    if match is None:
        return word
    whole, fraction = match.groups()
    return f"{whole}.{fraction}" if fraction else whole


def _numbers(given: Sequence[Word]) -> list[Word]:
    joined = join_numbers([word.form for word in given])
    return [_join(given[start:stop], form) for form, start, stop in joined]


def _initials(given: Sequence[Word]) -> list[Word]:
    """Join initials that follow each other (J. R. R.); a lone `a` without a full stop is the article."""
    result: list[Word] = []
    start = 0
    while start < len(given):
        stop = start
        while stop < len(given) and stop - start < LONGEST_MONOGRAM and _is_initial(given[stop]):
            stop += 1
        stop = max(stop, start + 1)
        result.append(_join(given[start:stop], "".join(word.form for word in given[start:stop])))
        start = stop
    return result


def _is_initial(word: Word) -> bool:
    return _INITIAL.fullmatch(word.form) is not None and (word.form not in ARTICLES or word.dotted)


def _titles(given: Sequence[Word]) -> list[Word]:
    last = len(given) - 1
    return [
        _join([word], TITLES.get(word.form, word.form) if at < last else word.form)
        for at, word in enumerate(given)
    ]


def _without_articles(given: Sequence[Word]) -> list[Word]:
    rest: list[Word] = []
    before = ""
    for word in given:
        if word.form in ARTICLES:
            before += word.before
        else:
            rest.append(_with_before(word, before))
            before = ""
    return rest or list(given)


def _with_before(word: Word, before: str) -> Word:
    if not before:
        return word
    return Word(word.form, word.raw, word.capital, before + word.before, word.dotted)


def _join(group: Sequence[Word], form: str) -> Word:
    first = group[0]
    if len(group) == 1 and form == first.form:
        return first
    raw = first.raw if len(group) == 1 else " ".join(word.raw for word in group)
    return Word(form, raw, first.capital, first.before, group[-1].dotted)
