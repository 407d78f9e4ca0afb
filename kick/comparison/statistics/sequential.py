"""Evidence that may be looked at after every item: e-values of a loss, their decision rule and their interval.

An e-value is the capital of a gambler who starts with 1 and bets against a claim. If the claim is true, the chance that
the capital ever reaches 1 / alpha is at most alpha (Ville, 1939), so scoring may stop at any time and go on later. The
gambler stakes fixed shares of the capital on each item and averages over eight of them: the capital then depends on the
answers alone, not on their order or on the size of the batches (Waudby-Smith and Ramdas, JRSS-B 86, 2024).

Scores must be in 0..1. The items are either a sample of infinitely many, or the first of `total` items in random order:
then the claim is about the full run, and the bets are against the mean of the items that remain (Waudby-Smith and
Ramdas, NeurIPS 2020), so they are won for certain once the remaining items cannot turn the result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kick.comparison.statistics.moments import CONFIDENCE, Array, Codes

# Shares of the capital, from bets that need thousands of items to those that settle a broken model in a dozen.
STAKES = (0.03, 0.06, 0.12, 0.22, 0.38, 0.6, 0.85, 0.98)
_ROUNDING = 1e-9
# The widest ratio of candidate to reference that an interval looks at.
_MAX_RATIO = 4.0


@dataclass(frozen=True)
class Bets:
    """A claim about paired scores as amounts to bet on: if it is true, their mean is at most 0.

    Attributes:
        values: (..., units) amounts in units of the metric, none below -worst.
        worst: the largest amount that one unit can lose, above 0.
    """

    values: Array
    worst: float

    def by_group(self, groups: Codes | None, largest: int | None = None) -> "Bets":
        """Return the bets on whole groups of dependent items, e.g. the questions about one passage.

        A group counts with the sum of its items, so the claim stays one about the mean over items. The sum is put in
        units of the largest group, which keeps it above -worst.

        Args:
            groups: (units,) codes 0..G-1; None leaves the bets as they are.
            largest: items of the largest group of the benchmark; of those given when left out. Give it where groups
                arrive one after the other, because a bet may not depend on what comes after it.
        """
        if groups is None:
            return self
        largest = largest or int(np.bincount(groups).max())
        return Bets(np.bincount(groups, weights=self.values) / largest, self.worst)


def bets_within(
    a: Array,
    b: Array,
    *,
    ratio: float | None = None,
    drop: float | None = None,
    higher_is_better: bool = True,
) -> Bets:
    """Return the bets against "the candidate loses the margin or more": to win them shows that it stays within.

    Args:
        a: (..., n) scores of the reference, 0..1.
        b: (..., n) scores of the candidate, 0..1.
        ratio: the margin as a share of the reference's mean score, or
        drop: the margin in units of the metric.
        higher_is_better: whether a fall is a loss.
    """
    if not higher_is_better:
        if ratio is not None:
            return Bets((1 + ratio) * a - b, 1.0)
        return Bets(a - b + _given(drop), 1 - _given(drop))
    if ratio is not None:
        return Bets(b - (1 - ratio) * a, 1 - ratio)
    return Bets(b - a + _given(drop), 1 - _given(drop))


def bets_beyond(
    a: Array,
    b: Array,
    *,
    ratio: float | None = None,
    drop: float | None = None,
    higher_is_better: bool = True,
) -> Bets:
    """Return the bets against "the candidate loses at most this": to win them shows a larger loss.

    The arguments are those of `bets_within`, with the tolerated loss in place of the margin.
    """
    within = bets_within(a, b, ratio=ratio, drop=drop, higher_is_better=higher_is_better)
    if ratio is not None:
        return Bets(-within.values, 1.0 if higher_is_better else 1 + ratio)
    return Bets(-within.values, 1 + _given(drop))


def log_evidence(bets: Bets, total: int | None = None) -> Array:
    """Return the natural logarithm of the e-value (...) after all units; see `log_evidence_path`.

    >>> everything_right = np.ones(100)
    >>> bool(log_evidence(bets_within(everything_right, everything_right, ratio=0.05)) >= math.log(1 / 0.05))
    True
    """
    if total is not None:
        return log_evidence_path(bets, total)[..., -1]
    # Equal amounts are counted rather than bet on one by one: right-or-wrong items have four.
    if bets.values.ndim == 1:
        amounts, counts = np.unique(bets.values, return_counts=True)
        capital = [counts @ np.log1p(stake / bets.worst * amounts) for stake in STAKES]
    else:
        capital = [np.log1p(stake / bets.worst * bets.values).sum(axis=-1) for stake in STAKES]
    mean: Array = np.logaddexp.reduce(np.array(capital), axis=0) - math.log(len(STAKES))
    return mean


def log_evidence_path(bets: Bets, total: int | None = None) -> Array:
    """Return the natural logarithm of the e-value (..., units) after each unit, in the order given.

    Args:
        bets: the claim to bet against.
        total: units of the finite benchmark, of which those given are the first in random order; None where they are
            a sample of infinitely many.

    Returns:
        Infinity where the claim about the full run is refuted for certain, minus infinity where the full run bears
        it out.

    Raises:
        ValueError: there are more units than `total`.
    """
    values, worst = bets.values, bets.worst
    if total is None:
        return _capital(values / worst)
    units = values.shape[-1]
    if units > total:
        raise ValueError(f"{units} units of {total}")
    after = np.cumsum(values, axis=-1)
    remaining = total - np.arange(units)
    # If the claim is true, the items that remain have at most this mean.
    at_most = -(after - values) / remaining
    room = worst + at_most
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.where(room > _ROUNDING, (values - at_most) / room, 0.0)
    # Rounding may take the worst amount below its bound.
    capital = _capital(np.maximum(odds, -1.0))
    refuted = after > worst * (remaining - 1) + _ROUNDING
    capital[np.logical_or.accumulate(refuted, axis=-1)] = np.inf
    if units == total:
        capital[..., -1] = np.where(after[..., -1] > _ROUNDING, np.inf, -np.inf)
    return capital


def _capital(odds: Array) -> Array:
    """Return the log of the mean capital (..., n) over the stakes, for winnings per unit of stake."""
    capital: Array = np.cumsum(np.log1p(STAKES[0] * odds), axis=-1)
    for stake in STAKES[1:]:
        np.logaddexp(capital, np.cumsum(np.log1p(stake * odds), axis=-1), out=capital)
    return capital - math.log(len(STAKES))


def log_evidence_t(values: Array) -> Array:
    """Return the log e-value (..., n) of "the mean is at most 0" for normal values, after each of them.

    The scale-invariant mixture over effect sizes of a standard normal distribution (Lai, Annals of Statistics 4, 1976;
    Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance", 2023).
    Exact at every time if the values are normal.

    Args:
        values: (..., n), in any unit.
    """
    return _t_mixture(
        np.arange(1, values.shape[-1] + 1), np.cumsum(values, axis=-1), np.cumsum(values**2, axis=-1)
    )


def log_evidence_skewed(values: Array) -> Array:
    """Return the log e-value (..., n) of "the mean is at most 0" for values that may be skewed, after each of them.

    That of `log_evidence_t` with one more value, as far below the lowest seen as that is below the mean. The error is
    5.0 % at most from the eighth value on, for means of eight windows with lognormal damage and with damage in one
    window of twenty (scripts/attack_statistics.py); for normal values it is below 1 %.

    Args:
        values: (..., n), in any unit.
    """
    n = np.arange(1, values.shape[-1] + 1)
    total = np.cumsum(values, axis=-1)
    pseudo = 2 * np.minimum.accumulate(values, axis=-1) - total / n
    return _t_mixture(n + 1, total + pseudo, np.cumsum(values**2, axis=-1) + pseudo**2)


def _t_mixture(n: Codes, total: Array, squares: Array) -> Array:
    """Return the log of the mixture for sums of n values and of their squares; 0 where the sum is not above 0."""
    # The share of the squares that the mean explains: t^2 / (t^2 + n - 1).
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.minimum(np.where(squares > 0, total**2 / (n * squares), 0.0), 1.0)
    mixture = -0.5 * np.log(1 + n) - 0.5 * n * np.log1p(-explained * n / (1 + n))
    path: Array = np.where(total > 0, mixture, np.minimum(mixture, 0.0))
    return path


def is_shown(log_e: float, alpha: float, tests: int = 1) -> bool:
    """Return whether an e-value is evidence at level `alpha`, read together with as many others as `tests`.

    >>> is_shown(math.log(25), 0.05), is_shown(math.log(25), 0.05, tests=2)
    (True, False)
    """
    return log_e >= math.log(tests / alpha)


def anytime_interval(
    a: Array,
    b: Array,
    *,
    groups: Codes | None = None,
    total: int | None = None,
    higher_is_better: bool = True,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Return the least and the largest relative loss that the bets do not refute, at whatever time it is looked at.

    Loss is 1 - candidate / reference if higher is better, candidate / reference - 1 if lower is. Both ends are found by
    bisection: the capital grows with the margin.

    Args:
        a: (n,) scores of the reference, 0..1.
        b: (n,) scores of the candidate, 0..1.
        groups: (n,) codes of dependent items.
        total: units of the finite benchmark; see `log_evidence_path`.
        higher_is_better: whether a fall is a loss.
        confidence: of both ends together.
    """
    level = (1 - confidence) / 2

    def evidence(make: Callable[..., Bets], loss: float) -> bool:
        bets = make(a, b, ratio=loss, higher_is_better=higher_is_better).by_group(groups)
        return is_shown(float(log_evidence(bets, total)), level)

    least, most = (1 - _MAX_RATIO, 1 - 1e-6) if higher_is_better else (-1 + 1e-6, _MAX_RATIO - 1)
    high = _turn(lambda loss: evidence(bets_within, loss), least, most)
    low = _turn(lambda loss: not evidence(bets_beyond, loss), least, most)
    return low, high


def _turn(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a condition that holds for large values begins to; `high` where it never does."""
    if holds(low):
        return low
    if not holds(high):
        return high
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _given(drop: float | None) -> float:
    if drop is None:
        raise ValueError("give a ratio or a drop")
    return drop
