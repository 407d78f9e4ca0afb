"""Bootstrap intervals of statistics that are functions of sums, fast and in bounded memory.

Units (items, or whole groups of dependent items) are resampled as rows of a small table of sums, so a
resample costs additions only.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from kick.comparison.statistics.moments import CONFIDENCE, Array

MAX_UNITS = 10_000
_BLOCK = 4_000_000  # resampled rows held at a time


def bca_interval(
    units: Array, statistic: Callable[[Array], Array], *, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Return the statistic and its 95 % bias-corrected and accelerated interval (Efron, JASA 82, 1987).

    The acceleration comes from the jackknife over units. More than `MAX_UNITS` units are dealt at random
    into that many bins, which are then resampled whole: the mean of random bins has the expectation and, to
    1 %, the variance of the mean of units (random groups; Wolter, Introduction to Variance Estimation, ch.
    2).

    Args:
        units: (m, k) what each unit adds to k sums.
        statistic: maps sums (..., k) to values (...).
        resamples: how many bootstrap samples.
        seed: of the resampling.

    Returns:
        Value, low, high; infinite bounds for a single unit.
    """
    value = float(statistic(units.sum(axis=0)))
    generator = np.random.default_rng(seed)
    if len(units) > MAX_UNITS:
        units = deal(units, MAX_UNITS, generator)
    m = len(units)
    if m < 2:
        return value, float("-inf"), float("inf")
    with np.errstate(divide="ignore", invalid="ignore"):
        replicates = statistic(resampled_sums(units, resamples, generator))
        jackknife = statistic(units.sum(axis=0) - units)
    # A resample in which the reference is 0 has no ratio; it counts as a ratio without bound.
    replicates = np.where(np.isnan(replicates), np.inf, replicates)
    deviations = np.where(np.isfinite(jackknife), np.mean(jackknife[np.isfinite(jackknife)]) - jackknife, 0.0)
    spread = np.sum(deviations**2)
    acceleration = float(np.sum(deviations**3) / (6 * spread**1.5)) if spread > 0 else 0.0
    below = np.mean(replicates < value) + np.mean(replicates == value) / 2  # ties: half of them
    bias = stats.norm.ppf(np.clip(below, 1 / (resamples + 1), resamples / (resamples + 1)))
    tails = bias + stats.norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    levels = stats.norm.cdf(bias + tails / (1 - acceleration * tails))
    low, high = np.quantile(replicates, levels, method="inverted_cdf")
    return value, float(low), float(high)


def crossed_interval(differences: Array, *, resamples: int, seed: int) -> tuple[float, float, float]:
    """Return the mean of a table of differences and its 95 % interval when items and replicates are both random.

    Replicates are candidates that differ in nothing but a seed or a calibration set; all of them answered
    the same items. Items and replicates are resampled independently (the pigeonhole bootstrap, Owen, Annals
    of Applied Statistics 1, 2007), and the effects of R replicates are widened by sqrt(R / (R - 1)),
    without which a handful of them would look too alike (Davison and Hinkley, Bootstrap Methods, 1997,
    section 3.8). Percentile interval.

    Args:
        differences: (units, replicates) candidate - reference, averaged within a unit.
        resamples: how many bootstrap samples.
        seed: of the resampling.
    """
    value = float(differences.mean())
    units, replicates = differences.shape
    if units < 2 or replicates < 2:
        return value, float("-inf"), float("inf")
    generator = np.random.default_rng(seed)
    if units > MAX_UNITS:
        differences = deal(differences, MAX_UNITS, generator) * MAX_UNITS / units
        units = MAX_UNITS
    effects = (differences.mean(axis=0) - value) * (np.sqrt(replicates / (replicates - 1)) - 1)
    means = resampled_sums(differences + effects, resamples, generator) / units
    chosen = generator.integers(0, replicates, (resamples, replicates))
    low, high = np.quantile(
        np.take_along_axis(means, chosen, axis=1).mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    )
    return value, float(low), float(high)


def deal(units: Array, bins: int, generator: np.random.Generator) -> Array:
    """Deal the rows of `units` at random into `bins` sums of nearly equal numbers of rows."""
    order = generator.permutation(len(units))
    starts = np.linspace(0, len(units), bins, endpoint=False).astype(np.int64)
    return np.add.reduceat(units[order], starts, axis=0)


def resampled_sums(units: Array, resamples: int, generator: np.random.Generator) -> Array:
    """Return the sums (resamples, k) over rows drawn with replacement."""
    m, k = units.shape
    columns = [np.ascontiguousarray(column) for column in units.T]
    sums = np.empty((resamples, k))
    step = max(1, _BLOCK // m)
    for start in range(0, resamples, step):
        drawn = generator.integers(0, m, (min(step, resamples - start), m), dtype=np.uint32)
        for j, column in enumerate(columns):
            sums[start : start + step, j] = column[drawn].sum(axis=1)
    return sums
