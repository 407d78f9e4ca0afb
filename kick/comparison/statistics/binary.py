"""Score intervals and tests for right-or-wrong items: one proportion, the difference and the ratio of two paired ones.

Score methods keep their coverage where the usual ones fail: no discordant item, everything right, few items
(Fagerland, Lydersen and Laake, Statistics in Medicine 33, 2014). Counts may be fractional: those of
dependent items are scaled to the number of independent items that they are worth.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

_EDGE = 1e-12


@dataclass(frozen=True)
class PairedTable:
    """Paired right-or-wrong answers, counted; reference first."""

    both: float
    lost: float
    gained: float
    neither: float

    @property
    def n(self) -> float:
        """Items, which need not be a whole number."""
        return self.both + self.lost + self.gained + self.neither

    def scaled(self, n: float) -> "PairedTable":
        """Return a table of `n` items with the same shares."""
        factor = n / self.n
        return PairedTable(
            self.both * factor, self.lost * factor, self.gained * factor, self.neither * factor
        )


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Return Wilson's score interval (JASA 22, 1927) of a proportion of `n` items, not necessarily a whole number."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if share == 0 else max(centre - half, 0.0)
    high = 1.0 if share == 1 else min(centre + half, 1.0)
    return low, high


def difference_score(table: PairedTable, delta: float) -> float:
    """Return the score statistic of Tango (Statistics in Medicine 17, 1998) of "candidate - reference = delta".

    N(0, 1) if that is true, positive if the difference seen is above `delta`. At delta = 0 it is McNemar's, without
    correction.
    """
    n, distance = table.n, table.gained - table.lost - table.n * delta
    a = 2 * n
    b = -table.gained - table.lost + (2 * n - table.gained + table.lost) * delta
    c = -table.lost * delta * (1 - delta)
    lost = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    return _standardise(distance, n * (2 * lost + delta * (1 - delta)))


def ratio_score(table: PairedTable, theta: float) -> float:
    """Return the score statistic of "candidate = theta * reference" for paired proportions; N(0, 1) under it.

    Tang, Tang and Chan, Statistics in Medicine 22, 2003; the same test as Nam and Blackwelder's, 2002.
    """
    distance = table.both + table.gained - theta * (table.both + table.lost)
    return _standardise(distance, ratio_variance(table, theta))


def ratio_variance(table: PairedTable, theta: float) -> float:
    """Return the variance of candidate - theta * reference, in counts, if that difference is 0 in truth.

    The shares are the most likely ones under this restriction (restricted maximum likelihood).
    """
    right = table.both + table.lost + table.gained
    a = table.n * (1 + theta)
    b = (table.both + table.lost) * theta**2 - (table.both + 2 * table.lost + table.gained)
    c = table.lost * (1 - theta) * right / table.n
    lost = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    return table.n * (1 + theta) * lost + right * (theta - 1)


def difference_interval(table: PairedTable, z: float) -> tuple[float, float]:
    """Return the differences that Tango's test does not reject."""
    estimate = (table.gained - table.lost) / table.n

    def score(delta: float) -> float:
        return difference_score(table, delta)

    return (
        _solve(score, z, -1 + _EDGE, estimate, at_edge=-1.0),
        _solve(score, -z, 1 - _EDGE, estimate, at_edge=1.0),
    )


def ratio_interval(table: PairedTable, z: float) -> tuple[float, float]:
    """Return the ratios that the score test does not reject; the reference must have got an item right."""
    estimate = (table.both + table.gained) / (table.both + table.lost)

    def score(log_theta: float) -> float:
        return ratio_score(table, math.exp(log_theta))

    middle = math.log(estimate) if estimate > 0 else -30.0
    low = 0.0 if estimate == 0 else math.exp(_solve(score, z, -30.0, middle, at_edge=-math.inf))
    return low, math.exp(_solve(score, -z, 30.0, middle, at_edge=math.inf))


def _standardise(distance: float, variance: float) -> float:
    if abs(distance) < 1e-9:
        return 0.0
    return distance / math.sqrt(variance) if variance > 1e-300 else math.copysign(math.inf, distance)


def _solve(
    score: Callable[[float], float], target: float, edge: float, estimate: float, at_edge: float
) -> float:
    """Return where the score falls through `target`, between the estimate (score 0) and the edge of the possible."""
    if math.isinf(target) or abs(estimate - edge) <= _EDGE or abs(score(edge)) < abs(target):
        return at_edge

    def excess(value: float) -> float:
        return max(min(score(value), 1e6), -1e6) - target

    return float(brentq(excess, min(edge, estimate), max(edge, estimate), xtol=1e-12))
