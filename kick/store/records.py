"""The files of a results folder that hold records: each carries its own SHA-256, and is checked when it is read.

A checksum shows that a file is the one that kick wrote: it was not cut short, edited, or damaged by a disk. It shows
nothing about who wrote it; see docs/security.md.

    {                                           # sha256 <of the rest>: the suite as run. ...
     "sha256": "<of the rest>",                 name: my-suite
     "checkpoint": ...                          reference: dense
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from kick.errors import InputError
from kick.files import parse_json, read_bytes, write_atomically
from kick.identifiers import check_identifier, is_identifier
from kick.types import Cell, Checkpoint, CheckpointRecord, Record
from kick.yaml_files import parse_yaml

R = TypeVar("R", bound=Record)

WAY_OUT = "`kick verify --repair` moves it aside, and `kick run` makes it again."

_JSON_SEAL = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",\n')
_YAML_NOTE = "the suite as run. Edit a copy of it."
_YAML_SEAL = re.compile(rf"# sha256 ([0-9a-f]{{64}}): {re.escape(_YAML_NOTE)}\n")


# --- JSON ---


def write_record(path: Path, record: Record) -> None:
    """Write a record whole, with its checksum; its folder is made if it does not exist."""
    write_atomically(path, seal_json(record.model_dump_json(indent=1)))


def seal_json(text: str) -> str:
    """Return the indented JSON of a record with the checksum of its fields as the first one."""
    fields = text.removeprefix("{\n")
    return f'{{\n "sha256": "{_sha256(fields)}",\n{fields}'


def read_record(path: Path, kind: type[R]) -> R:
    """Return the record that a file holds.

    Raises:
        InputError: the file is missing, is not the one that was written, does not fit the record, or holds a name that
            would lead out of the results folder.
    """
    return parse_record(read_bytes(path), kind, path)


def parse_record(data: bytes, kind: type[R], path: Path) -> R:
    """Return the record in the bytes of a file; `path` is named in the error.

    Raises:
        InputError: as `read_record`.
    """
    seal = _JSON_SEAL.match(data)
    if seal is None:
        # If the file is not even a record, that says more than the missing checksum.
        parse_json(data, kind, path)
        raise InputError(
            f"{path} carries no checksum: it was edited, or another version of kick wrote it. {WAY_OUT}"
        )
    fields = data[seal.end() :]
    if hashlib.sha256(fields).hexdigest() != seal[1].decode():
        raise InputError(f"{path} is not the file that was written: its checksum does not fit. {WAY_OUT}")
    record = parse_json(b"{\n" + fields, kind, path)
    if isinstance(record, CheckpointRecord):
        _check_checkpoint_record(record, path)
    if isinstance(record, Cell):
        _check_names(
            path, [("checkpoint", record.checkpoint), ("task", record.task.name), ("key", record.key)]
        )
        if record.task.metric not in record.task.metrics:
            raise InputError(
                f"{path}: the metric {record.task.metric!r} is not one of those that were scored: "
                f"{', '.join(record.task.metrics)}. {WAY_OUT}"
            )
    return record


def _check_checkpoint_record(record: CheckpointRecord, path: Path) -> None:
    checkpoint = record.checkpoint
    _check_names(path, [("checkpoint id", checkpoint.id), ("fingerprint", record.fingerprint)])
    _check_names(path, [("tokenizer fingerprint", record.tokenizer_fingerprint)])
    _check_names(path, [("base", checkpoint.base), ("series", checkpoint.series)])
    _check_names(path, [("task", task) for task in record.cells])
    _check_names(path, [("key", key) for key in record.cells.values()])
    if path.stem != checkpoint.id:
        raise InputError(f"{path} is the record of '{checkpoint.id}': it was renamed. {WAY_OUT}")


# --- the suite ---


class _Perplexity(BaseModel):
    datasets: tuple[StrictStr, ...] = ()


class _Suite(BaseModel):
    """The keys of suite.yaml that readers of results use; the others are for a further run."""

    model_config = ConfigDict(extra="allow")

    name: StrictStr | None = None
    reference: StrictStr | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    tasks: tuple[StrictStr, ...] = ()
    perplexity: _Perplexity | None = None
    divergence: bool = False


def write_suite(path: Path, text: str) -> None:
    """Write suite.yaml whole, with its checksum; that of a suite.yaml that `text` was read from is left out."""
    body = _YAML_SEAL.sub("", text, count=1) if _YAML_SEAL.match(text) else text
    write_atomically(path, f"# sha256 {_sha256(body)}: {_YAML_NOTE}\n{body}")


def read_suite(path: Path) -> dict[str, Any]:
    """Return the suite as run, as plain data whose ids, task names and types were checked.

    Raises:
        InputError: the file is missing, is not the one that was written, or does not hold a suite.
    """
    data = read_bytes(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged: it is not UTF-8 text (byte {error.start}). {WAY_OUT}") from None
    seal = _YAML_SEAL.match(text)
    if seal is None:
        raise InputError(f"{path} is damaged: it carries no checksum. {WAY_OUT}")
    body = text[seal.end() :]
    if _sha256(body) != seal[1]:
        raise InputError(
            f"{path} is damaged: it is not the file that was written, its checksum does not fit. {WAY_OUT}"
        )
    suite = parse_yaml(body, str(path))
    if not isinstance(suite, dict):
        raise InputError(f"{path} is damaged: expected a mapping of keys to values. {WAY_OUT}")
    try:
        known = _Suite.model_validate(suite)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{path} is damaged: {where}: {problem['msg']}. {WAY_OUT}") from None
    _check_names(path, [("name", known.name), ("reference", known.reference)])
    for checkpoint in known.checkpoints:
        _check_names(path, [("checkpoint id", checkpoint.id), ("base", checkpoint.base)])
        _check_names(path, [("series", checkpoint.series)])
    _check_names(path, [("task", task) for task in known.tasks])
    _check_names(
        path,
        [("perplexity.datasets", name) for name in known.perplexity.datasets] if known.perplexity else [],
    )
    return suite


def _check_names(path: Path, names: Iterable[tuple[str, str | None]]) -> None:
    for what, name in names:
        if name is not None and not is_identifier(name):
            check_identifier(name, f"{path}: {what}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
