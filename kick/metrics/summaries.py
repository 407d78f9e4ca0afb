"""ROUGE of summaries, computed locally by rouge-score: functions over strings, then lm-eval's adapters."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

ROUGES = ("rouge1", "rouge2", "rougeL")


def rouge(summary: str, reference: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F-measures with Porter stemming (Lin, 2004), each in 0..1.

    A summary without a letter or digit scores 0; so does everything against such a reference.
    """
    scores = _scorer().score(reference, summary)
    return {name: float(scores[name].fmeasure) for name in ROUGES}


def score(summary: str, reference: str) -> dict[str, float]:
    """Every metric of a summary: the ROUGEs, and `empty`, which is 1.0 if it has no letter or digit."""
    return {**rouge(summary, reference), "empty": float(not any(map(str.isalnum, summary)))}


@cache
def _scorer() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(ROUGES, use_stemmer=True)


def fact_recall(summary: str, required: Sequence[str]) -> float:
    """The share of the required words that stand in the summary as whole words, in any case: 0..1."""
    held = set(re.findall(r"\w+", summary.casefold()))
    return sum(value.casefold() in held for value in required) / len(required)


def cnn_dailymail(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of CNN/DailyMail against its `highlights`."""
    return score(results[0], doc["highlights"])


def xsum(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of XSum against its `summary`."""
    return score(results[0], doc["summary"])


def world(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a report of the synthetic world: the ROUGEs against `summary`, and the recall of the `required` facts."""
    return {**score(results[0], doc["summary"]), "fact_recall": fact_recall(results[0], doc["required"])}
