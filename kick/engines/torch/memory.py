"""Batches that do not fit the memory go through in halves, and the size that did not fit is remembered."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Row = TypeVar("Row")
Response = TypeVar("Response")


class Memory:
    """What is known of how much fits; one for all checkpoints of a run."""

    def __init__(self) -> None:
        self.too_large: float = float("inf")  # the smallest size that was seen not to fit

    def run(
        self,
        rows: Sequence[Row],
        size: Callable[[Sequence[Row]], int],
        work: Callable[[Sequence[Row]], dict[int, Response]],
    ) -> dict[int, Response]:
        """The responses of `work` to all rows, computed together or in as few parts as fit.

        Raises:
            RuntimeError: torch's own, where a single row does not fit.
        """
        if len(rows) == 1 or size(rows) < self.too_large:
            try:
                return work(rows)
            except RuntimeError as error:
                if not _is_out_of_memory(error) or len(rows) == 1:
                    raise
                self.too_large = min(self.too_large, size(rows))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        middle = (len(rows) + 1) // 2
        return {**self.run(rows[:middle], size, work), **self.run(rows[middle:], size, work)}


def _is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a class for it; on a CPU only the message says so."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "not enough memory" in str(error)
        or "out of memory" in str(error)
    )
