"""The distinct inputs of scored requests, in an order in which those that share a beginning are neighbours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kick.engines.base import Score

# Shared tokens that are worth a forward of their own.
MIN_SHARED = 32

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Path:
    """One input of the model: a context with a continuation but its last token."""

    tokens: tuple[int, ...]
    requests: tuple[tuple[int, Score], ...]
    """The requests that have this input, each with its position in the plan."""

    @property
    def context(self) -> int:
        """The number of tokens before the first one whose logits are needed."""
        return min(len(request.context) for _, request in self.requests) - 1


def distinct_paths(requests: Mapping[int, Score]) -> list[Path]:
    """Return the distinct inputs in the order of their tokens: those that share a beginning are neighbours."""
    inputs: dict[tuple[int, ...], list[tuple[int, Score]]] = {}
    for position, request in requests.items():
        inputs.setdefault((*request.context, *request.continuation[:-1]), []).append((position, request))
    return [Path(tokens, tuple(members)) for tokens, members in sorted(inputs.items())]


def shared_lengths(paths: Sequence[Path]) -> Counts:
    """Return the number of tokens with which each path begins like the one before it."""
    return np.array([0] + [common_length(a.tokens, b.tokens) for a, b in pairwise(paths)])


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of first tokens that two sequences have in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def cuts(paths: Sequence[Path]) -> Iterator[tuple[int, ...]]:
    """Yield for each path the depths up to which its tokens are computed apart, because further paths share them.

    Paths that share a beginning are cut alike in it, so what is computed up to a cut is the same for all of them,
    whichever comes first.
    """
    shared = shared_lengths(paths)
    depths: list[tuple[int, ...]] = [()] * len(paths)
    waiting: list[tuple[int, int, tuple[int, ...]]] = [(0, len(paths), ())]
    while waiting:
        first, last, before = waiting.pop()
        if last - first <= 1:
            depths[first:last] = [before] * (last - first)
            continue
        inner = shared[first + 1 : last]
        parting = int(inner.min())
        common = min(parting, min(path.context for path in paths[first:last]))
        if common - (before[-1] if before else 0) >= MIN_SHARED:
            before = (*before, common)
        ends = [first, *(first + 1 + np.flatnonzero(inner == parting)).tolist(), last]
        waiting += [(a, b, before) for a, b in pairwise(ends)]
    yield from depths
