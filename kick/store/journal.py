"""The responses of a cell that is not finished, so a killed run goes on where it was."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from kick.errors import InputError
from kick.files import MAX_BYTES, named_errors, open_regular

log = logging.getLogger(__name__)

_OPENING = b'{"check": "'
_DIGITS = 16
_PAYLOAD = len(_OPENING) + _DIGITS + len(b'", ')


class Journal:
    """The responses of a cell as they come.

    One JSON line per batch, `{"check": "<16 hex digits>", "rows": [...], "responses": [...]}`, with the positions of
    the requests in the plan. `check` is a BLAKE2b over the rest of the line and the check of the line before it; that
    of the first line starts from the cell's key. A line that was changed, moved, copied, or written for another cell
    does not fit, and ends the journal there: it and what follows are scored again. (SQLite's write-ahead log chains its
    checksums in the same way.)

    Lines are handed to the operating system, which keeps them when the process is killed; waiting for the disk would
    cost more than a small model's batch.

    Args:
        path: the file; its folder is made by the first `append`.
        key: the key of the cell that the responses belong to.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        # The check of the last line; None until the file was read.
        self._last: bytes | None = None

    def read(self) -> dict[int, Any]:
        """Return request position -> response, and cut the file off where a line does not fit.

        A last line without its end is what a kill leaves, and is dropped without a word; any other line that does not
        fit is logged as a warning.

        Raises:
            InputError: the journal is not a regular file.
        """
        reading = read_journal(self.path, self.key)
        if reading.problem and not self.path.is_file():
            raise InputError(f"{reading.problem}. Move it away; `kick verify --repair` does.")
        if reading.problem:
            log.warning("%s; what follows is scored again", reading.problem)
        if self.path.exists() and reading.whole != self.path.stat().st_size:
            os.truncate(self.path, reading.whole)
        self._last = reading.last
        return reading.responses

    def append(self, rows: Sequence[int], responses: Sequence[Any]) -> None:
        """Add one batch of responses to the requests at the positions `rows`."""
        if self._last is None or not self.path.exists():
            self.read()
        assert self._last is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rest = json.dumps({"rows": list(rows), "responses": list(responses)}).encode()[1:]
        check = _check(self._last, rest)
        # A write that fails half-way leaves a torn line, which the next call reads and cuts off.
        self._last = None
        with named_errors(self.path), self.path.open("ab") as file:
            file.write(_OPENING + check + b'", ' + rest + b"\n")
        self._last = check


@dataclass(frozen=True)
class Reading:
    """The content of a journal, up to the first line that does not fit."""

    # Request position -> response.
    responses: dict[int, Any]
    # Bytes of the lines that fit.
    whole: int
    # The check of the last line that fits.
    last: bytes
    # Why the journal ends before its file does, as a sentence without its period; None: it does not, or was cut short.
    problem: str | None


def read_journal(path: Path, key: str) -> Reading:
    """Read a journal and leave its file as it is; one that does not exist is empty."""
    responses: dict[int, Any] = {}
    whole, last, problem = 0, _check(key.encode(), b""), None
    if not path.exists():
        return Reading(responses, whole, last, problem)
    if not path.is_file():
        return Reading(responses, whole, last, f"{path} is not a regular file")
    with open_regular(path) as file:
        number = 0
        while line := file.readline(MAX_BYTES):
            number += 1
            if not line.endswith(b"\n") and len(line) < MAX_BYTES:
                break
            check = _check(last, line[_PAYLOAD:-1])
            if line[:_PAYLOAD] != _OPENING + check + b'", ':
                problem = f"{path}: line {number} is not the one that was written for cell {key}"
                break
            entry = json.loads(b"{" + line[_PAYLOAD:-1])
            responses.update(zip(entry["rows"], entry["responses"], strict=True))
            whole, last = whole + len(line), check
    return Reading(responses, whole, last, problem)


def _check(last: bytes, rest: bytes) -> bytes:
    """Return the hex digits that bind the rest of a line to the line before it."""
    return blake2b(last + b"\n" + rest, digest_size=_DIGITS // 2).hexdigest().encode()
