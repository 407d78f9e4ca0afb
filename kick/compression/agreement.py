"""A made checkpoint against its recipe: the zeros and levels that were measured are those that the steps leave."""

from pathlib import Path

import numpy as np

from kick.checkpoints.folder import (
    StoredTensor,
    config_json,
    decoder_linears,
    read_tensor,
    stored_tensors,
    stores_transposed,
)
from kick.errors import InputError
from kick.types import Description, Recipe, Step
from kick.types.methods import METHODS

# Pruning rounds the number of zeros of each row or Linear, so the share may be short by a little.
TOLERANCE = 0.002
# Rows of each Linear whose levels are counted: a recipe that was not applied shows in any of them.
ROWS = 32


def check_agreement(folder: Path, recipe: Recipe, description: Description) -> None:
    """Check that a made checkpoint is what its recipe says.

    Its sparsity is at least that of every pruning step whose zeros the later steps keep, and after a last step that
    rounds, each group of weights has at most 2^bits levels. Levels are counted in some rows of each Linear. Packed
    weights are not looked at.

    Args:
        folder: the checkpoint.
        recipe: every step that made it.
        description: what was measured on the folder.

    Raises:
        InputError: it is not.
    """
    if description.packed:
        return
    least = _least_sparsity(recipe)
    if description.sparsity < least - TOLERANCE:
        raise InputError(
            f"{folder} is not what its recipe says: {description.sparsity:.1%} of the weights in decoder Linears are "
            f"zero, and {' then '.join(step.method for step in recipe.steps)} leaves at least {least:.1%}. Delete the "
            "folder, and it is made again."
        )
    if recipe.bits is not None:
        _check_levels(folder, recipe.steps[-1], recipe.bits)


def _least_sparsity(recipe: Recipe) -> float:
    least = 0.0
    for step in recipe.steps:
        kept = least if METHODS[step.method].keeps_zeros else 0.0
        least = max(kept, step.sparsity or 0.0)
    return least


def _check_levels(folder: Path, step: Step, bits: int) -> None:
    transposed = stores_transposed(config_json(folder))
    for linear in decoder_linears(stored_tensors(folder)):
        levels = _levels(linear, step.group_size, transposed)
        if levels > 2**bits:
            raise InputError(
                f"{folder} is not what its recipe says: a group of weights in '{linear.name}' has {levels} levels, and "
                f"{step.method} of {bits} bits leaves at most {2**bits}. Delete the folder, and it is made again."
            )


def _levels(linear: StoredTensor, group_size: int | None, transposed: bool) -> int:
    """Return the largest number of different values in a group, over some rows of a Linear."""
    weight = read_tensor(linear)
    weight = weight.T if transposed else weight
    stride = max(1, weight.shape[0] // ROWS)
    rows = weight[::stride].float().numpy()
    size = min(group_size or rows.shape[1], rows.shape[1])
    return max(
        1 + int(np.count_nonzero(np.diff(np.sort(rows[:, start : start + size])), axis=1).max())
        for start in range(0, rows.shape[1], size)
    )
