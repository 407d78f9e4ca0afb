"""The results directory: write, read, verify, resume, lock.

A cell appears whole or not at all: its files are written to a temporary folder, synced, and renamed into place.
Everything that compares or reports reads results through this module and through nothing else.

    DIR/suite.yaml                                   the suite as run
    DIR/checkpoints/<id>.json                        a CheckpointRecord
    DIR/cells/<checkpoint>/<task>/<key>/cell.json    a Cell, beside items.parquet: one row an item
    DIR/journal/<checkpoint>-<key>.<kind>.jsonl      responses or token scores of a cell that is not finished
    DIR/states/<key>.bin, .json, .head.safetensors   what divergence from a reference's cell is measured by; a cache
    DIR/tiers/<key>.json                             a TierChoice: how the suite's checkpoints are scored
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import pandas as pd
import pyarrow.parquet as pq
import yaml
from filelock import FileLock, Timeout
from pydantic import ValidationError

from kick.errors import InputError
from kick.files import file_sha256, sync
from kick.types import Cell, CellIdentity, CheckpointRecord, Record, TierChoice

# Columns of items.parquet beside one column per metric. `response` is empty for likelihood tasks, and `choice_logprobs`
# (natural log, float64, one per choice) for generated ones. `cut` (bool): the response was ended by its budget.
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

JournalKind = Literal["responses", "tokens"]

R = TypeVar("R", bound=Record)


def noise_id(reference: str) -> str:
    """The id under which a reference is scored again, in batches of another size, for the noise floor."""
    return f"{reference}@noise"


def cell_key(identity: CellIdentity) -> str:
    """The key of the cell with this identity: 16 hex digits of a SHA-256."""
    fields = identity.model_dump(mode="json", exclude=None if identity.divergence else {"divergence"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def tier_key(fingerprint: str, dtype: str, device: str, versions: dict[str, str]) -> str:
    """The key of the tier that is chosen for a reference as it is loaded: 16 hex digits of a SHA-256."""
    text = json.dumps([fingerprint, dtype, device, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """A results directory.

    Args:
        root: the folder. `Store.create` makes it; the constructor expects it.

    Raises:
        InputError: `root` is not a results folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not (self.root / "suite.yaml").is_file():
            raise InputError(
                f"{self.root} is not a results folder: it has no suite.yaml. Give the folder that `kick run` wrote to."
            )

    @classmethod
    def create(cls, root: Path | str, suite_text: str) -> "Store":
        """Make or reopen a results folder for a suite; `suite_text` replaces its suite.yaml."""
        root = Path(root)
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file. Give a folder for the results.")
        if root.is_dir() and any(root.iterdir()) and not (root / "suite.yaml").exists():
            raise InputError(f"{root} holds other files and no results of kick. Give a new or empty folder.")
        root.mkdir(parents=True, exist_ok=True)
        _write_atomically(root / "suite.yaml", suite_text)
        return cls(root)

    @contextmanager
    def lock(self, checkpoint: str) -> Iterator[None]:
        """Hold a checkpoint of this folder: two runs may share a folder, but not score one checkpoint twice."""
        path = self.root / "locks" / f"{checkpoint}.lock"
        path.parent.mkdir(exist_ok=True)
        try:
            with FileLock(path, timeout=0):
                yield
        except Timeout:
            raise InputError(
                f"another run is scoring '{checkpoint}' into {self.root} (it holds {path}). "
                "Wait for it, or run the other checkpoints with --only."
            ) from None

    def suite(self) -> dict[str, Any]:
        """The suite as run, as plain data."""
        data = yaml.safe_load((self.root / "suite.yaml").read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise InputError(
                f"{self.root / 'suite.yaml'} is damaged: expected a mapping. Run the suite again."
            )
        return data

    # --- checkpoints ---

    def write_checkpoint(self, record: CheckpointRecord) -> None:
        path = self.root / "checkpoints" / f"{record.checkpoint.id}.json"
        path.parent.mkdir(exist_ok=True)
        _write_atomically(path, record.model_dump_json(indent=1))

    def checkpoint(self, checkpoint_id: str) -> CheckpointRecord | None:
        """The record of a checkpoint, or None if it was never scored here."""
        path = self.root / "checkpoints" / f"{checkpoint_id}.json"
        return _read_record(path, CheckpointRecord) if path.exists() else None

    def checkpoints(self) -> list[CheckpointRecord]:
        """Every checkpoint scored here, in the order of their ids."""
        paths = sorted((self.root / "checkpoints").glob("*.json"))
        return [_read_record(path, CheckpointRecord) for path in paths]

    # --- tiers ---

    def write_tier(self, key: str, choice: TierChoice) -> None:
        path = self.root / "tiers" / f"{key}.json"
        path.parent.mkdir(exist_ok=True)
        _write_atomically(path, choice.model_dump_json(indent=1))

    def tier(self, key: str) -> TierChoice | None:
        """What was chosen for a reference as it is loaded (`key`), or None if nothing was yet."""
        path = self.root / "tiers" / f"{key}.json"
        return _read_record(path, TierChoice) if path.exists() else None

    # --- cells ---

    def cell_dir(self, checkpoint: str, task: str, key: str) -> Path:
        return self.root / "cells" / checkpoint / task / key

    def has(self, checkpoint: str, task: str, key: str) -> bool:
        return (self.cell_dir(checkpoint, task, key) / "cell.json").is_file()

    def cell(self, checkpoint: str, task: str) -> Cell | None:
        """The current cell of a checkpoint on a task, or None if it was not scored (to the end)."""
        record = self.checkpoint(checkpoint)
        key = record.cells.get(task) if record else None
        if key is None or not self.has(checkpoint, task, key):
            return None
        return _read_record(self.cell_dir(checkpoint, task, key) / "cell.json", Cell)

    def cells(self) -> list[Cell]:
        """Every cell that is stored, current or not."""
        return [_read_record(folder / "cell.json", Cell) for folder in self._cell_folders()]

    def _cell_folders(self) -> list[Path]:
        """The folders of whole cells; those of a write that was killed begin with a dot."""
        folders = sorted((self.root / "cells").glob("*/*/*"))
        return [folder for folder in folders if not folder.name.startswith(".")]

    def items(self, cell: Cell, without: Collection[str] = ()) -> pd.DataFrame:
        """The items of a cell: `ITEM_COLUMNS` and one float column a metric, in the order of the plan.

        `without` names columns that are not wanted; they are not read.

        Raises:
            InputError: the file is missing, or is not the one that was written.
        """
        path = self.cell_dir(cell.checkpoint, cell.task.name, cell.key) / "items.parquet"
        if not path.is_file():
            raise InputError(f"{path} is missing. Delete its folder and run the suite again.")
        if file_sha256(path) != cell.items_sha256:
            raise InputError(
                f"{path} is not the file that was written: its SHA-256 differs from the one in cell.json. "
                "Delete its folder and run the suite again."
            )
        file = pq.ParquetFile(path)
        wanted = [name for name in file.schema_arrow.names if name not in without]
        items: pd.DataFrame = file.read(columns=wanted, use_threads=False).to_pandas(use_threads=False)
        return items

    def write_cell(self, cell: Cell, items: pd.DataFrame) -> Cell:
        """Store a cell whole and drop its journal; returns it with the checksum of its items."""
        missing = [name for name in (*ITEM_COLUMNS, *cell.task.metrics) if name not in items.columns]
        if missing:
            raise ValueError(f"items of {cell.task.name} lack the columns {missing}")
        final = self.cell_dir(cell.checkpoint, cell.task.name, cell.key)
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = final.with_name(f".{cell.key}.{os.getpid()}.tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        items.to_parquet(scratch / "items.parquet", compression="zstd", index=False)
        sync(scratch / "items.parquet")
        cell = cell.model_copy(update={"items_sha256": file_sha256(scratch / "items.parquet")})
        (scratch / "cell.json").write_text(cell.model_dump_json(indent=1), encoding="utf-8")
        sync(scratch / "cell.json")
        sync(scratch)
        if final.exists():
            shutil.rmtree(final)
        scratch.rename(final)
        sync(final.parent)
        for kind in get_args(JournalKind):
            self.journal_path(cell.checkpoint, cell.key, kind).unlink(missing_ok=True)
        return cell

    def states_path(self, key: str) -> Path:
        return self.root / "states" / f"{key}.bin"

    def journal_path(self, checkpoint: str, key: str, kind: JournalKind = "responses") -> Path:
        """Return the journal of a cell's responses, or of the scores of its tokens."""
        return self.root / "journal" / f"{checkpoint}-{key}.{kind}.jsonl"

    def damage(self, checkpoint: str | None = None) -> list[str]:
        """What is wrong with the stored cells of a checkpoint, or of all of them, one sentence each."""
        problems = []
        for path in self._cell_folders():
            if checkpoint not in (None, path.parent.parent.name):
                continue
            try:
                cell = _read_record(path / "cell.json", Cell)
                if cell_key(cell.identity) != path.name or cell.key != path.name:
                    problems.append(f"{path}: the key is not the hash of the cell's identity.")
                items = self.items(cell)
                if len(items) != cell.items:
                    problems.append(
                        f"{path}: cell.json counts {cell.items} items, items.parquet holds {len(items)}."
                    )
            except InputError as error:
                problems.append(str(error))
        return problems

    def verify(self) -> list[str]:
        """What is wrong with the stored cells and what is missing, one sentence each; an empty list if nothing is."""
        problems = self.damage()
        for record in self.checkpoints():
            for task, key in record.cells.items():
                if not self.has(record.checkpoint.id, task, key):
                    problems.append(
                        f"{record.checkpoint.id} on {task}: not scored yet (cell {key} is missing)."
                    )
        return problems


def _read_record(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing. Run the suite again.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path} is not a {kind.__name__} that this version of kick reads: {where}: {first['msg']}."
        ) from None


def _write_atomically(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    sync(scratch)
    scratch.replace(path)
    sync(path.parent)
