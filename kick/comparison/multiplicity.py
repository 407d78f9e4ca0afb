"""p-values of tests that are read together, adjusted for their number."""

from collections.abc import Sequence
from typing import Literal

from statsmodels.stats.multitest import multipletests

Correction = Literal["holm", "benjamini-hochberg", "none"]
_METHODS = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}


def adjust(p_values: Sequence[float], correction: Correction) -> list[float]:
    """Adjusted p-values, in the order given.

    Holm (1979) bounds the chance of any false rejection, Benjamini and Hochberg (1995) the expected share
    of false ones among the rejections. Both hold for the positively dependent tests of one candidate on
    several tasks.
    """
    if correction == "none" or len(p_values) < 2:
        return list(p_values)
    return [float(value) for value in multipletests(p_values, method=_METHODS[correction])[1]]
