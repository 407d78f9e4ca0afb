"""A results folder that is read once: what a report needs again and again is kept in memory."""

from collections.abc import Collection
from typing import Any

import pandas as pd

from kick.store.layout import noise_id
from kick.store.store import Store
from kick.types import Cell, CheckpointRecord


class Snapshot(Store):
    """A `Store` that remembers what it read: every record, and the items of the reference and of its noise floor.

    A report compares each checkpoint with the reference, so the reference's items are requested once per checkpoint.
    Prompts and targets, the bulk of a cell, are read for the reference only: an item is paired by their hashes. The
    folder is assumed not to change meanwhile.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store.root)
        self._suite = super().suite()
        self._records = {record.checkpoint.id: record for record in super().checkpoints()}
        self._cells: dict[tuple[str, str], Cell | None] = {}
        reference = str(self._suite.get("reference"))
        # Checkpoint id -> task -> items.
        self._kept: dict[str, dict[str, pd.DataFrame]] = {reference: {}, noise_id(reference): {}}

    def suite(self) -> dict[str, Any]:
        """Return the suite as it was when the snapshot was made."""
        return self._suite

    def checkpoint(self, checkpoint_id: str) -> CheckpointRecord | None:
        """Return the record of a checkpoint as it was when the snapshot was made, or None."""
        return self._records.get(checkpoint_id)

    def checkpoints(self) -> list[CheckpointRecord]:
        """Return every record as it was when the snapshot was made."""
        return list(self._records.values())

    def cell(self, checkpoint: str, task: str) -> Cell | None:
        """Return the current cell as it was when it was first read, or None."""
        key = (checkpoint, task)
        if key not in self._cells:
            self._cells[key] = super().cell(checkpoint, task)
        return self._cells[key]

    def comparisons(self) -> int:
        """Return the number of cells of answers that can be compared with the reference, at most."""
        reference = self._suite.get("reference")
        return sum(
            not task.startswith("perplexity_")
            for record in self._records.values()
            if record.checkpoint.id != reference
            for task in record.cells
        )

    def items(self, cell: Cell, without: Collection[str] = ()) -> pd.DataFrame:
        """Return the items of a cell; those of candidates come without prompts and targets."""
        kept = self._kept.get(cell.checkpoint)
        if kept is None:
            return super().items(cell, ("prompt", "target", *without))
        if cell.task.name not in kept:
            kept[cell.task.name] = super().items(cell, without)
        return kept[cell.task.name]
