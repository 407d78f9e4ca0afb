"""p-values of tests that are read together, adjusted for their number."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

Correction = Literal["holm", "benjamini-hochberg", "none"]


def adjust(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Return the adjusted p-values, in the order given.

    Holm (1979) bounds the chance of any false rejection, Benjamini and Hochberg (1995) the expected share of
    false ones among the rejections. Both hold for the positively dependent tests of one candidate on several
    tasks.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if correction == "none" or len(p) < 2:
        return list(p_values)
    if correction == "benjamini-hochberg":
        return [float(value) for value in stats.false_discovery_control(p)]
    # statsmodels has Holm's too, and collects garbage on every call, which costs more than a whole comparison.
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]
