"""Calibration of multiple choice, item by item: the probabilities that a model gives to the choices.

The probabilities of an item are the softmax over the log-likelihoods of its choices, not divided by their lengths.
Brier score: Brier (Monthly Weather Review 78, 1950), in the form with a sum over the choices. The calibration error of
many items is in `kick.comparison.calibration`.
"""

import math
from collections.abc import Sequence


def probabilities(log_likelihoods: Sequence[float]) -> list[float]:
    """Return the softmax over the choices of an item. Values that are not numbers or minus infinity get 0."""
    finite = [value if math.isfinite(value) else -math.inf for value in log_likelihoods]
    top = max(finite, default=-math.inf)
    if top == -math.inf:
        return [1 / len(finite)] * len(finite)
    weights = [math.exp(value - top) for value in finite]
    return [weight / sum(weights) for weight in weights]


def brier(log_likelihoods: Sequence[float], gold: int) -> float:
    """Return the Brier score of an item: 0 for certainty in the right choice, 2 for certainty in a wrong one."""
    return sum((value - (at == gold)) ** 2 for at, value in enumerate(probabilities(log_likelihoods)))


def calibration_columns(log_likelihoods: Sequence[float], gold: int) -> dict[str, float]:
    """Return what is stored of an item: the columns `brier`, `confidence` and `confident_right`.

    `confidence` is the probability of the most probable choice, 0..1, the first one of equals; `confident_right` is
    1.0 if that choice is the gold one. On tasks that take a choice by its length-normalised likelihood it may differ
    from their score.
    """
    spread = probabilities(log_likelihoods)
    confidence = max(spread)
    return {
        "brier": brier(log_likelihoods, gold),
        "confidence": confidence,
        "confident_right": float(spread.index(confidence) == gold),
    }
