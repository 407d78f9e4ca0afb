"""Limits of an interval as the values at which a one-sided test turns at 2.5 %."""

import math
from collections.abc import Callable
from typing import Protocol

from scipy.optimize import brentq

from kick.comparison.statistics.moments import CONFIDENCE

_LEVEL = (1 - CONFIDENCE) / 2
_MAX_RATIO = 1e6


class Evidence(Protocol):
    """The one-sided p-values of a recovery."""

    def __call__(self, theta: float, *, below: bool) -> float:
        """Return the p-value of "the recovery is at most `theta`", or of "at least" if `below`."""


def reach(estimate: float, farthest: float, p_value: Callable[[float], float]) -> float:
    """Return the value between the estimate and the farthest one at which a one-sided test turns at 2.5 %."""

    def excess(bound: float) -> float:
        return p_value(bound) - _LEVEL

    margin = 1e-7 * max(abs(farthest - estimate), 1e-12)
    edge = farthest - math.copysign(margin, farthest - estimate)
    if estimate == farthest or excess(edge) >= 0:
        return farthest
    return float(brentq(excess, edge, estimate, xtol=1e-9 + margin / 10))


def reach_ratio(estimate: float, p_value: Callable[[float], float]) -> float:
    """Return the ratio above the estimate at which a one-sided test turns at 2.5 %; infinity if there is none."""
    start, farthest = math.log(max(estimate, 1e-6)), math.log(_MAX_RATIO)
    if start >= farthest:
        return math.inf
    high = reach(start, farthest, lambda bound: p_value(math.exp(bound)))
    return math.inf if high >= farthest else math.exp(high)


def recovery_interval(estimate: float, evidence: Evidence) -> tuple[float, float]:
    """Return the recoveries from 0 upwards between which the one-sided tests do not reject at 2.5 %.

    Args:
        estimate: the recovery as measured; it may be negative.
        evidence: the one-sided p-value of "the recovery is at most (below: at least) this".
    """
    start = max(estimate, 0.0)
    low = 0.0 if estimate <= 0 else reach(estimate, 0.0, lambda bound: evidence(bound, below=False))
    if estimate < 0 and evidence(0.0, below=True) <= _LEVEL:
        return low, 0.0
    return low, reach_ratio(start, lambda bound: evidence(bound, below=True))
