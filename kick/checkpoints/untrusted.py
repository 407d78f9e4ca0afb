"""Files that others wrote, read with bounds, and libraries that raise over them, made to speak in one message.

A model folder can come from anyone. Nothing in it is believed before its type and size are checked, and nothing outside
it is read: a FIFO would block for ever, deep JSON exhausts the stack, and a link can point to a private file.
"""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kick.errors import InputError
from kick.files import read_bytes

# Bytes of a JSON file. The largest that are known are tokenizers (35 MB) and indices (10 MB).
LARGEST_JSON = 128 * 2**20
# Levels of a JSON document. Configs have about 6.
DEEPEST_JSON = 64
# Files of a model folder that kick or transformers opens.
_READ = (".json", ".jinja", ".txt", ".model", ".safetensors", ".tiktoken", ".py", ".gguf")


def check_files(folder: Path) -> None:
    """Refuse a folder in which something that would be opened is not a regular file inside it.

    Links are followed inside the folder, and to the `blobs` of a hub cache.

    Raises:
        InputError: a FIFO, device, socket or folder has the name of a model file, or a link leaves the folder.
    """
    try:
        entries = sorted(path for path in folder.iterdir() if path.suffix in _READ)
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}).") from None
    for path in entries:
        check_file(path)


def check_file(path: Path) -> None:
    """Refuse a path that exists and is not a regular file, or is a link out of its folder.

    Raises:
        InputError: as said.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Copy it again.") from None
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is not a regular file. Copy the file itself into the folder.")
    if path.is_symlink() and not _stays(path):
        raise InputError(
            f"{path} is a link to {path.resolve()}, outside the folder. Copy the file itself into the folder."
        )


def read_json(path: Path, way_out: str) -> dict[str, Any]:
    """Return the JSON object in a file of a model folder; see `kick.files.read_json` for a record.

    Args:
        path: the file.
        way_out: the end of each message: what to do.

    Raises:
        InputError: the file is missing, not regular, larger than `LARGEST_JSON`, deeper than `DEEPEST_JSON`, or not a
            JSON object.
    """
    check_file(path)
    try:
        data = json.loads(read_bytes(path, LARGEST_JSON).decode())
    except InputError as error:
        raise InputError(f"{error} {way_out}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not valid JSON ({error}). {way_out}") from None
    except RecursionError:
        raise InputError(f"{path} is nested more than {DEEPEST_JSON} levels deep. {way_out}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} is not a JSON object. {way_out}")
    if _depth_exceeds(data, DEEPEST_JSON):
        raise InputError(f"{path} is nested more than {DEEPEST_JSON} levels deep. {way_out}")
    return data


def section(data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the object under a key, empty if something else or nothing is there."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever a library raises over the files of a checkpoint into an `InputError`.

    This is the one place that catches every exception: transformers, tokenizers, safetensors, compressed-tensors and
    PEFT do not document what they raise over damaged files, and tokenizers panics. Only calls into such a library
    belong inside; kick's own checks pass through. Interrupts and exits pass, too.

    Args:
        what: the start of the message, as in "FOLDER: the tokenizer cannot be loaded".
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{what}: it needs more memory than there is.") from error
    except ImportError as error:
        raise InputError(f"{what}: it needs a package that is not installed: {first_line(error)}") from error
    except Exception as error:
        raise InputError(f"{what}: {first_line(error)}") from error
    except BaseException as error:
        # Rust libraries raise their panics outside of Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__


def _stays(link: Path) -> bool:
    """Return whether a link's target is inside its folder, or in the blobs of the hub cache that the folder is in."""
    folder, target = link.parent.resolve(), link.resolve()
    if target.is_relative_to(folder):
        return True
    # CACHE/models--owner--name/snapshots/<commit>/config.json -> CACHE/models--owner--name/blobs/<hash>. That can be a
    # link to CACHE/blobs/<hash>: huggingface_hub shares blobs between repositories.
    repositories = [parent.parent for parent in folder.parents if parent.name == "snapshots"]
    return any(
        target.is_relative_to(place / "blobs")
        for repository in repositories
        for place in (repository, repository.parent)
    )


def _depth_exceeds(data: Any, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
