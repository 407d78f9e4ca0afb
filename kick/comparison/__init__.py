"""Reference against candidate, item by item: statistics over a results folder, and over nothing else.

A reader starts with `compare`. `compare_all` and `series_curves` do the same for a whole folder.
"""

from kick.comparison.grid import compare_all, series_curves
from kick.comparison.paired import compare, compare_pairs, score
from kick.comparison.pairing import Pairs, load_pairs

__all__ = [
    "Pairs",
    "compare",
    "compare_all",
    "compare_pairs",
    "load_pairs",
    "score",
    "series_curves",
]
