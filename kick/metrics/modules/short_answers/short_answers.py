"""Strict scores of short answers for `evaluate.load`; the rules are those of `kick.metrics.answers`."""

from collections.abc import Sequence

import datasets
import evaluate

from kick.metrics.answers import contains_alias, exact_match, is_empty, token_f1

DESCRIPTION = (
    "Exact match, token F1 and alias containment over all references, the best one counting; "
    "share of empty answers."
)


class ShortAnswers(evaluate.Metric):  # type: ignore[misc]
    """Means over the predictions, each in 0..1: exact_match, f1, contains, empty."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description="predictions: strings. references: for each prediction, the list of right answers.",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.List(datasets.Value("string")),
                }
            ),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        count = len(pairs)
        return {
            "exact_match": sum(exact_match(answer, aliases) for answer, aliases in pairs) / count,
            "f1": sum(token_f1(answer, aliases) for answer, aliases in pairs) / count,
            "contains": sum(contains_alias(answer, aliases) for answer, aliases in pairs) / count,
            "empty": sum(is_empty(answer) for answer, _ in pairs) / count,
        }
