"""Check that every file of a results folder is the one that was written."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from kick.errors import InputError
from kick.files import abandoned, file_sha256, is_temporary, parse_json, read_bytes
from kick.identifiers import is_identifier
from kick.store.journal import read_journal
from kick.store.layout import BROKEN, FOLDER_LOCK, JOURNAL_NAME, MANIFEST, REPORT, SIGNATURE, SUITE
from kick.store.records import read_record, read_suite
from kick.types import CheckpointRecord, Manifest, Record, TierChoice

if TYPE_CHECKING:
    from kick.store.store import Store


class Finding(Record):
    """Something in a results folder that is not as kick would have left it."""

    # The file or folder, relative to the results folder.
    path: str
    # broken: not what was written. missing: a cell that a record names. unknown: nothing that kick reads or writes.
    # leftover: a temporary file of a process that is gone; the next run removes it.
    kind: Literal["broken", "missing", "unknown", "leftover"]
    problem: str
    # How it comes back if the path is moved aside.
    next_run: str = ""

    @property
    def is_problem(self) -> bool:
        """True if the results are not what was written, or not all there."""
        return self.kind in ("broken", "missing")

    def __str__(self) -> str:
        return self.problem


class _StatesHeader(BaseModel):
    """The checksums in the header of a reference's states, as `kick.engines.torch.states` writes it."""

    model_config = ConfigDict(extra="allow")

    values_sha256: str
    head_sha256: str


# The header is compact JSON, and its last field is the SHA-256 of the fields before it.
_HEADER_SEAL = re.compile(rb'(?s)(?P<fields>.*),"sha256":"(?P<sha256>[0-9a-f]{64})"\}')


def inspect(store: "Store", checkpoint: str | None = None, *, every_file: bool = True) -> list[Finding]:
    """Check every file of a results folder.

    Args:
        store: the folder; it is read from the disk, whatever the store has in memory.
        checkpoint: check only the suite, and the record and the cells of this checkpoint.
        every_file: also check what no number is made of: the content of a reference's states, which is large, and the
            manifest.
    """
    return list(_Inspection(store, every_file).of(checkpoint))


class _Inspection:
    def __init__(self, store: "Store", every_file: bool) -> None:
        self.store, self.root, self.every_file = store, store.root, every_file

    def of(self, checkpoint: str | None) -> Iterator[Finding]:
        yield from self._suite()
        yield from self._records(checkpoint)
        yield from self._cells(checkpoint)
        if checkpoint is None:
            yield from self._without_record()
            yield from self._tiers()
            yield from self._journals()
            yield from self._states()
            if self.every_file:
                yield from self._manifest()
            yield from self._others()

    def _broken(self, path: Path, problem: object, next_run: str) -> Finding:
        relative = path.relative_to(self.root).as_posix()
        return Finding(path=relative, kind="broken", problem=str(problem), next_run=next_run)

    def _suite(self) -> Iterator[Finding]:
        try:
            read_suite(self.root / SUITE)
        except InputError as error:
            yield self._broken(self.root / SUITE, error, "the next run writes it again")

    def _records(self, only: str | None) -> Iterator[Finding]:
        for path in self._files("checkpoints", ".json"):
            name = path.name.removesuffix(".json")
            if only not in (None, name):
                continue
            try:
                record = read_record(path, CheckpointRecord)
            except InputError as error:
                yield self._broken(path, error, f"the next run measures {name} again, and keeps its cells")
                continue
            if only is not None:
                continue
            for task, key in record.cells.items():
                if not self.store.has(name, task, key):
                    folder = self.store.cell_dir(name, task, key).relative_to(self.root).as_posix()
                    problem = f"{name} on {task}: not scored yet (cell {key} is missing)."
                    yield Finding(path=folder, kind="missing", problem=problem)

    def _cells(self, only: str | None) -> Iterator[Finding]:
        for folder in self.store.cell_folders():
            checkpoint, task = folder.parts[-3:-1]
            if only not in (None, checkpoint):
                continue
            if not folder.is_dir() or not all(is_identifier(part) for part in folder.parts[-3:]):
                yield self._unknown(folder)
                continue
            again = f"the next run scores {task} of {checkpoint} again"
            try:
                cell = self.store.read_cell(folder)
                count = len(self.store.items(cell))
            except InputError as error:
                yield self._broken(folder, error, again)
                continue
            planned = cell.identity.plan.items
            if not count == cell.items == planned:
                problem = (
                    f"{folder}: items.parquet holds {count} items, cell.json counts {cell.items}, and its plan has "
                    f"{planned}."
                )
                yield self._broken(folder, problem, again)
            extra = {path.name for path in folder.iterdir()} - {"cell.json", "items.parquet"}
            yield from (self._unknown(folder / name) for name in sorted(extra))

    def _without_record(self) -> Iterator[Finding]:
        """Find checkpoints with cells and without the record that names them: no reader sees those cells."""
        for name in sorted({folder.parts[-3] for folder in self.store.cell_folders()}):
            path = self.root / "checkpoints" / f"{name}.json"
            if is_identifier(name) and not path.exists():
                problem = f"{path} is missing, and {name} has cells. The next run writes it again, and keeps its cells."
                yield Finding(path=path.relative_to(self.root).as_posix(), kind="missing", problem=problem)

    def _tiers(self) -> Iterator[Finding]:
        for path in self._files("tiers", ".json"):
            try:
                read_record(path, TierChoice)
            except InputError as error:
                yield self._broken(path, error, "the next run tests the reference again")

    def _journals(self) -> Iterator[Finding]:
        for path in self._files("journal", ".jsonl"):
            match = JOURNAL_NAME.fullmatch(path.name)
            if match is None:
                yield self._unknown(path)
            elif problem := read_journal(path, match["key"]).problem:
                yield self._broken(path, f"{problem}.", "the next run scores again what followed the line")

    def _states(self) -> Iterator[Finding]:
        """Check the states of references; those without a header are of a run that goes on or was interrupted."""
        again = "the next run computes them again if a candidate needs them"
        for header in self._files("states", ".json"):
            values, head = header.with_suffix(".bin"), header.with_suffix(".head.safetensors")
            try:
                data = read_bytes(header)
                sums = parse_json(data, _StatesHeader, header)
            except InputError as error:
                yield self._broken(header, error, again)
                continue
            seal = _HEADER_SEAL.fullmatch(data)
            if seal is None or sha256(seal["fields"] + b"}").hexdigest() != seal["sha256"].decode():
                problem = f"{header} is not the file that was written: its checksum does not fit."
                yield self._broken(header, problem, again)
                continue
            for path, expected in ((values, sums.values_sha256), (head, sums.head_sha256)):
                if not path.is_file():
                    yield self._broken(header, f"{path} is missing.", again)
                elif self.every_file and file_sha256(path) != expected:
                    yield self._broken(
                        path, f"{path} is not the file that was written: its SHA-256 differs.", again
                    )

    def _manifest(self) -> Iterator[Finding]:
        path = self.root / MANIFEST
        if path.exists():
            try:
                read_record(path, Manifest)
            except InputError as error:
                yield self._broken(path, error, "`kick verify --manifest write` makes it again")

    def _others(self) -> Iterator[Finding]:
        """Find what is not of kick: names that nothing reads, links, and temporary files of runs that are gone."""
        known = {
            "checkpoints": (".json",),
            "tiers": (".json",),
            "journal": (".jsonl",),
            "states": (".bin", ".json", ".head.safetensors"),
            "locks": (".lock",),
        }
        for path in sorted(self.root.rglob("*")):
            parts = path.relative_to(self.root).parts
            if any(is_temporary(Path(part)) for part in parts):
                if is_temporary(path) and abandoned(path):
                    relative = path.relative_to(self.root).as_posix()
                    problem = f"{path} was left by a process that is gone; the next run removes it."
                    yield Finding(path=relative, kind="leftover", problem=problem)
            elif parts[0] in (BROKEN, REPORT):
                continue
            elif path.is_symlink():
                yield self._unknown(path)
            elif parts[0] == "cells":
                if path.is_file() and len(parts) < 5:
                    yield self._unknown(path)
            elif parts[0] in known:
                if len(parts) > 2 or (len(parts) == 2 and not path.name.endswith(known[parts[0]])):
                    yield self._unknown(path)
            elif path.name not in (SUITE, MANIFEST, SIGNATURE, FOLDER_LOCK) or len(parts) > 1:
                yield self._unknown(path)

    def _unknown(self, path: Path) -> Finding:
        relative = path.relative_to(self.root).as_posix()
        return Finding(
            path=relative, kind="unknown", problem=f"{path} is not a file of kick; nothing reads it."
        )

    def _files(self, folder: str, suffix: str) -> list[Path]:
        paths = sorted((self.root / folder).glob(f"*{suffix}"))
        return [path for path in paths if not is_temporary(path)]
