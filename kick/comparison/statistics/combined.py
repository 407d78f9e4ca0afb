"""The mean over several tasks whose items are no longer at hand: its tests and intervals from the moments of each task.

Errors of tasks that hold different items are independent, so cumulants of their means add. The third is kept beside the
variance: a loss that sits in few items makes a mean skewed, and a t interval too short on the side of the loss. One
pseudo-item (see `bounded`) is added to the task in which it counts most, which is the worst place for an item that was
not seen: it keeps a width where no item of any task flipped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from kick.comparison.statistics.moments import Array, Moments

_SYMMETRIC = 1e-6


@dataclass(frozen=True)
class Cumulants:
    """The first three cumulants of a mean, and the degrees of freedom of the second."""

    mean: float
    variance: float
    third: float
    df: float

    def deviate(self, bound: float) -> float:
        """Return how far the mean is above `bound` as a normal deviate, by a Pearson type III tail.

        A tail that is shorter than the normal one is taken for normal.
        """
        if self.variance == 0:
            return math.copysign(math.inf, self.mean - bound) if self.mean != bound else 0.0
        z = (self.mean - bound) / math.sqrt(self.variance)
        skewness = -self.third / self.variance**1.5
        if skewness < _SYMMETRIC or math.isinf(z):
            return z
        shape = 4 / skewness**2
        # The distance to the bound, as a gamma variable from its mean.
        p_value = float(special.gammaincc(shape, max(shape + math.sqrt(shape) * z, 0.0)))
        return float(-special.ndtri(p_value)) if p_value > 0 else z


@dataclass(frozen=True)
class Spread:
    """The variation of the scores of one task from item to item, as if items were independent.

    Attributes:
        units: groups of dependent items, or items.
        second: population covariances aa, ab, bb of the scores of reference (a) and candidate (b).
        third: third central moments aaa, aab, abb, bbb.
        item: the score of a pseudo-item that is lost entirely; None for scores that are not in 0..1.
        strata: whether items belong to fixed categories.
    """

    units: int
    second: tuple[float, float, float]
    third: tuple[float, float, float, float]
    item: float | None
    strata: bool = False

    @classmethod
    def of(cls, a: Array, b: Array, units: int, item: float | None, strata: bool) -> "Spread":
        """Measure scores a and b, both (n,)."""
        x, y = a - a.mean(), b - b.mean()

        def mean(values: Array) -> float:
            return float(np.mean(values))

        return cls(
            units,
            (mean(x * x), mean(x * y), mean(y * y)),
            (mean(x * x * x), mean(x * x * y), mean(x * y * y), mean(y * y * y)),
            item,
            strata,
        )

    def contrast(self, theta: float) -> tuple[float, float]:
        """Return the variance and the third moment of b - theta * a."""
        aa, ab, bb = self.second
        aaa, aab, abb, bbb = self.third
        return (
            max(bb - 2 * theta * ab + theta**2 * aa, 0.0),
            bbb - 3 * theta * abb + 3 * theta**2 * aab - theta**3 * aaa,
        )

    def worth(self, moments: Moments, theta: float) -> float:
        """Return how many independent items these are worth; see `effective_n`."""
        plain, actual = self.contrast(theta)[0] / moments.n, moments.variance(theta)
        if self.units == moments.n and not self.strata:
            return float(moments.n)
        if plain == 0 or actual in (0.0, math.inf) or moments.df == 0:
            return float(self.units)
        worth = moments.n * plain / actual
        return worth if self.strata else min(worth, float(moments.n))


def combine(tasks: Sequence[tuple[Moments, Spread]], theta: float, *, below: bool) -> Cumulants:
    """Return the cumulants of the mean over tasks of b - theta * a, or of its negative.

    Args:
        tasks: moments and spread of each task.
        theta: what the reference's score is multiplied by.
        below: take the negative: for evidence that the mean is low.
    """
    sign = -1 if below else 1
    count = len(tasks)
    worths = [spread.worth(moments, theta) for moments, spread in tasks]
    items = [spread.item or 0.0 for _, spread in tasks]
    weakest = int(np.argmax([item / (worth + 1) for item, worth in zip(items, worths, strict=True)]))
    parts = []
    for index, ((moments, spread), worth) in enumerate(zip(tasks, worths, strict=True)):
        mean = sign * (moments.mean_b - theta * moments.mean_a)
        plain, third = spread.contrast(theta)
        third *= sign
        if index == weakest and spread.item is not None:
            pseudo = -spread.item * (1.0 if below else theta)
            parts.append(_with_pseudo_item(mean, plain, third, worth, pseudo, moments.df))
        else:
            parts.append(Cumulants(mean, moments.variance(theta), 2 * third / worth**2, moments.df))
    variances = np.array([part.variance for part in parts])
    freedom = np.maximum([part.df for part in parts], 1e-9)
    spread_of_variance = float(np.sum(variances**2 / freedom))
    return Cumulants(
        sum(part.mean for part in parts) / count,
        float(variances.sum()) / count**2,
        sum(part.third for part in parts) / count**3,
        float(variances.sum()) ** 2 / spread_of_variance if spread_of_variance > 0 else float(freedom.min()),
    )


def _with_pseudo_item(
    mean: float, plain: float, third: float, worth: float, pseudo: float, df: float
) -> Cumulants:
    """Return the cumulants of a mean that is reweighted at random (Dirichlet) with one more item."""
    total = worth + 1
    centre = (worth * mean + pseudo) / total
    shift, far = mean - centre, pseudo - centre
    squares = worth * (plain + shift**2) + far**2
    cubes = worth * (third + 3 * plain * shift + shift**3) + far**3
    return Cumulants(
        centre, squares / (total * (total + 1)), 2 * cubes / (total * (total + 1) * (total + 2)), df
    )
