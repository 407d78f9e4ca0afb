"""Strict scoring of short answers: functions over plain strings, then the adapters that the tasks name.

An answer is the completion alone, never the prompt. It is compared with every alias of the gold answer and
the best comparison counts; an empty answer is wrong whatever the aliases are. All scores lie in 0..1.

The rules and where they come from:
- case, articles, punctuation, white space, exact match, token F1: SQuAD's script (Rajpurkar et al., 2016);
- punctuation separates words (Jean-Luc = Jean Luc): TriviaQA's script (Joshi et al., 2017); apostrophes and
  full stops join them (O'Neill = ONeill, U.S. = US): SQuAD's;
- the decimal point and the sign of a number stay, trailing zeros of a fraction go (3.50 = 3.5, and not 35):
  DROP's script (Dua et al., 2019);
- zero..ten are digits: the VQA script (Antol et al., 2015);
- yes and no match as whole answers only: HotpotQA's script (Yang et al., 2018);
- kick's own: compatibility forms (NFKD) and accents on letters are folded (Beyoncé = Beyonce), `&` is `and`,
  an article stays where nothing else is left (The The), and a + or # stays that ends a word of one or two letters
  (C++; the grade A+ is not the article a, which TriviaQA's script makes of it).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

ARTICLES = frozenset({"a", "an", "the"})
VERDICTS = frozenset({"yes", "no", "noanswer"})
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {word: str(value) for value, word in enumerate(NUMBERS)}

# An answer declines if it begins with one of the first or is one of the second (articles kept).
ABSTENTIONS = (
    "i do not know",
    "i dont know",
    "do not know",
    "dont know",
    "i am not sure",
    "im not sure",
    "not sure",
    "i have no idea",
    "no idea",
    "i cannot",
    "i can not",
    "i cant",
    "cannot be determined",
    "it is unknown",
    "it is not known",
    "there is no answer",
    "not enough information",
)
BARE_ABSTENTIONS = (
    "unknown",
    "not known",
    "unanswerable",
    "no answer",
    "not mentioned",
    "not given",
    "n a",
    "none",
)

_COMBINING = re.compile("[\u0300-\u036f]")  # accents; the vowel signs of other scripts lie elsewhere
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_JOINING = re.compile(r"['\u2018\u2019`\u00b4\u02bb\u02bc]|(?<!\d)\.|\.(?!\d)")
_SIGNED = re.compile(r"(?<!\w)[^\W\d_]{1,2}([+#]+)(?!\w)")  # A+, AB+, C++, F#
_FRACTION = re.compile(r"(-?\d+)\.(\d*?)0*")


# --- strings ---


def normalize(text: str) -> str:
    """The normal form of an answer: lower-case words, single spaces between; "" without a letter or digit.

    Idempotent. The rules stand at the top of this module.
    """
    return " ".join(tokens(text))


def tokens(text: str) -> list[str]:
    """The words of the normal form."""
    return list(_tokens(text))


def is_empty(answer: str) -> bool:
    """Whether there is no letter or digit in it."""
    return not tokens(answer)


def exact_match(answer: str, aliases: Sequence[str]) -> float:
    """1.0 if the normal form is that of an alias, else 0.0."""
    given = tokens(answer)
    return float(bool(given) and any(given == tokens(alias) for alias in aliases))


def token_f1(answer: str, aliases: Sequence[str]) -> float:
    """The harmonic mean of precision and recall over the bags of words; of the alias that fits best."""
    given = tokens(answer)
    return max((_f1(given, tokens(alias)) for alias in aliases), default=0.0)


def contains_alias(answer: str, aliases: Sequence[str]) -> float:
    """1.0 if the words of an alias stand in the answer, whole and in a row; "Iran" is not in "Mirandas".

    An alias that is yes or no must be the first word of the answer.
    """
    given = tokens(answer)
    return float(any(_contains(given, tokens(alias)) for alias in aliases))


def is_abstention(answer: str) -> bool:
    """Whether the answer declines to answer ("I don't know", "unknown", "cannot be determined")."""
    words = " ".join(_all_words(answer))
    return words in BARE_ABSTENTIONS or any(f"{words} ".startswith(f"{phrase} ") for phrase in ABSTENTIONS)


def gold_in_question(question: str, aliases: Sequence[str]) -> bool:
    """Whether an alias stands in the question itself, so that repeating the question finds it.

    Yes and no do not count: a question does not give them away.
    """
    words = tokens(question)
    golds = [tokens(alias) for alias in aliases]
    return any(_contains(words, gold) for gold in golds if not VERDICTS.issuperset(gold))


def score(answer: str, aliases: Sequence[str], question: str) -> dict[str, float]:
    """Every metric of a short answer.

    Returns:
        exact_match, f1 and contains in 0..1; and as flags that are 0.0 or 1.0: empty, abstention (which a
        right answer is not) and gold_in_question.
    """
    right = exact_match(answer, aliases)
    return {
        "exact_match": right,
        "f1": token_f1(answer, aliases),
        "contains": contains_alias(answer, aliases),
        "empty": float(is_empty(answer)),
        "abstention": float(not right and is_abstention(answer)),
        "gold_in_question": float(gold_in_question(question, aliases)),
    }


@lru_cache(maxsize=2**16)  # every metric, and every checkpoint, normalises the same aliases again
def _tokens(text: str) -> tuple[str, ...]:
    words = _all_words(text)
    without_articles = [word for word in words if word not in ARTICLES]
    return tuple(DIGITS.get(word, word) for word in without_articles or words)


def _fold(text: str) -> str:
    """Fold compatibility forms, accents and case, to a fixed point: folding can expose more to fold."""
    while True:
        folded = unicodedata.normalize("NFKD", text).casefold()
        folded = unicodedata.normalize("NFKC", _COMBINING.sub("", folded))
        if folded == text:
            return text
        text = folded


def _all_words(text: str) -> list[str]:
    """The folded words, articles and number words among them."""
    text = _fold(text).replace("&", " and ")
    text = _THOUSANDS.sub("", _DASHES.sub("-", text))
    return [word for piece in _JOINING.sub("", text).split() for word in _words(piece)]


def _words(piece: str) -> list[str]:
    """Split a piece at what is neither letter, mark nor digit, but keep the signs and points of numbers and names."""
    signs = {at for match in _SIGNED.finditer(piece) for at in range(*match.span(1))}
    kept = "".join(
        char if char in "-." or at in signs or unicodedata.category(char)[0] in "LMN" else " "
        for at, char in enumerate(piece)
    )
    words = []
    for part in kept.split():
        sign = "-" if re.match(r"-\d", part) else ""
        halves = [half for half in part.split("-") if half]
        words += [_number((sign if position == 0 else "") + half) for position, half in enumerate(halves)]
    return words


def _number(word: str) -> str:
    match = _FRACTION.fullmatch(word)
    if match is None:
        return word
    whole, fraction = match.groups()
    return f"{whole}.{fraction}" if fraction else whole


def _f1(given: list[str], gold: list[str]) -> float:
    if not given or not gold:
        return 0.0
    if given != gold and any(len(side) == 1 and side[0] in VERDICTS for side in (given, gold)):
        return 0.0
    common = sum((Counter(given) & Counter(gold)).values())
    return 2 * common / (len(given) + len(gold))


def _contains(words: list[str], gold: list[str]) -> bool:
    if not gold:
        return False
    if len(gold) == 1 and gold[0] in VERDICTS:
        return words[:1] == gold
    return any(words[start : start + len(gold)] == gold for start in range(len(words) - len(gold) + 1))


# --- adapters: lm-eval's process_results(doc, results) ---


def freebaseqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of FreebaseQA: `answers` holds the aliases."""
    return score(results[0], doc["answers"], doc["question"])


popqa = webquestions = nq_gold = world = freebaseqa  # the same fields


def nq_open(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of NQ-open: `answer` holds the aliases."""
    return score(results[0], doc["answer"], doc["question"])


def triviaqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of TriviaQA: `answer` holds the value and its aliases.

    Their published normal forms are left out: some are empty or a lone letter, which the aliases themselves are not.
    """
    answer = doc["answer"]
    aliases = dict.fromkeys([answer["value"], *answer["aliases"]])
    return score(results[0], list(aliases), doc["question"])


def squad(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of SQuAD: `answers.text` holds the annotators' answers."""
    return score(results[0], doc["answers"]["text"], doc["question"])


def hotpotqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of HotpotQA or 2WikiMultihopQA: one `answer`."""
    return score(results[0], [doc["answer"]], doc["question"])


def musique(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of MuSiQue: `answer` and `answer_aliases`."""
    return score(results[0], [doc["answer"], *doc["answer_aliases"]], doc["question"])
