"""Factuality of summaries, if a suite named a model that judged it (`kick.harness.entailment`)."""

import numpy as np

from kick.comparison.pairing import Pairs
from kick.comparison.sample import PairedSample
from kick.types import PairedEstimates

ENTAILED = "entailed"


def factuality(pairs: Pairs) -> PairedEstimates | None:
    """Return the mean share of sentences that the article entails, 0..1; None if it was not measured."""
    if ENTAILED not in pairs.reference.task.metrics or ENTAILED not in pairs.candidate.task.metrics:
        return None
    sample = PairedSample(
        pairs.reference_items[ENTAILED].to_numpy(np.float64),
        pairs.candidate_items[ENTAILED].to_numpy(np.float64),
        groups=pairs.sample.groups,
        strata=pairs.sample.strata,
    )
    return PairedEstimates(
        reference=sample.reference_score, candidate=sample.candidate_score, delta=sample.delta
    )
