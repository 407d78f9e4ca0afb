"""Calibration of multiple choice: is the probability that a model gives to its choice the share of times it is right?

The probabilities of an item are the softmax over the log-likelihoods of its choices. Brier score: Brier (1950), in the
form with a sum over the choices. Expected calibration error with bins of equal mass: Nixon et al. (2019).
"""

import math
from collections.abc import Sequence

import numpy as np

from kick.types import Estimate

BINS = 10
RESAMPLES = 2000


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


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """Return the expected calibration error in 0..1: the mean gap of confidence and accuracy over bins of equal mass.

    Args:
        confidences: the probability of the choice that was taken, per item, in 0..1.
        right: whether that choice is the gold one, per item.
        bins: the number of bins; fewer if there are fewer items.

    Raises:
        ValueError: there are no items, or the two differ in length.
    """
    if not confidences or len(confidences) != len(right):
        raise ValueError(
            f"{len(confidences)} confidences and {len(right)} outcomes: give one of each per item"
        )
    return _error(np.asarray(confidences, dtype=float), np.asarray(right, dtype=float), bins)


def calibration_estimate(
    items: Sequence[tuple[Sequence[float], int]], *, bins: int = BINS, seed: int = 1234
) -> Estimate:
    """Return the expected calibration error of a task with a 95 % interval by percentile bootstrap over the items.

    Args:
        items: the log-likelihoods of the choices and the index of the gold one, per item.
        bins: the number of bins.
        seed: the seed of the resamples.

    Raises:
        ValueError: there are no items.
    """
    spread = [probabilities(values) for values, _ in items]
    taken = [max(range(len(each)), key=each.__getitem__) for each in spread]
    confidence = np.array([each[choice] for each, choice in zip(spread, taken, strict=True)])
    right = np.array([choice == gold for choice, (_, gold) in zip(taken, items, strict=True)], dtype=float)
    value = calibration_error(confidence.tolist(), right.astype(bool).tolist(), bins)
    draw = np.random.default_rng(seed)
    resampled = [
        _error(confidence[chosen], right[chosen], bins)
        for chosen in draw.integers(0, len(items), (RESAMPLES, len(items)))
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    # Binning biases the resamples upwards, so the interval is shifted to the estimate.
    shift = value - float(np.mean(resampled))
    return Estimate(
        value=value,
        low=max(0.0, min(value, float(low) + shift)),
        high=max(value, float(high) + shift),
        n=len(items),
        method="percentile bootstrap over items, bias taken off",
    )


def _error(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(part) * abs(float(confidence[part].mean() - right[part].mean())) for part in parts]
    return sum(gaps) / len(order)
