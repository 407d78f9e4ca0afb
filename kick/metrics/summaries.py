"""Scores of summaries: ROUGE, computed locally by rouge-score, and the content that `kick.metrics.facts` reads.

Functions over strings, then lm-eval's adapters. Whether a summary follows from its article is judged by a model that
the user names (`kick.harness.entailment`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from kick.metrics.facts import content, precision, recall, sentences

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def rouge(summary: str, reference: str) -> dict[str, float]:
    """Return the F-measures of ROUGE-1, -2, -L and -Lsum with Porter stemming (Lin, 2004), each in 0..1.

    ROUGE-L takes a text as one sentence; ROUGE-Lsum, which papers on CNN/DailyMail report, compares sentence by
    sentence: line breaks, as in the highlights, and full stops part them. A summary without a letter
    or digit scores 0; so does everything against such a reference.
    """
    scores = _scorer().score("\n".join(sentences(reference)), "\n".join(sentences(summary)))
    return {name: float(scores[name].fmeasure) for name in ROUGES}


def score(summary: str, reference: str) -> dict[str, float]:
    """Return the metrics that need no article: the ROUGEs, and `empty`, which is 1.0 without a letter or digit."""
    return {**rouge(summary, reference), "empty": float(not any(map(str.isalnum, summary)))}


def score_content(summary: str, article: str, reference: str) -> dict[str, float]:
    """Return every metric of a summary of an article.

    Returns:
        Those of `score`; fact_precision, the share of the summary's names, numbers and negations that the article has;
        fact_recall, the share of the reference's that the summary has; and content, which joins the two sentence by
        sentence. Each in 0..1.
    """
    return {
        **score(summary, reference),
        "fact_precision": precision(summary, article),
        "fact_recall": recall(summary, reference),
        "content": content(summary, article, reference),
    }


@cache
def _scorer() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(ROUGES, use_stemmer=True)


def fact_recall(summary: str, required: Sequence[str]) -> float:
    """Return the share of the required words that are in the summary as whole words, in any case, in 0..1."""
    present = set(re.findall(r"\w+", summary.casefold()))
    return sum(value.casefold() in present for value in required) / len(required)


def cnn_dailymail(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of CNN/DailyMail against its `highlights`."""
    return score_content(results[0], doc["article"], doc["highlights"])


def xsum(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a document of XSum against its `summary`."""
    return score_content(results[0], doc["document"], doc["summary"])


def world(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a report of the synthetic world by ROUGE against `summary` and by the recall of the `required` facts."""
    return {**score(results[0], doc["summary"]), "fact_recall": fact_recall(results[0], doc["required"])}
