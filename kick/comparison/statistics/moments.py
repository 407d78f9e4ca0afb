"""Means of paired items and how uncertain they are: the sums that every analytic interval is made from.

Items that share a group (a passage, an article, a subject) are dependent, so that errors are summed within
a group before they are squared (cluster-robust variance; Miller, "Adding Error Bars to Evals", arXiv
2411.00640).
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
    """Means of reference (a) and candidate (b) over the same items, the covariance of these means, and its
    freedom.

    `df` is infinite for independent items with a known form of variance, 0 where a variance cannot be
    estimated.
    """

    n: int
    mean_a: float
    mean_b: float
    var_a: float
    var_b: float
    cov: float
    df: float

    def variance(self, theta: float = 1.0) -> float:
        """Variance of mean_b - theta * mean_a."""
        return max(self.var_b - 2 * theta * self.cov + theta**2 * self.var_a, 0.0)

    def difference_interval(self) -> tuple[float, float]:
        """mean_b - mean_a and 95 % of uncertainty to both sides, by Student's t."""
        difference = self.mean_b - self.mean_a
        half = critical_value(self.df) * math.sqrt(self.variance()) if self.df else math.inf
        return difference - half, difference + half

    def ratio_interval(self) -> tuple[float, float]:
        """Fieller's 95 % interval (1954) of mean_b / mean_a: the ratios that a t test does not reject.

        Without bounds where mean_a cannot be told from 0.
        """
        t = critical_value(self.df)
        if self.df == 0 or self.mean_a**2 <= t**2 * self.var_a:
            return -math.inf, math.inf
        a = self.mean_a**2 - t**2 * self.var_a
        b = self.mean_a * self.mean_b - t**2 * self.cov
        c = self.mean_b**2 - t**2 * self.var_b
        root = math.sqrt(max(b * b - a * c, 0.0))
        return (b - root) / a, (b + root) / a

    def evidence_above(self, theta: float, delta: float) -> float:
        """The one-sided p-value of "mean_b is at most theta * mean_a + delta"."""
        distance = self.mean_b - theta * self.mean_a - delta
        variance = self.variance(theta)
        if self.df == 0 or (variance == 0 and distance == 0):
            return 0.5
        return upper_tail(
            distance / math.sqrt(variance) if variance else math.copysign(math.inf, distance), self.df
        )


def paired_moments(a: Array, b: Array, weights: Array | None = None, groups: Codes | None = None) -> Moments:
    """Means of `a` and `b` (n,) with a variance that respects groups.

    The variance is CR2 with Satterthwaite degrees of freedom (Bell and McCaffrey, Survey Methodology 28,
    2002; Pustejovsky and Tipton, JBES 36, 2018), in closed form for a mean: nearly unbiased with few groups
    and with unequal ones. With groups of one item it is the usual s^2 / n on n - 1 degrees.

    Args:
        a, b: one value an item.
        weights: what an item counts (tokens of a window); one when left out.
        groups: the group of each item, 0..G-1; every item is its own when left out.
    """
    n = len(a)
    w = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    mean_a, mean_b = float(w @ a), float(w @ b)
    errors = np.stack([w * (a - mean_a), w * (b - mean_b)])
    shares = w
    if groups is not None:
        errors = np.stack([np.bincount(groups, weights=row) for row in errors])
        shares = np.bincount(groups, weights=w)
    if len(shares) < 2:
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
        degrees_of_freedom(shares),
    )


def degrees_of_freedom(shares: Array) -> float:
    """Satterthwaite degrees of freedom of the CR2 variance of a mean, for groups of these shares (they sum
    to 1).

    G - 1 for G equal groups; fewer the more unequal they are.
    """
    r = shares**2 / (1 - shares)
    return float(1 / (np.sum(shares**2) + np.sum(r) ** 2 - np.sum(r**2)))


@lru_cache(maxsize=4096)
def critical_value(df: float, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t; infinite where there are no degrees of freedom."""
    return float(stats.t.ppf((1 + confidence) / 2, df)) if df > 0 else float("inf")


def upper_tail(statistic: float, df: float) -> float:
    """P(T >= statistic) of Student's t; 0.5, no evidence either way, without degrees of freedom."""
    return float(special.stdtr(df, -statistic)) if df > 0 else 0.5


def effective_n(values: Array, groups: Codes | None) -> tuple[float, float]:
    """How many independent items dependent ones are worth, and the degrees of freedom of the variance.

    That is n over the design effect, never above n (Korn and Graubard, Survey Methodology 24, 1998). Values
    that do not vary give no design effect: then every group counts as one item, the most cautious reading.
    """
    n = len(values)
    if groups is None:
        return float(n), float("inf")
    moments = paired_moments(values, values, groups=groups)
    number = int(groups.max()) + 1
    plain = float(np.var(values)) / n
    if moments.df == 0 or plain == 0 or moments.var_a == 0:
        return float(number), float("inf")
    return min(float(n), n * plain / moments.var_a), moments.df
