"""Does an answer give the gold answer? Whole words in a row, given as the answer and not merely mentioned.

A mention is no answer if it is
- denied: "not Paris but Lyon";
- one of several alternatives: "Paris or Lyon", five cities in a row;
- part of a longer name: "New York Times" for New York, "New York" for York;
- the pronoun one: "The one who" for 1;
- part of the question given back;
- named after another option of the question, if the question itself names its answer: the first option named is the
  answer to "Is the Elbe or the Rhine longer?".

Known limits: Chinese and Japanese are compared by characters, so 京都 is found in 东京都; units are not converted; an
answer in another language than the aliases is wrong.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kick.metrics.names import is_country, variants
from kick.metrics.numbers import dates, is_number, whole_date
from kick.metrics.words import Word, plain_words, word_set, words

VERDICTS = frozenset({"yes", "no", "noanswer"})

_NEGATIONS = word_set(
    "not never neither nor without except unlike isnt wasnt arent werent doesnt didnt dont cannot cant wont"
)
_NEGATION_REACH = 3
# "not only Paris", "not until 1945" affirm what follows.
_AFFIRMING = frozenset({"only", "until", "till", "just", "but"})
_PAIRED = frozenset({("rather", "than"), ("instead", "of"), ("other", "than"), ("apart", "from")})
_STOPS = re.compile(r"[.!?;:]")
_CONJUNCTIONS = frozenset({"and", "or"})
# Words that may surround an answer in a sentence without making it another name.
_FUNCTION_WORDS = word_set(
    "it is was are were be been being the a an in on at of to from by for with as that this these those "
    "they he she we i you his her its their there answer answers correct right would might may could "
    "probably maybe perhaps likely think believe named called city town country state who which also "
    "known either both following include includes including"
)
# A name with one of these before it is another name: New York, North Korea.
_RENAMING = word_set("new north south east west northern southern eastern western upper lower anti non un")
# A name with one of these after it is still the same name: New York City, Mississippi River.
_GENERIC = word_set(
    "river city county state province island islands sea lake ocean desert mountain mountains valley "
    "canyon peninsula street avenue road kingdom republic empire dynasty jr sr inc ltd llc plc corp co "
    "corporation company limited band movie film song album novel book series show football soccer fc "
    "university college airport station bridge bay gulf mr mrs ms dr sir lord lady king queen prince "
    "president bc ad ce bce us usa uk and or"
)
_PRONOUN_BEFORE = frozenset(["the", "this", "that", "which", "no", "any", "every", "another", "each", "some"])
_PRONOUN_AFTER = frozenset(["who", "of", "which", "that", "whose", "thing", "day"])
_LONG_LIST, _LIST = 4, 3
_LIST_ITEM = 5
_QUESTION = 4
_LEAD_INS = re.compile(
    r"^(?:(?:so|well|ok|okay|sure|yes|final|short|the|my|correct|a|i|think|believe|guess|say|would|that|it|s|answer|is|was)"
    r" )*?(?:answer is |answer |it is |i think |i believe |i would say |would be )"
)


@dataclass(frozen=True)
class _Hit:
    """The words [start, stop) of an answer that write an alias."""

    start: int
    stop: int


def contains(answer: str, aliases: Sequence[str], question: str = "") -> bool:
    """Return whether *answer* gives one of the aliases as its answer; the rules are at the top of this module.

    Args:
        answer: the completion alone.
        aliases: the right answers; an alias that is yes or no must be the verdict that the answer opens with.
        question: the question, so its repetition and its options are told from an answer.
    """
    given = words(answer)
    if not given:
        return False
    if any(_verdict(alias) for alias in aliases) and _gives_verdict(answer, aliases):
        return True
    named = [alias for alias in aliases if not _verdict(alias)]
    if any(_gives_date(answer, alias) for alias in named):
        return True
    hits = [hit for alias in named for hit in _find(given, variants(alias))]
    repeated = _repeated_question(given, question)
    hits = [
        hit
        for hit in hits
        if not any(start <= hit.start and hit.stop <= stop for start, stop in repeated)
        and not _is_pronoun(given, hit)
        and not _is_longer_name(given, hit)
        and not _is_denied(given, hit)
    ]
    if not hits:
        return False
    options = [
        hit
        for hit in _find(given, other_options(question, tuple(named)))
        if not any(start <= hit.start and hit.stop <= stop for start, stop in repeated)
    ]
    if options and min(hit.start for hit in options) < min(hit.start for hit in hits):
        denied = [_is_denied(given, hit) for hit in options if hit.start < min(h.start for h in hits)]
        if not all(denied):
            return False
    return any(not _is_one_of_several(given, hit, hits) for hit in hits)


def names_gold(question: str, aliases: Sequence[str]) -> bool:
    """Return whether an alias is in the question itself. Yes and no do not count: no question gives them away."""
    given = words(question)
    return any(_find(given, variants(alias)) for alias in aliases if not _verdict(alias))


@lru_cache(maxsize=2**14)
def other_options(question: str, aliases: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the options of a comparison question that are not its answer, as words of the normal form.

    A question has options if it names its answer next to "or", "and" or a comma ("Who is older, Ann Lee or Bo?"). The
    other option is the text on the other side, up to a comma, the end, or a word that opens a clause.
    """
    given = words(question)
    hits = [hit for alias in aliases for hit in _find(given, variants(alias))]
    if not hits:
        return ()
    hit = max(hits, key=lambda each: each.stop - each.start)
    options = []
    before = given[: hit.start]
    after = given[hit.stop :]
    if before and before[-1].form in _CONJUNCTIONS:
        options.append(_option_before(before[:-1]))
    if after and after[0].form in _CONJUNCTIONS:
        options.append(_option_after(after[1:]))
    for at, word in enumerate(after[:_LIST_ITEM]):
        # Words that belong to the named option but not to the alias: "Gimme Shelter, the 1970 film, or ...".
        if word.form in _CONJUNCTIONS and at and not options:
            options.append(_option_after(after[at + 1 :]))
    gold = {form for alias in aliases for forms in variants(alias) for form in forms}
    return tuple(option for option in options if option and not set(option) <= gold)


def _option_before(given: Sequence[Word]) -> tuple[str, ...]:
    """Return the option that ends here: back to a comma or to where the capitals begin."""
    start = len(given)
    while start > 0 and len(given) - start < 8:
        start -= 1
        if given[start].before.strip(" \"'“”("):
            break
    chosen = list(given[start:])
    capitals = [at for at, word in enumerate(chosen) if word.capital or is_number(word.form)]
    if not given[start].before.strip(" \"'“”(") and capitals:
        chosen = chosen[capitals[0] :]
        lower = [
            at for at, word in enumerate(chosen) if not word.capital and word.form not in _FUNCTION_WORDS
        ]
        chosen = chosen[lower[-1] + 1 :] if lower and lower[-1] + 1 < len(chosen) else chosen
    return tuple(word.form for word in chosen)


def _option_after(given: Sequence[Word]) -> tuple[str, ...]:
    stop = 0
    while stop < len(given) and stop < 8 and (stop == 0 or not given[stop].before.strip(" \"'“”(")):
        stop += 1
    chosen = list(given[:stop])
    if any(word.capital for word in chosen):
        last = max(at for at, word in enumerate(chosen) if word.capital or is_number(word.form))
        chosen = chosen[: last + 1]
    return tuple(word.form for word in chosen)


def named_options(question: str, aliases: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a comparison question, its answer among them, in the order in which it names them."""
    gold = tuple(alias for alias in aliases if not _verdict(alias))
    others = other_options(question, gold)
    if not others:
        return ()
    given = words(question)
    placed = [(hit.start, alias) for alias in gold for hit in _find(given, variants(alias))][:1]
    placed += [(hit.start, " ".join(option)) for option in others for hit in _find(given, [option])[:1]]
    return tuple(text for _, text in sorted(placed))


def is_comparison(question: str, aliases: Sequence[str]) -> bool:
    """Return whether the question offers options, its answer among them."""
    return bool(other_options(question, tuple(alias for alias in aliases if not _verdict(alias))))


def _verdict(alias: str) -> bool:
    forms = [word.form for word in words(alias)]
    return len(forms) == 1 and forms[0] in VERDICTS


def _gives_verdict(answer: str, aliases: Sequence[str]) -> bool:
    """Return whether the answer opens with the verdict, "The answer is" and the like apart."""
    text = " ".join(plain_words(answer))
    opening = _LEAD_INS.sub("", text).split()[:1] or [""]
    return any(
        _verdict(alias) and words(alias)[0].form in (opening[0], text.split(" ")[0]) for alias in aliases
    )


def _gives_date(answer: str, alias: str) -> bool:
    gold = whole_date(alias)
    return bool(gold) and any(date.tells(each) for date in dates(answer) for each in gold)


def _find(given: Sequence[Word], wanted: Sequence[tuple[str, ...]]) -> list[_Hit]:
    forms = tuple(word.form for word in given)
    return [
        _Hit(start, start + len(gold))
        for gold in wanted
        if gold
        for start in range(len(forms) - len(gold) + 1)
        if forms[start] == gold[0] and forms[start : start + len(gold)] == gold
    ]


def _repeated_question(given: Sequence[Word], question: str) -> list[tuple[int, int]]:
    """Return the ranges of the answer that give the question back, whole."""
    forms = tuple(word.form for word in words(question))
    if len(forms) < _QUESTION:
        return []
    return [(hit.start, hit.stop) for hit in _find(given, [forms])]


def _is_pronoun(given: Sequence[Word], hit: _Hit) -> bool:
    word = given[hit.start]
    if hit.stop - hit.start > 1 or word.raw != "one":
        return False
    before = given[hit.start - 1].form if hit.start else ""
    after = given[hit.stop].form if hit.stop < len(given) else ""
    return before in _PRONOUN_BEFORE or after in _PRONOUN_AFTER


def _is_longer_name(given: Sequence[Word], hit: _Hit) -> bool:
    """Return whether the hit is part of another name by the capitals around it."""
    if not given[hit.start].capital or is_number(given[hit.start].form):
        return False
    previous = given[hit.start - 1] if hit.start else None
    if previous and previous.capital and previous.form in _RENAMING and not given[hit.start].before:
        return True
    following = given[hit.stop :]
    last = given[hit.stop - 1]
    if not following or following[0].before or not following[0].capital or not last.capital:
        return False
    if following[0].form in _GENERIC or is_number(following[0].form) or len(following[0].form) == 1:
        return False
    if any(is_country(tuple(word.form for word in following[:size])) for size in (1, 2, 3)):
        return False
    # A text in title case tells no names apart.
    lower = [word for word in given if not word.capital and not is_number(word.form)]
    return hit.stop - hit.start > 1 or len(following) < 4 or bool(lower)


def _is_denied(given: Sequence[Word], hit: _Hit) -> bool:
    for at in range(hit.start - 1, max(hit.start - 1 - _NEGATION_REACH, -1), -1):
        if given[at + 1].before and _STOPS.search(given[at + 1].before):
            return False
        word = given[at].form
        following = given[at + 1].form
        if word == "but":
            return False
        if (word, following) in _PAIRED and at + 1 < hit.start:
            return True
        if word in _NEGATIONS:
            return following not in _AFFIRMING or at + 1 >= hit.start
    return False


def _is_one_of_several(given: Sequence[Word], hit: _Hit, hits: Sequence[_Hit]) -> bool:
    """Return whether the hit is an item of a list that offers more answers than the gold one."""
    items, conjunction = _items_around(given, hit)
    distinct = {tuple(word.form for word in given[start:stop]) for start, stop in items}
    if len(distinct) < 2 or not any(start <= hit.start and hit.stop <= stop for start, stop in items):
        return False
    right = sum(any(start <= each.start and each.stop <= stop for each in hits) for start, stop in items)
    if 2 * right > len(items):
        return False
    if conjunction == "or":
        return True
    return len(distinct) >= (_LIST if conjunction else _LONG_LIST)


def _items_around(given: Sequence[Word], hit: _Hit) -> tuple[list[tuple[int, int]], str]:
    """Return the short items, parted by commas and conjunctions, of the sentence around a hit, and the conjunction."""
    start, stop = hit.start, hit.stop
    while start > 0 and not _ends_sentence(given[start]):
        start -= 1
    while stop < len(given) and not _ends_sentence(given[stop]):
        stop += 1
    items: list[tuple[int, int]] = []
    conjunction, begin = "", start
    for at in range(start, stop + 1):
        parted = at == stop or (at > start and any(sign in given[at].before for sign in ",/;"))
        joined = at < stop and given[at].form in _CONJUNCTIONS and not hit.start <= at < hit.stop
        if (parted and not hit.start < at < hit.stop) or joined:
            if at > begin:
                items.append((begin, at))
            begin = at + 1 if joined else at
            if joined and (not conjunction or given[at].form == "or"):
                conjunction = given[at].form
    short = [
        item
        for item in items
        if sum(word.form not in _FUNCTION_WORDS for word in given[item[0] : item[1]]) <= _LIST_ITEM
    ]
    own = next((item for item in short if item[0] <= hit.start and hit.stop <= item[1]), None)
    if own is None:
        return [], ""
    beside = [
        word.form
        for at, word in enumerate(given[own[0] : own[1]], own[0])
        if not hit.start <= at < hit.stop and word.form not in _FUNCTION_WORDS
    ]
    # An item that says more than the alias is a clause, not an alternative.
    return (short, conjunction) if len(beside) <= 1 else ([], "")


def _ends_sentence(word: Word) -> bool:
    return bool(re.search(r"[.!?:]", word.before)) and word.capital
