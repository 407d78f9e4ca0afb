"""Candidates that differ in nothing but a seed or a calibration set, as one: their mean, and its luck."""

from collections.abc import Sequence

import numpy as np

from kick.comparison.pairing import Pairs
from kick.comparison.records import ReplicateComparison
from kick.comparison.statistics.bootstrap import crossed_interval
from kick.errors import InputError
from kick.types import Estimate

RESAMPLES = 4_000
SEED = 1234


def compare_replicates(pairs: Sequence[Pairs], *, resamples: int = RESAMPLES) -> ReplicateComparison:
    """Return the mean difference of several replicates to one reference; items and replicates are both random.

    Args:
        pairs: the pairs of each replicate with the reference, on one task and metric.
        resamples: of the hierarchical bootstrap; see `crossed_interval`.

    Raises:
        InputError: fewer than two replicates, a perplexity task, or replicates that lack items.
    """
    if len(pairs) < 2:
        raise InputError(
            "one candidate has no spread: name at least two that differ in seed or calibration set."
        )
    first = pairs[0]
    if first.sample.perplexity:
        raise InputError(f"{first.task}: replicates are compared by scores of items, not by perplexity.")
    short = [part.candidate.checkpoint for part in pairs if part.unpaired]
    if short:
        raise InputError(f"{', '.join(short)}: not every item of {first.task} was answered. Run them again.")
    differences = np.stack([part.sample.b - part.sample.a for part in pairs], axis=1)
    means = differences.mean(axis=0)
    groups = first.sample.groups
    if groups is not None:
        number = int(groups.max()) + 1
        differences = np.stack([np.bincount(groups, weights=column) for column in differences.T], axis=1)
        differences *= number / len(groups)
    value, low, high = crossed_interval(differences, resamples=resamples, seed=SEED)
    return ReplicateComparison(
        task=first.task,
        metric=first.metric,
        reference=first.reference.checkpoint,
        candidates=tuple(part.candidate.checkpoint for part in pairs),
        delta=Estimate(
            value=value,
            low=low,
            high=high,
            n=first.sample.n,
            method=f"hierarchical bootstrap over {len(pairs)} replicates, {resamples} resamples",
        ),
        spread=float(means.std(ddof=1)),
    )
