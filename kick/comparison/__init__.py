"""Reference against candidate, item by item: statistics over a results folder, and over nothing else.

A reader starts with `compare`. `compare_all` and `series_curves` do the same for a whole folder; `evidence_within` and
`evidence_beyond` say what is shown before everything is scored; `matching_rate` says how far a series can be
compressed, `perplexity_warning` whether perplexity warned.
"""

from kick.comparison.curves import matching_rate
from kick.comparison.evidence import evidence_beyond, evidence_within, loss_interval
from kick.comparison.grid import compare_all, series_curves
from kick.comparison.paired import compare, compare_pairs, score
from kick.comparison.pairing import Pairs, load_pairs
from kick.comparison.perplexity import perplexity_warning

__all__ = [
    "Pairs",
    "compare",
    "compare_all",
    "compare_pairs",
    "evidence_beyond",
    "evidence_within",
    "load_pairs",
    "loss_interval",
    "matching_rate",
    "perplexity_warning",
    "score",
    "series_curves",
]
