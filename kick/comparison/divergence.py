"""The distance of a candidate's next-token distributions from its reference's, with intervals by item and noise floor.

The statistics over all tokens are those of the cell (`kick.harness.divergence`). Tokens of one answer depend on each
other, so intervals are made of the items: each counts with the mean over its tokens.
"""

import numpy as np
import pandas as pd

from kick.comparison.estimates import score_estimate
from kick.comparison.pairing import Pairs, group_codes
from kick.comparison.records import Diverged
from kick.comparison.statistics.moments import Array, Codes
from kick.store import Store, noise_id
from kick.types import Cell, Estimate


def divergence(store: Store, pairs: Pairs) -> Diverged | None:
    """Return how far the candidate is from the reference on the items of a comparison; None if it was not measured.

    Raises:
        InputError: the cell of the noise floor is damaged.
    """
    cell, items = pairs.candidate, pairs.candidate_items
    if cell.divergence is None or "kl" not in items:
        return None
    groups, weights = pairs.sample.groups, pairs.sample.weights
    noise = _noise(store, pairs.reference)
    return Diverged(
        kl=_mean(items["kl"], groups, weights, lowest=0.0),
        reverse_kl=_mean(items["reverse_kl"], groups, weights, lowest=0.0),
        delta_p=_mean(items["delta_p"], groups, weights, lowest=-1.0),
        same_top=score_estimate(items["same_top"].to_numpy(np.float64), groups, weights),
        tokens=cell.divergence,
        noise_kl=noise[0] if noise else None,
        noise_same_top=noise[1] if noise else None,
    )


def _noise(store: Store, reference: Cell) -> tuple[Estimate, Estimate] | None:
    """Return KL and equal first choices of the reference against itself in batches of another size.

    Returns:
        None if they were not measured on these weights and items.
    """
    again = store.cell(noise_id(reference.checkpoint), reference.task.name)
    if again is None or again.divergence is None:
        return None
    if (again.identity.checkpoint, again.identity.plan) != (
        reference.identity.checkpoint,
        reference.identity.plan,
    ):
        return None
    items = store.items(again)
    groups = group_codes(again, items)
    return _mean(items["kl"], groups, None, lowest=0.0), score_estimate(
        items["same_top"].to_numpy(np.float64), groups
    )


def _mean(values: pd.Series, groups: Codes | None, weights: Array | None, lowest: float) -> Estimate:
    return score_estimate(values.to_numpy(np.float64), groups, weights, lowest=lowest)
