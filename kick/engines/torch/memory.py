"""Batches that do not fit the memory go through in halves, and the size that did not fit is remembered."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import should_reduce_batch_size

Row = TypeVar("Row")
Response = TypeVar("Response")


class Memory:
    """The sizes that are known to fit; one record serves all checkpoints of a run."""

    def __init__(self) -> None:
        # The smallest size that is known not to fit.
        self.too_large: float = float("inf")

    def run(
        self,
        rows: Sequence[Row],
        size: Callable[[Sequence[Row]], int],
        work: Callable[[Sequence[Row]], dict[int, Response]],
    ) -> dict[int, Response]:
        """Return the responses of `work` to all rows, computed together or in as few parts as fit.

        Raises:
            RuntimeError: a single row does not fit (torch's own error).
        """
        if len(rows) == 1 or size(rows) < self.too_large:
            try:
                return work(rows)
            except RuntimeError as error:
                if not should_reduce_batch_size(error) or len(rows) == 1:
                    raise
                self.too_large = min(self.too_large, size(rows))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        middle = (len(rows) + 1) // 2
        return {**self.run(rows[:middle], size, work), **self.run(rows[middle:], size, work)}
