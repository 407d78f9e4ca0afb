"""The data-free compressors other than rounding, as functions of one weight matrix: pruning and low-rank products.

Each returns a dense tensor of the given shape and dtype; `recipes` decides what they are applied to.
"""

import numpy as np
import torch
from torch import Tensor

from kick.checkpoints.description.patterns import parse_pattern
from kick.errors import InputError


def magnitude(weight: Tensor, sparsity: float, pattern: str | None) -> Tensor:
    """Zero the weights of least magnitude in one Linear.

    Without a pattern exactly `round(sparsity * numel)` weights are zeroed, chosen over the whole matrix. With
    "N:M", N weights are kept of each M consecutive ones along the input dimension. Of equal magnitudes the
    earlier (row by row) is zeroed first, so the same weights give the same mask, and a larger sparsity zeroes
    all that a smaller one does.

    Sources: Han et al. 2015 (arXiv:1506.02626), layer by layer as in the baseline of SparseGPT and Wanda; N:M
    as in Zhou et al. 2021 (arXiv:2102.04010), N non-zeros of each M.

    Args:
        weight: [out, in], floating point.
        sparsity: share of zeros, 0..1; with a pattern, that of the pattern.
        pattern: "N:M", or None.

    Raises:
        InputError: `in` is not divisible by M.
    """
    if pattern is None:
        return _smallest_zeroed(weight, round(sparsity * weight.numel()))
    kept, size = parse_pattern(pattern)
    if weight.shape[1] % size:
        raise InputError(
            f"an input dimension of {weight.shape[1]} is not divisible into the groups of {size} of "
            f"{pattern}."
        )
    groups = weight.reshape(-1, size)
    order = groups.abs().argsort(dim=1, stable=True)
    return groups.scatter(1, order[:, : size - kept], 0).reshape(weight.shape)


def rank_of(shape: tuple[int, int], share: float) -> int:
    """Return the largest rank r, at least 1, whose factors [out, r] and [r, in] keep to a share of the weights."""
    rows, columns = shape
    return max(1, int(share * rows * columns / (rows + columns)))


def low_rank(weight: Tensor, rank: int) -> Tensor:
    """Return the nearest matrix of a rank, by truncated SVD (Eckart and Young 1936), multiplied out.

    It is computed in float32 and cast back. Its size is that of the dense weight; its factors would have
    rank * (out + in) parameters.

    Args:
        weight: [out, in], floating point.
        rank: 1..min(out, in).
    """
    left, values, right = torch.linalg.svd(weight.to(torch.float32), full_matrices=False)
    nearest: Tensor = (left[:, :rank] * values[:rank]) @ right[:rank]
    return nearest.to(weight.dtype)


def _smallest_zeroed(weight: Tensor, count: int) -> Tensor:
    # Without its sign bit a float orders as the integer of its bits; numpy partitions integers ten times
    # faster than torch finds the k-th float.
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    size = weight.abs().contiguous().view(bits).numpy().ravel()
    pruned = weight.clone().contiguous()
    if count:
        threshold = np.partition(size, count - 1)[count - 1]
        below = size < threshold
        ties = np.flatnonzero(size == threshold)[: count - int(below.sum())]
        flat = pruned.view(-1)
        flat[torch.from_numpy(below)] = 0
        flat[torch.from_numpy(ties)] = 0
    return pruned
