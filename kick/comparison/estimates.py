"""The score of one checkpoint: the mean over its items, with a 95 % interval."""

import math

import numpy as np

from kick.comparison.statistics import binary
from kick.comparison.statistics.moments import Array, Codes, critical_value, effective_n, paired_moments
from kick.types import Estimate


def score_estimate(
    values: Array,
    groups: Codes | None = None,
    weights: Array | None = None,
    strata: Codes | None = None,
    *,
    perplexity: bool = False,
    lowest: float | None = None,
) -> Estimate:
    """Return the mean of `values` with its 95 % interval; of a perplexity exp(mean).

    Right-or-wrong items: Wilson; if dependent, at the number of independent items that they are worth
    (Franco, Little, Louis and Slud, J. Survey Statistics and Methodology 7, 2019). Others: Student's t.

    Args:
        values: (n,) scores.
        groups: (n,) codes of dependent items, or None.
        weights: (n,) what an item counts; one when left out.
        strata: (n,) codes of fixed categories, or None.
        perplexity: whether the values are log-likelihoods of windows.
        lowest: the least value that a mean can have; that of scores in 0..1 is known.
    """
    n = len(values)
    suffix = units_in_words(groups, strata)

    def estimate(value: float, low: float, high: float, method: str) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=n, method=method + suffix)

    if not np.isfinite(values).all():
        return estimate(math.inf, math.inf, math.inf, "not finite: the model gives no probability")
    if not perplexity and lowest is None and np.all((values == 0) | (values == 1)):
        worth, df = effective_n(values, groups, strata)
        share = float(values.mean())
        return estimate(share, *binary.wilson(share, worth, critical_value(df)), "Wilson")
    m = paired_moments(values, values, weights, groups, strata)
    half = critical_value(m.df) * math.sqrt(m.var_a) if m.df else math.inf
    low, high = m.mean_a - half, m.mean_a + half
    if perplexity:
        return estimate(exp_or_infinite(m.mean_a), exp_or_infinite(low), exp_or_infinite(high), "t of log")
    if lowest is None and values.min() >= 0 and values.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    elif lowest is not None:
        low = max(low, lowest)
    return estimate(m.mean_a, low, high, "t")


def units_in_words(groups: Codes | None, strata: Codes | None) -> str:
    """Return what the method of an interval says about the units that it respects."""
    if groups is not None:
        return f", {int(groups.max()) + 1} groups"
    return "" if strata is None else f", {len(np.unique(strata))} strata"


def exp_or_infinite(value: float) -> float:
    """Return exp(value); infinity if it overflows."""
    return math.exp(value) if value < 700 else math.inf
