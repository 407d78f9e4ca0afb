"""Reference against candidate, item by item: statistics over a results folder, and over nothing else.

A reader starts with `compare`. `compare_all` does the same for a whole folder; `evidence_within` and `evidence_beyond`
say what is shown before everything is scored. Verdicts, and whether perplexity warned, are in `kick.gating`.
"""

from kick.comparison.evidence import evidence_beyond, evidence_within
from kick.comparison.grid import compare_all
from kick.comparison.paired import compare, compare_pairs, score
from kick.comparison.pairing import Pairs, load_pairs

__all__ = [
    "Pairs",
    "compare",
    "compare_all",
    "compare_pairs",
    "evidence_beyond",
    "evidence_within",
    "load_pairs",
    "score",
]
