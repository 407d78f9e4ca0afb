"""N:M sparsity: of each M consecutive weights along the input dimension, N are kept."""

from typing import TYPE_CHECKING

import numpy as np

from kick.types.methods import parse_pattern as parse_pattern
from kick.types.methods import pattern_sparsity as pattern_sparsity

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The patterns that are measured on every checkpoint.
COMMON = ("1:2", "2:4", "4:8")
# Integers that hold a group of bytes.
_WORDS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def broken_groups(nonzero: "NDArray[np.bool_]", pattern: str) -> tuple[int, int]:
    """Return how many groups hold more than N non-zeros, and how many groups there are.

    Args:
        nonzero: [..., in], true for each weight that is not zero; weights after the last whole group of a row are not
            counted.
        pattern: "N:M".
    """
    kept, size = parse_pattern(pattern)
    whole = nonzero.shape[-1] - nonzero.shape[-1] % size
    ones = np.ascontiguousarray(nonzero[..., :whole]).view(np.uint8).reshape(-1)
    if size in _WORDS:
        # The product adds up the bytes of an integer in its highest byte.
        word = _WORDS[size]
        each = word(int.from_bytes(bytes([1] * size), "little"))
        counts = (ones.view(word) * each) >> word(8 * (size - 1))
    else:
        counts = ones.reshape(-1, size).sum(axis=1)
    return int(np.count_nonzero(counts > kept)), counts.size
