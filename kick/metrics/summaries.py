"""ROUGE of summaries, computed locally by rouge-score: functions over strings, then lm-eval's adapters."""

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


def cnn_dailymail(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of CNN/DailyMail against its `highlights`."""
    return score(results[0], doc["highlights"])


def xsum(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of XSum against its `summary`."""
    return score(results[0], doc["summary"])
