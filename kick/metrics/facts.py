"""The facts that a text states, as far as they can be read without a model: names, numbers and negations.

ROUGE counts words, so a summary with every number changed scores almost as much as the reference, and a list of stop
words scores as much as half a summary. Facts are compared instead: those of a summary with the article (is it said
there?) and those of the reference with the summary (is it told?).

Limits: names are spans of capitalised words, so a text without capitals has numbers and negations alone, and a relation
between two right names is not checked. Whether a sentence follows from the article is left to a model
(`kick.harness.entailment`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kick.metrics.numbers import is_number
from kick.metrics.words import Word, word_set, words

_NEGATIONS = word_set(
    "not never no neither nor none nobody nothing without isnt wasnt arent werent doesnt didnt dont cannot cant wont "
    "couldnt wouldnt shouldnt hasnt havent hadnt"
)
_FILLERS = word_set(
    "be been being have has had do does did to any yet also even really in of on at by for with and or"
)
# Function words that open a sentence with a capital and name nothing.
_OPENERS = word_set(
    "a an the he she it they we i you his her its their our this that these those there here in on at by "
    "for from with to of as and but or if when while after before since during who what which where why "
    "how is are was were be has have had do does did not no yes so then than also more most some many all "
    "both each every one two three four five new police"
)
_SENTENCE = re.compile(
    r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)\s+(?=[\"'“‘(\[]?[A-Z0-9])"
    r"|\s*\n+\s*"
)


@dataclass(frozen=True)
class Facts:
    """The facts of a text: forms of names, numbers, and words that are negated."""

    names: frozenset[str]
    numbers: frozenset[str]
    negated: frozenset[str]

    @property
    def count(self) -> int:
        """The number of facts."""
        return len(self.names) + len(self.numbers) + len(self.negated)


def sentences(text: str) -> list[str]:
    """Return the sentences of *text*; a line break ends one, too, as in the highlights of CNN/DailyMail."""
    return [*_sentences(text)]


def first_sentence(text: str) -> str:
    """Return the first sentence of *text*, as `sentences` has it; "" if there is none."""
    return next(_sentences(text), "")


def _sentences(text: str) -> Iterator[str]:
    return (sentence for part in _SENTENCE.split(text) if (sentence := part.strip()) and words(sentence))


# The facts of an article are asked for by every sentence of every summary of it.
@lru_cache(maxsize=2**12)
def facts(text: str) -> Facts:
    """Return the facts of *text*."""
    parts = [_of_sentence(words(sentence)) for sentence in sentences(text)]
    return Facts(
        names=frozenset().union(*(each.names for each in parts)),
        numbers=frozenset().union(*(each.numbers for each in parts)),
        negated=frozenset().union(*(each.negated for each in parts)),
    )


def held(claimed: Facts, source: Facts, text: str) -> int:
    """Return how many of the claimed facts the source has. A name counts if its words are anywhere in the source text.

    Args:
        claimed: the facts that are looked for.
        source: the facts of the source.
        text: the source itself.
    """
    known = _forms(text)
    names = sum(set(name.split()) <= known for name in claimed.names)
    return names + len(claimed.numbers & (source.numbers | known)) + len(claimed.negated & source.negated)


@lru_cache(maxsize=2**8)
def _forms(text: str) -> frozenset[str]:
    return frozenset(word.form for word in words(text))


def precision(summary: str, article: str) -> float:
    """Return the share of the summary's facts that the article has, in 0..1; 0 if the summary states none."""
    claimed = facts(summary)
    return held(claimed, facts(article), article) / claimed.count if claimed.count else 0.0


def recall(summary: str, reference: str) -> float:
    """Return the share of the reference's facts that the summary has, in 0..1; 0 if the reference states none."""
    wanted = facts(reference)
    return held(wanted, facts(summary), summary) / wanted.count if wanted.count else 0.0


def content(summary: str, article: str, reference: str) -> float:
    """Return how much of the reference's content the summary tells and the article supports, in 0..1.

    The harmonic mean of two shares: the sentences of the summary that state facts, all of which the article has; and
    the facts of the reference that those sentences tell. A sentence with one fact that the article lacks counts against
    the first and tells nothing in the second.
    """
    source = facts(article)
    given = sentences(summary)
    supported = [
        sentence
        for sentence in given
        if (claimed := facts(sentence)).count and held(claimed, source, article) == claimed.count
    ]
    if not supported:
        return 0.0
    told = recall("\n".join(supported), reference)
    share = len(supported) / len(given)
    return 2 * share * told / (share + told) if told else 0.0


def _of_sentence(given: Sequence[Word]) -> Facts:
    names: list[str] = []
    span: list[str] = []
    for at, word in enumerate(given):
        named = word.capital and not (at == 0 and _only_opens(given)) and word.form not in _OPENERS
        if span and (not named or word.before.strip(" \"'“”‘’.")):
            names.append(" ".join(span))
            span = []
        if named and not is_number(word.form):
            span.append(word.form)
    if span:
        names.append(" ".join(span))
    negated = [
        following
        for at, word in enumerate(given)
        if word.form in _NEGATIONS
        if (following := next((each.form for each in given[at + 1 :] if each.form not in _FILLERS), ""))
    ]
    numbers = [word.form for word in given if is_number(word.form)]
    return Facts(frozenset(names), frozenset(numbers), frozenset(negated))


def _only_opens(given: Sequence[Word]) -> bool:
    """Return whether the first word has its capital from the sentence alone: the next word has none."""
    return len(given) < 2 or not given[1].capital
