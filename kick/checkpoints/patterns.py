"""N:M sparsity: of each M consecutive weights along the input dimension, N are kept."""

import re
from typing import TYPE_CHECKING

from kick.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def parse_pattern(pattern: str) -> tuple[int, int]:
    """(N, M) of "N:M".

    Raises:
        InputError: not of that form, or not 0 < N < M.
    """
    match = re.fullmatch(r"(\d+):(\d+)", pattern)
    kept, size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < kept < size:
        raise InputError(
            f"pattern '{pattern}' is not N:M with 0 < N < M: '2:4' keeps 2 of each 4 consecutive weights."
        )
    return kept, size


def pattern_sparsity(pattern: str) -> float:
    """The share of zeros that a pattern asks for: 1 - N/M."""
    kept, size = parse_pattern(pattern)
    return 1 - kept / size


def violations(weight: "Tensor", pattern: str) -> tuple[int, int]:
    """How many groups hold more than N non-zeros, and how many groups there are.

    Args:
        weight: [..., in]; weights after the last whole group of a row are not counted.
        pattern: "N:M".
    """
    kept, size = parse_pattern(pattern)
    whole = weight.shape[-1] - weight.shape[-1] % size
    nonzero = (weight[..., :whole] != 0).reshape(-1, size).sum(dim=-1)
    return int((nonzero > kept).sum()), nonzero.numel()
