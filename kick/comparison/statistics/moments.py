"""Means of paired items and how uncertain they are: the sums that every analytic interval is made from.

Items that share a group (a passage, an article) are dependent, so errors are summed within a group before they are
squared (cluster-robust variance; Miller, "Adding Error Bars to Evals", arXiv 2411.00640). Items of fixed categories
(the subjects of MMLU, all of which are always asked) are not dependent: categories are strata, and what differs between
them is no error at all (Cochran, Sampling Techniques, 1977, chapter 5).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Moments:
    """Means of reference (a) and candidate (b) over the same items and the covariance of these means.

    `df` is the degrees of freedom of the covariance: infinite for independent items with a known form of variance, 0 if
    a variance cannot be estimated.
    """

    n: int
    mean_a: float
    mean_b: float
    var_a: float
    var_b: float
    cov: float
    df: float

    def variance(self, theta: float = 1.0) -> float:
        """Return the variance of mean_b - theta * mean_a."""
        return max(self.var_b - 2 * theta * self.cov + theta**2 * self.var_a, 0.0)

    def difference_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of mean_b - mean_a by Student's t."""
        difference = self.mean_b - self.mean_a
        half = critical_value(self.df) * math.sqrt(self.variance()) if self.df else math.inf
        return difference - half, difference + half

    def evidence_above(self, theta: float, delta: float) -> float:
        """Return the one-sided p-value of "mean_b is at most theta * mean_a + delta"."""
        distance = self.mean_b - theta * self.mean_a - delta
        variance = self.variance(theta)
        if self.df == 0 or (variance == 0 and distance == 0):
            return 0.5
        return upper_tail(
            distance / math.sqrt(variance) if variance else math.copysign(math.inf, distance), self.df
        )


def paired_moments(
    a: Array,
    b: Array,
    weights: Array | None = None,
    groups: Codes | None = None,
    strata: Codes | None = None,
) -> Moments:
    """Return the means of `a` and `b` with a variance that respects groups or strata.

    The variance with groups is CR2 with Satterthwaite degrees of freedom (Bell and McCaffrey, Survey Methodology 28,
    2002; Pustejovsky and Tipton, JBES 36, 2018), in closed form for a mean: nearly unbiased with few groups
    and with unequal ones. With groups of one item it is the usual s^2 / n on n - 1 degrees.

    Args:
        a: (n,) scores of the reference.
        b: (n,) scores of the candidate.
        weights: (n,) what an item counts (tokens of a window); one when left out.
        groups: (n,) the group of each item, 0..G-1; every item is its own when left out.
        strata: (n,) the category of each item, 0..H-1, in place of groups. Categories of one item are taken together.
    """
    n = len(a)
    w = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    mean_a, mean_b = float(w @ a), float(w @ b)
    errors: Array
    if strata is not None:
        centred, shares = _within_strata(np.stack([a, b]), strata)
        errors = w * centred
    else:
        errors = np.stack([w * (a - mean_a), w * (b - mean_b)])
        shares = w
    if groups is not None:
        errors = np.stack([np.bincount(groups, weights=row).astype(np.float64) for row in errors])
        shares = np.bincount(groups, weights=w).astype(np.float64)
    if len(shares) < 2 or shares.max() >= 1:
        return Moments(n, mean_a, mean_b, np.inf, np.inf, 0.0, 0.0)
    scaled = errors / np.sqrt(1 - shares)
    covariance = scaled @ scaled.T
    return Moments(
        n,
        mean_a,
        mean_b,
        float(covariance[0, 0]),
        float(covariance[1, 1]),
        float(covariance[0, 1]),
        degrees_of_freedom(w if strata is not None else shares),
    )


def _within_strata(values: Array, strata: Codes) -> tuple[Array, Array]:
    """Return values (k, n) less the mean of their stratum, and each item's share of its stratum (n,)."""
    sizes = np.bincount(strata)
    # An item alone in its category has no spread of its own. All of these form one stratum.
    alone = sizes[strata] < 2
    codes = np.where(alone, len(sizes) if alone.sum() > 1 else int(sizes.argmax()), strata)
    sizes = np.maximum(np.bincount(codes), 1)
    means = np.stack([np.bincount(codes, weights=row) for row in values]) / sizes
    return values - means[:, codes], 1 / sizes[codes]


def degrees_of_freedom(shares: Array) -> float:
    """Return the Satterthwaite degrees of freedom of the CR2 variance of a mean.

    G - 1 for G equal groups; fewer the more unequal they are.

    Args:
        shares: (G,) the share of each group in all items; they sum to 1.
    """
    r = shares**2 / (1 - shares)
    return float(1 / (np.sum(shares**2) + np.sum(r) ** 2 - np.sum(r**2)))


@lru_cache(maxsize=4096)
def critical_value(df: float, confidence: float = CONFIDENCE) -> float:
    """Return the two-sided quantile of Student's t; infinite if there are no degrees of freedom."""
    return float(stats.t.ppf((1 + confidence) / 2, df)) if df > 0 else float("inf")


def upper_tail(statistic: float, df: float) -> float:
    """Return P(T >= statistic) of Student's t; 0.5, no evidence either way, without degrees of freedom."""
    if df <= 0:
        return 0.5
    if math.isinf(df):
        return float(special.ndtr(-statistic))
    return float(special.stdtr(df, -statistic))


def effective_n(
    values: Array, groups: Codes | None, strata: Codes | None = None, weights: Array | None = None
) -> tuple[float, float]:
    """Return how many independent items these are worth, and the degrees of freedom of their variance.

    For groups that is n over the design effect, never above n (Korn and Graubard, Survey Methodology 24, 1998). Values
    that do not vary give no design effect: then every group counts as one item, the most cautious reading. Items of
    strata are worth n or more.

    Args:
        values: (n,) the quantity whose mean is asked for.
        groups: (n,) codes of dependent items, or None.
        strata: (n,) codes of fixed categories, or None.
        weights: (n,) what an item counts; one when left out.
    """
    n = len(values)
    if groups is None and strata is None:
        return float(n), float("inf")
    moments = paired_moments(values, values, weights, groups, strata)
    plain = float(np.cov(values, aweights=weights, ddof=0)) / n if n > 1 else 0.0
    if strata is not None:
        return (
            float(n) if plain == 0 or moments.var_a in (0, math.inf) else n * plain / moments.var_a
        ), math.inf
    assert groups is not None
    number = int(groups.max()) + 1
    if moments.df == 0 or plain == 0 or moments.var_a == 0:
        return float(number), float("inf")
    return min(float(n), n * plain / moments.var_a), moments.df
