"""Files: whole or not there at all, known by their content, and read within bounds.

A file from a results folder, a mirror or a model folder may come from someone else, or be what a crash left behind. It
is read here: regular files only, of a bounded size, with one error that names the file.
"""

import functools
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from kick.errors import InputError

MAX_BYTES = 64 * 2**20
ABANDONED_AFTER = 24 * 3600.0  # seconds: a temporary file of another machine that is older is abandoned

_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d*)-[0-9a-f]{8}\.tmp"
)

M = TypeVar("M", bound=BaseModel)


# --- write ---


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with named_errors(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write a file that holds either its old content or all of the new one, whatever happens meanwhile.

    The folder is made if it does not exist. Text is written as UTF-8. Temporary files of this one that processes left
    which are gone are removed.

    Raises:
        OSError: the disk is full, or the folder is not writable; it names the path. The old content is kept and nothing
            is left behind.
    """
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned_of(path)
        temporary = temporary_path(path)
        try:
            temporary.write_bytes(data.encode() if isinstance(data, str) else data)
            sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Let an error of the disk name the file that was being written: a write or a sync that fails names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def temporary_path(path: Path) -> Path:
    """Return a hidden name next to `path` that tells which process made it; see `abandoned`.

    Process ids alone do not name a process: each container counts its own from 1, and ids are used again. The name
    carries the machine with its process namespace, the process, its start time, and random digits.
    """
    pid = os.getpid()
    token = f"{_place()}-{pid}-{_start(pid)}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f".{path.name}.{token}.tmp")


def is_temporary(path: Path) -> bool:
    """Return whether a file or folder bears a name of `temporary_path`."""
    return _TEMPORARY.fullmatch(path.name) is not None


def abandoned(path: Path) -> bool:
    """Return whether the process that made a temporary file or folder is gone.

    A process of this machine is looked up. One of another machine, or of another container, cannot be: its files count
    as abandoned when nothing has changed them for a day.
    """
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match["place"] == _place():
        pid = int(match["pid"])
        return not _runs(pid) or _start(pid) != match["start"]
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED_AFTER
    except FileNotFoundError:
        return False


def clear_abandoned(folder: Path) -> list[Path]:
    """Remove the abandoned temporary files and folders below a folder, and return what was removed."""
    removed = []
    for path in list(_temporaries(folder)):
        if abandoned(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _clear_abandoned_of(path: Path) -> None:
    """Remove what killed writes of one file left next to it."""
    for sibling in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if abandoned(sibling) and not sibling.is_dir():
            sibling.unlink(missing_ok=True)


def _temporaries(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if is_temporary(Path(name)):
                yield Path(where) / name
        folders[:] = [name for name in folders if not is_temporary(Path(name))]


@functools.cache
def _place() -> str:
    """Return 8 hex digits for this machine since it was started, and this process namespace in it."""
    parts = [socket.gethostname()]
    for source in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            parts.append(str(source.readlink()) if source.is_symlink() else source.read_text())
        except OSError:
            parts.append("")
    return digest(parts, length=8)


def _start(pid: int) -> str:
    """Return the start time of a process in ticks since the machine was started; empty where no one tells it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[19].decode()
    except (OSError, IndexError):
        return ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


# --- content ---


def digest(*parts: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of a SHA-256 over the JSON of one value, or of a list of several.

    Keys of mappings are sorted, so their order does not count.
    """
    value = parts[0] if len(parts) == 1 else list(parts)
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- read ---


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        InputError: it is missing, not a regular file (a pipe would wait for ever), or larger than `limit` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise InputError(f"{path} has {size:,} bytes; at most {limit:,} are read.")
        return file.read(limit)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
        InputError: it is missing, or not a regular file: a pipe would be waited for without end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(f"{path} is missing.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path} is not a regular file.")
    return os.fdopen(descriptor, "rb")


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return the text of a regular UTF-8 file.

    Raises:
        InputError: as `read_bytes`, or the file is not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}).") from None


def read_json(path: Path, kind: type[M], limit: int = MAX_BYTES) -> M:
    """Return the record that a JSON file holds.

    Raises:
        InputError: the file cannot be read, is not JSON, is nested too deeply, or does not fit the record.
    """
    return parse_json(read_bytes(path, limit), kind, path)


def parse_json(data: bytes, kind: type[M], path: Path) -> M:
    """Return the record that JSON bytes hold; `path` is named in the error.

    Raises:
        InputError: as `read_json`.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        reason = f"{where}: {problem['msg']}" if where else problem["msg"]
        raise InputError(
            f"{path} is not a {kind.__name__} that this version of kick reads: {reason}."
        ) from None
