"""The results folder: write, read, resume, lock.

A cell appears whole or not at all: its files are written to a temporary folder, synced, and renamed into place.
Everything that compares or reports reads results through this module and through nothing else. What is read is checked:
each file against its checksum, each name in it against the grammar of `kick.identifiers`.

    DIR/suite.yaml                                   the suite as run
    DIR/checkpoints/<id>.json                        a CheckpointRecord
    DIR/cells/<checkpoint>/<task>/<key>/cell.json    a Cell, next to items.parquet with one row per item
    DIR/journal/<checkpoint>-<key>.<kind>.jsonl      responses or token scores of a cell that is not finished
    DIR/states/<key>.bin, .json, .head.safetensors   what divergence from a reference's cell is measured by; a cache
    DIR/tiers/<key>.json                             a TierChoice: how the suite's checkpoints are scored
    DIR/locks/                                       held while a checkpoint is scored
    DIR/broken/<time>/                               what `kick verify --repair` moved aside
    DIR/manifest.json, manifest.json.minisig         what `kick verify --manifest write` listed; `--sign` signed it
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kick.errors import InputError
from kick.files import (
    clear_abandoned,
    file_sha256,
    is_temporary,
    named_errors,
    sync,
    temporary_path,
)
from kick.identifiers import check_identifier
from kick.store.layout import BROKEN, FOLDER_LOCK, SUITE, JournalKind, cell_key
from kick.store.locking import LockHeldError, held
from kick.store.records import WAY_OUT, read_record, read_suite, seal_json, write_record, write_suite
from kick.store.verification import inspect
from kick.types import Cell, CheckpointRecord, TierChoice

# Columns of items.parquet, without those of the metrics. `response` is empty for likelihood tasks; `choice_logprobs`
# (natural log, float64, one per choice) is for generated ones. `cut` (bool): the response was ended by its budget.
ITEM_COLUMNS = (
    "doc_id",
    "doc_hash",
    "prompt_hash",
    "target_hash",
    "group",
    "prompt",
    "target",
    "response",
    "cut",
    "choice_logprobs",
)


class Store:
    """A results folder.

    Args:
        root: the folder. `Store.create` makes it; the constructor expects it.

    Raises:
        InputError: `root` is not a results folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not (self.root / SUITE).is_file():
            raise InputError(
                f"{self.root} is not a results folder: it has no suite.yaml. Give the folder that `kick run` wrote to."
            )

    @classmethod
    def create(cls, root: Path | str, suite_text: str) -> "Store":
        """Make or reopen a results folder for a suite.

        `suite_text` replaces its suite.yaml, and what processes that are gone left half-written is removed.

        Raises:
            InputError: `root` is a file, or a folder that is not empty and not of kick.
        """
        root = Path(root)
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file. Give a folder for the results.")
        if root.is_dir() and not _is_ours(root):
            raise InputError(f"{root} holds other files and no results of kick. Give a new or empty folder.")
        root.mkdir(parents=True, exist_ok=True)
        refuse_links(root)
        with _folder_lock(root):
            clear_abandoned(root)
            write_suite(root / SUITE, suite_text)
        return cls(root)

    @contextmanager
    def lock(self, checkpoint: str) -> Iterator[None]:
        """Hold a checkpoint of this folder: two runs may share a folder, but not score one checkpoint twice.

        Raises:
            InputError: another run holds it.
        """
        check_identifier(checkpoint, "the checkpoint id")
        path = self.root / "locks" / f"{checkpoint}.lock"
        with ExitStack() as stack:
            try:
                stack.enter_context(held(path, wait=False))
            except LockHeldError:
                raise InputError(
                    f"another run is scoring '{checkpoint}' into {self.root} (it holds {path}). "
                    "Wait for it, or run the other checkpoints with --only."
                ) from None
            yield

    def suite(self) -> dict[str, Any]:
        """Return the suite as run, as plain data.

        Raises:
            InputError: suite.yaml is not the file that was written.
        """
        return read_suite(self.root / SUITE)

    # --- checkpoints ---

    def checkpoint_path(self, checkpoint_id: str) -> Path:
        """Return the file of a checkpoint's record."""
        return self.root / "checkpoints" / f"{check_identifier(checkpoint_id, 'the checkpoint id')}.json"

    def write_checkpoint(self, record: CheckpointRecord) -> None:
        """Store the record of a checkpoint in the place of an older one."""
        write_record(self.checkpoint_path(record.checkpoint.id), record)

    def checkpoint(self, checkpoint_id: str) -> CheckpointRecord | None:
        """Return the record of a checkpoint, or None if it was never scored here.

        Raises:
            InputError: the record is not the one that was written.
        """
        path = self.checkpoint_path(checkpoint_id)
        return read_record(path, CheckpointRecord) if path.exists() else None

    def checkpoints(self) -> list[CheckpointRecord]:
        """Return the record of every checkpoint scored here, in the order of their ids.

        Raises:
            InputError: a record is not the one that was written.
        """
        paths = (self.root / "checkpoints").glob("*.json")
        return [read_record(path, CheckpointRecord) for path in sorted(paths) if not is_temporary(path)]

    # --- tiers ---

    def tier_path(self, key: str) -> Path:
        """Return the file of a choice of tier."""
        return self.root / "tiers" / f"{check_identifier(key, 'the key of a tier')}.json"

    def write_tier(self, key: str, choice: TierChoice) -> None:
        """Store what was chosen for a reference as it is loaded (`key`)."""
        write_record(self.tier_path(key), choice)

    def tier(self, key: str) -> TierChoice | None:
        """Return what was chosen for a reference as it is loaded (`key`), or None if nothing was yet.

        Raises:
            InputError: the choice is not the one that was written.
        """
        path = self.tier_path(key)
        return read_record(path, TierChoice) if path.exists() else None

    # --- cells ---

    def cell_dir(self, checkpoint: str, task: str, key: str) -> Path:
        """Return the folder of a cell."""
        parts = (("checkpoint id", checkpoint), ("name of the task", task), ("key of the cell", key))
        return self.root.joinpath("cells", *(check_identifier(text, f"the {what}") for what, text in parts))

    def has(self, checkpoint: str, task: str, key: str) -> bool:
        """Return whether a cell is stored."""
        return (self.cell_dir(checkpoint, task, key) / "cell.json").is_file()

    def cell(self, checkpoint: str, task: str) -> Cell | None:
        """Return the current cell of a checkpoint on a task, or None if it was not scored (to the end).

        Raises:
            InputError: the record of the checkpoint or of the cell is not the one that was written.
        """
        record = self.checkpoint(checkpoint)
        key = record.cells.get(task) if record else None
        if key is None or not self.has(checkpoint, task, key):
            return None
        return self.read_cell(self.cell_dir(checkpoint, task, key))

    def cells(self) -> list[Cell]:
        """Return every cell that is stored, current or not.

        Raises:
            InputError: a cell is not the one that was written.
        """
        return [self.read_cell(folder) for folder in self.cell_folders()]

    def cell_folders(self) -> list[Path]:
        """Return the folders of whole cells; those of a write that was killed begin with a dot."""
        folders = sorted((self.root / "cells").glob("*/*/*"))
        return [folder for folder in folders if not folder.name.startswith(".")]

    def read_cell(self, folder: Path) -> Cell:
        """Return the cell that a folder of `cell_folders` holds.

        Raises:
            InputError: it is not the one that was written, or was moved here.
        """
        cell = read_record(folder / "cell.json", Cell)
        named = (cell.checkpoint, cell.task.name, cell.key)
        if named != folder.parts[-3:] or cell_key(cell.identity) != cell.key:
            raise InputError(
                f"{folder}: the key is not the hash of the cell's identity, or the folder is that of another cell: "
                f"it was moved or edited. {WAY_OUT}"
            )
        return cell

    def items(self, cell: Cell, without: Collection[str] = ()) -> pd.DataFrame:
        """Return the items of a cell: `ITEM_COLUMNS` and one float column per metric, in the order of the plan.

        Args:
            cell: as `cell` returned it.
            without: columns that are not wanted; they are not read.

        Raises:
            InputError: the file is missing, or is not the one that was written.
        """
        path = self.cell_dir(cell.checkpoint, cell.task.name, cell.key) / "items.parquet"
        if not path.is_file():
            raise InputError(f"{path} is missing. {WAY_OUT}")
        if file_sha256(path) != cell.items_sha256:
            raise InputError(
                f"{path} is not the file that was written: its SHA-256 differs from the one in cell.json. {WAY_OUT}"
            )
        try:
            file = pq.ParquetFile(path)
            missing = [name for name in _columns(cell) if name not in file.schema_arrow.names]
            if missing:
                raise InputError(f"{path} lacks the columns {', '.join(missing)}. {WAY_OUT}")
            wanted = [name for name in file.schema_arrow.names if name not in without]
            items: pd.DataFrame = file.read(columns=wanted, use_threads=False).to_pandas(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path} is not Parquet of kick: {error}. {WAY_OUT}") from None
        for metric in cell.task.metrics:
            if not pd.api.types.is_numeric_dtype(items[metric]):
                raise InputError(f"{path}: the column {metric} does not hold numbers. {WAY_OUT}")
        return items

    def write_cell(self, cell: Cell, items: pd.DataFrame) -> Cell:
        """Store a cell whole and drop its journals.

        Returns:
            The cell with the checksum of its items.

        Raises:
            ValueError: `items` lacks a column.
        """
        missing = [name for name in _columns(cell) if name not in items.columns]
        if missing:
            raise ValueError(f"items of {cell.task.name} lack the columns {missing}")
        final = self.cell_dir(cell.checkpoint, cell.task.name, cell.key)
        with named_errors(final):
            cell = self._write_whole(cell, items, final)
        for kind in get_args(JournalKind):
            self.journal_path(cell.checkpoint, cell.key, kind).unlink(missing_ok=True)
        return cell

    def _write_whole(self, cell: Cell, items: pd.DataFrame, final: Path) -> Cell:
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch, old = temporary_path(final), temporary_path(final)
        try:
            scratch.mkdir()
            items.to_parquet(scratch / "items.parquet", compression="zstd", index=False)
            sync(scratch / "items.parquet")
            cell = cell.model_copy(update={"items_sha256": file_sha256(scratch / "items.parquet")})
            text = seal_json(cell.model_dump_json(indent=1))
            (scratch / "cell.json").write_text(text, encoding="utf-8", newline="")
            sync(scratch / "cell.json")
            sync(scratch)
            if final.exists():
                final.rename(old)
            scratch.rename(final)
        except BaseException:
            if old.exists() and not final.exists():
                old.rename(final)
            raise
        finally:
            for leftover in (scratch, old):
                shutil.rmtree(leftover, ignore_errors=True)
        sync(final.parent)
        return cell

    # --- what a run keeps for itself ---

    def states_path(self, key: str) -> Path:
        """Return the file of the states that divergence from a reference's cell is measured by."""
        return self.root / "states" / f"{check_identifier(key, 'the key of the cell')}.bin"

    def journal_path(self, checkpoint: str, key: str, kind: JournalKind = "responses") -> Path:
        """Return the journal of a cell that is not finished: of its responses, or of the scores of its tokens."""
        check_identifier(checkpoint, "the checkpoint id")
        check_identifier(key, "the key of the cell")
        return self.root / "journal" / f"{checkpoint}-{key}.{kind}.jsonl"

    # --- verification ---

    def damage(self, checkpoint: str | None = None) -> list[str]:
        """Return what is broken, one sentence each: files that are not what was written.

        Args:
            checkpoint: only the suite, and the record and cells of this checkpoint; None: every file but the manifest
                and the states of a reference, which are large, in no score, and checked before they are used.
        """
        findings = inspect(Store(self.root), checkpoint, every_file=False)
        return [str(finding) for finding in findings if finding.kind == "broken"]

    def verify(self) -> list[str]:
        """Return what is broken and what is missing, one sentence each; an empty list if nothing is."""
        return [str(finding) for finding in inspect(Store(self.root)) if finding.is_problem]


def refuse_links(root: Path) -> None:
    """Refuse to write into a results folder whose own folders are links: its owner would choose where they lead.

    Raises:
        InputError: one of them is a link.
    """
    for name in ("checkpoints", "cells", "journal", "states", "tiers", "locks", BROKEN):
        if (root / name).is_symlink():
            raise InputError(
                f"{root / name} is a link to {(root / name).readlink()}. Put a folder in its place."
            )


def _columns(cell: Cell) -> tuple[str, ...]:
    return (*ITEM_COLUMNS, *cell.task.metrics)


def _is_ours(root: Path) -> bool:
    """Return whether a folder holds results, or nothing but what a run left that was killed while it made the folder.

    A folder without a suite.yaml is of kick if `kick verify --repair` moved that aside.
    """
    if (root / SUITE).exists() or (root / BROKEN).is_dir():
        return True
    locks = root / "locks"
    others = [path for path in root.iterdir() if path != locks and not is_temporary(path)]
    if locks.is_dir():
        others += [path for path in locks.iterdir() if path.name != FOLDER_LOCK]
    return not others


@contextmanager
def _folder_lock(root: Path) -> Iterator[None]:
    """Hold a folder while its suite.yaml is replaced and its temporary files are cleared; waits for other runs."""
    with held(root / "locks" / FOLDER_LOCK, wait=True):
        yield
