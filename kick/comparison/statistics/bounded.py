"""Tests of a mean that hold where the loss sits in a few items, by one pseudo-item.

A t test trusts the variance that it sees. If a twentieth of the items lose everything, a small sample may hold few of
them by chance, and then it shows too small a loss with too small a variance. The remedy is a pseudo-item that is lost
entirely: the mean is reweighted at random with one more item (Gaffke, Mathematical Methods of Statistics 14, 2005;
Learned-Miller and Thomas, "A new confidence interval for the mean of a bounded random variable", 2019). For
right-or-wrong items this is Clopper and Pearson's exact bound. The tails come from a saddlepoint, so p-values are as
small as the evidence says.
"""

import numpy as np

from kick.comparison.statistics.moments import Array

_STEPS = 60
_TOLERANCE = 1e-10
_UNSEEN = 0.5


def signed_evidence(values: Array, worst: float | Array, weight: float | Array = 1.0) -> Array:
    """Return how far the mean of `values` is shown to be above 0, as a normal deviate (...): 1.645 is 5 %, one-sided.

    The deviate of P(sum of G_i * values_i - G_0 * worst <= 0), with G_i of a gamma distribution of shape `weight` and
    G_0 of shape 1, by Barndorff-Nielsen's r* (Biometrika 73, 1986).

    Args:
        values: (..., n) contrasts.
        worst: how far the pseudo-item is below 0; (...), above 0.
        weight: independent items per item, below 1 for dependent ones; one number, or one per value.

    Returns:
        Minus infinity where no value is above 0.

    >>> from scipy import stats
    >>> nothing_lost = np.full(100, 0.05)
    >>> p_value = float(stats.norm.sf(signed_evidence(nothing_lost, 0.95)))
    >>> abs(p_value / 0.95**100 - 1) < 0.05
    True
    """
    values = np.asarray(values, dtype=np.float64)
    weight = np.asarray(weight, dtype=np.float64)
    most = values.max(axis=-1)
    possible = most > _TOLERANCE
    highest = np.where(possible, most, 1.0)
    low = -1 / np.maximum(worst, -values.min(axis=-1))
    high = 1 / highest
    point = np.zeros(most.shape)
    for _ in range(_STEPS):
        slope, curvature = _derivatives(values, worst, weight, point)
        low, high = np.where(slope < 0, point, low), np.where(slope < 0, high, point)
        newton = point - slope / curvature
        middle = (low + high) / 2
        step = np.where((newton > low) & (newton < high), newton, middle)
        moved = np.abs(step - point) > _TOLERANCE * (high + np.abs(point))
        point = np.where(moved, step, point)
        if not (moved & possible).any():
            break
    _, curvature = _derivatives(values, worst, weight, point)
    exponent = (weight * np.log1p(-point[..., None] * values)).sum(axis=-1) + np.log1p(point * worst)
    root = np.sign(point) * np.sqrt(np.maximum(2 * exponent, 0.0))
    lever = point * np.sqrt(curvature)
    # At the centre both vanish; their ratio goes to 1 and the correction to a sixth of the skewness.
    central = np.abs(root) < 1e-4
    third = 2 * ((weight * values**3).sum(axis=-1) - worst**3)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = root + np.log(lever / root) / root
    deviate = np.where(central, root + third / (6 * curvature**1.5), corrected)
    return np.where(possible, -deviate, -np.inf)


def _derivatives(values: Array, worst: float | Array, weight: Array, point: Array) -> tuple[Array, Array]:
    """Return the first two derivatives (...) of the cumulant function of the weighted sum at `point` (...)."""
    parts = values / (1 - point[..., None] * values)
    pseudo = worst / (1 + point * worst)
    return (weight * parts).sum(axis=-1) - pseudo, (weight * parts**2).sum(axis=-1) + pseudo**2


def unseen_value(values: Array) -> float:
    """Return the value of the pseudo-item for scores without a worst value.

    It is as far below the lowest as that is below the mean: the next item may be as much worse again. Values that do
    not vary say nothing about the next one, which may then be lower by 0.5 (half a nat per token of a window).
    """
    mean, lowest = float(np.mean(values)), float(np.min(values))
    return 2 * lowest - mean if varies(values) else mean - _UNSEEN


def varies(values: Array) -> bool:
    """Return whether the values differ by more than rounding."""
    return bool(np.ptp(values) > _TOLERANCE * (1 + np.abs(values).max()))
