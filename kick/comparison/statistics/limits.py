"""Limits of an interval as the values at which a one-sided test turns at 2.5 %."""

import math
from collections.abc import Callable

from scipy.optimize import brentq

from kick.comparison.statistics.moments import CONFIDENCE

_LEVEL = (1 - CONFIDENCE) / 2
_MAX_RATIO = 1e6


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
