"""Strict scoring of short answers: functions over plain strings, then the adapters that the tasks name.

An answer is the completion alone, never the prompt. It is compared with every alias of the gold answer and
the best comparison counts; an empty answer is wrong whatever the aliases are. All scores are in 0..1.

`kick.metrics.words` states the normal form, `kick.metrics.names` the other spellings of a name,
`kick.metrics.containment` when a mention is an answer, and `kick.metrics.abstention` what declines to answer. Yes and
no match as whole answers only: HotpotQA's script (Yang et al., 2018).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kick.metrics.abstention import is_abstention
from kick.metrics.containment import VERDICTS, contains, names_gold
from kick.metrics.names import variants
from kick.metrics.numbers import whole_date
from kick.metrics.words import ARTICLES, is_empty, normalize, tokens

__all__ = [
    "ARTICLES",
    "VERDICTS",
    "contains_alias",
    "exact_match",
    "gold_in_question",
    "is_abstention",
    "is_empty",
    "normalize",
    "score",
    "token_f1",
    "tokens",
]


# --- strings ---


def exact_match(answer: str, aliases: Sequence[str]) -> float:
    """Return 1.0 if the answer is an alias in any of its spellings and nothing more, else 0.0."""
    given = tuple(tokens(answer))
    if not given:
        return 0.0
    if any(given in variants(alias) for alias in aliases):
        return 1.0
    dates = whole_date(answer)
    return float(bool(dates) and any(set(dates) & set(whole_date(alias)) for alias in aliases))


def token_f1(answer: str, aliases: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall over the bags of words, in 0..1, for the best alias."""
    given = tokens(answer)
    if exact_match(answer, aliases):
        return 1.0
    return max((_f1(given, list(forms)) for alias in aliases for forms in variants(alias)), default=0.0)


def contains_alias(answer: str, aliases: Sequence[str], question: str = "") -> float:
    """Return 1.0 if the answer gives an alias, whole words in a row, as its answer; "Iran" is not in "Mirandas".

    `kick.metrics.containment` states which mentions are no answer. With the question, its repetition does not count,
    and a question that names its options is answered by the first of them that the answer names.
    """
    return float(exact_match(answer, aliases) or contains(answer, aliases, question))


def gold_in_question(question: str, aliases: Sequence[str]) -> bool:
    """Return whether an alias is in the question itself. Yes and no do not count."""
    return names_gold(question, aliases)


def score(answer: str, aliases: Sequence[str], question: str) -> dict[str, float]:
    """Return every metric of a short answer.

    Returns:
        exact_match, f1 and contains in 0..1; and as flags that are 0.0 or 1.0: empty, abstention (which a
        right answer is not), and gold_in_question (the item gives its answer away).
    """
    right = exact_match(answer, aliases)
    return {
        "exact_match": right,
        "f1": token_f1(answer, aliases),
        "contains": float(right or contains(answer, aliases, question)),
        "empty": float(is_empty(answer)),
        "abstention": float(not right and is_abstention(answer)),
        "gold_in_question": float(gold_in_question(question, aliases)),
    }


def _f1(given: list[str], gold: list[str]) -> float:
    if not given or not gold:
        return 0.0
    if given != gold and any(len(side) == 1 and side[0] in VERDICTS for side in (given, gold)):
        return 0.0
    common = sum((Counter(given) & Counter(gold)).values())
    return 2 * common / (len(given) + len(gold))


# --- adapters: lm-eval's process_results(doc, results) ---


def freebaseqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of FreebaseQA: `answers` holds the aliases."""
    return score(results[0], doc["answers"], doc["question"])


# The same fields.
popqa = webquestions = nq_gold = world = simpleqa = musique_hops = freebaseqa


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


def squad2(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of SQuAD 2.0: `answers` is empty where the passage has no answer.

    Returns:
        The metrics of `score`, and `right`: the answer is given where there is one, and declined where there is none.
    """
    scores = score(results[0], doc["answers"], doc["question"])
    return {**scores, "right": scores["contains"] if doc["answers"] else scores["abstention"]}
