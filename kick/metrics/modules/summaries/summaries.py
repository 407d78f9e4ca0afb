"""ROUGE for `evaluate.load`, by `kick.metrics.summaries`: nothing is fetched at run time."""

from collections.abc import Sequence

import datasets
import evaluate

from kick.metrics.summaries import score


class Summaries(evaluate.Metric):  # type: ignore[misc]
    """Means over the predictions, each in 0..1: rouge1, rouge2, rougeL, rougeLsum, empty."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="F-measures of ROUGE-1, -2, -L and -Lsum with stemming; share of empty summaries.",
            citation="",
            inputs_description="predictions: summaries. references: one reference summary for each.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        scores = [score(*pair) for pair in zip(predictions, references, strict=True)]
        return {name: sum(each[name] for each in scores) / len(scores) for name in scores[0]}
