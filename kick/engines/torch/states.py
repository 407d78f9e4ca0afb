"""The final states of a reference on disk: what a candidate's divergence from it is measured by.

    <key>.bin                 the states, memory-mapped: [tokens, d] in 16 bits, request after request
    <key>.head.safetensors    the head that turns them into logits
    <key>.json                the shape, and the SHA-256 of all three; written last

Nothing is read that does not fit its checksum: other states would give another divergence, and nobody would see it.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kick.engines.base import DamagedStatesError, Score
from kick.engines.torch.head import Head
from kick.errors import InputError
from kick.files import file_sha256, read_bytes, sync, write_atomically
from kick.types import Record

ITEM_BYTES = 2


class _Header(Record):
    """The content of `<key>.json`."""

    tokens: int
    width: int
    dtype: Literal["float16", "bfloat16"]
    rule: str | None
    constant: float
    values_sha256: str
    head_sha256: str
    sha256: str = ""
    """SHA-256 of the other fields."""

    def sealed(self) -> "_Header":
        """Return the header with its own checksum."""
        return self.model_copy(update={"sha256": self._digest()})

    @property
    def is_sealed(self) -> bool:
        """True if the header is the one that was written."""
        return self.sha256 == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()


class States:
    """Final states of a reference for the tokens that some requests predict.

    Args:
        path: the file of the states; the head and the header are next to it.
        requests: the requests whose continuations are predicted, in the order of the file.
    """

    def __init__(self, path: Path, requests: Sequence[Score]) -> None:
        self.path = path
        lengths = [len(request.continuation) for request in requests]
        self.starts: list[int] = np.cumsum([0, *lengths]).tolist()
        self._values: torch.Tensor | None = None
        self._header: _Header | None = None

    def begin(self, head: Head) -> bool:
        """Store the head and reserve room for the states.

        Returns:
            Whether the states begin anew; False if an interrupted run has left some.

        Raises:
            InputError: the head is of a kind that cannot be stored, or the disk has no room.
        """
        weights = head.weights()
        width, dtype = weights["weight"].shape[1], _kept_dtype(head.dtype)
        size = self.starts[-1] * width * ITEM_BYTES
        interrupted = self.path.is_file() and self.path.stat().st_size == size and not self._json.exists()
        self._json.unlink(missing_ok=True)
        with _refused_writes(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not interrupted:
                _reserve(self.path, size)
            save_file(weights, self._head)
            sync(self._head)
        self._values = self._map(width, dtype, writable=True)
        self._header = _Header(
            tokens=self.starts[-1],
            width=width,
            dtype="bfloat16" if dtype == torch.bfloat16 else "float16",
            rule=head.rule,
            constant=head.constant,
            values_sha256="",
            head_sha256="",
        )
        return not interrupted

    def write(self, place: int, states: torch.Tensor) -> None:
        """Keep the states [tokens, d] of a request; `sync` brings them to the disk."""
        assert self._values is not None
        kept = states.to("cpu", self._values.dtype)
        if not torch.isfinite(kept).all():
            raise InputError(
                "the reference's final states are not finite in 16 bits, so no divergence from them can be "
                "measured. Set divergence: false."
            )
        self._values[self.starts[place] : self.starts[place + 1]] = kept

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        sync(self.path)

    def checksum(self, place: int) -> int:
        """Return the CRC-32 of the states of a request, as kept so far."""
        return zlib.crc32(self._part(place).contiguous().view(torch.uint8).numpy().tobytes())

    def finish(self) -> None:
        """Write the header: all states are there."""
        assert self._header is not None
        self.sync()
        sums = {"values_sha256": file_sha256(self.path), "head_sha256": file_sha256(self._head)}
        header = self._header.model_copy(update=sums).sealed()
        with _refused_writes(self.path):
            write_atomically(self._json, header.model_dump_json())

    def open(self) -> None:
        """Check everything that is stored, and map the states.

        Raises:
            DamagedStatesError: something is missing, or is not what was written.
        """
        header = _read_checked(self.path)
        if header.tokens != self.starts[-1]:
            raise DamagedStatesError(f"{self.path} holds {header.tokens} tokens and not {self.starts[-1]}")
        self._header = header
        self._values = self._map(header.width, getattr(torch, header.dtype), writable=False)

    def read(self, place: int) -> torch.Tensor:
        """Return the states [tokens, d] of a request."""
        return self._part(place)

    def head(self, device: torch.device) -> Head:
        """Return the reference's head on a device."""
        assert self._header is not None
        with safe_open(self._head, framework="pt") as file:
            weights = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
        return Head.linear(weights, self._header.rule, self._header.constant)

    @property
    def _json(self) -> Path:
        return _header_path(self.path)

    @property
    def _head(self) -> Path:
        return _head_path(self.path)

    def _part(self, place: int) -> torch.Tensor:
        assert self._values is not None
        return self._values[self.starts[place] : self.starts[place + 1]]

    def _map(self, width: int, dtype: torch.dtype, writable: bool) -> torch.Tensor:
        size = self.starts[-1] * width
        return torch.from_file(str(self.path), shared=writable, size=size, dtype=dtype).view(-1, width)


def are_whole(path: Path) -> bool:
    """Return whether the states at `path` are complete, and those that were written."""
    try:
        _read_checked(path)
    except DamagedStatesError:
        return False
    return True


def _read_checked(path: Path) -> _Header:
    """Return the header of the states at `path`, every file checked against it."""
    file = _header_path(path)
    try:
        header = _Header.model_validate_json(read_bytes(file))
    except InputError as error:
        raise DamagedStatesError(str(error).removesuffix(".")) from None
    except OSError as error:
        raise DamagedStatesError(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise DamagedStatesError(f"{file} is damaged") from None
    if not header.is_sealed:
        raise DamagedStatesError(f"{file} is damaged")
    for stored, sha256 in ((path, header.values_sha256), (_head_path(path), header.head_sha256)):
        if not stored.is_file() or file_sha256(stored) != sha256:
            raise DamagedStatesError(f"{stored} is not the file that was written")
    return header


@contextmanager
def _refused_writes(path: Path) -> Iterator[None]:
    """Turn an error of the disk into one sentence."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"{path}: the reference's states and its head cannot be stored: {reason}. "
            "Make room on the disk, or set divergence: false."
        ) from None


def _header_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _head_path(path: Path) -> Path:
    return path.with_suffix(".head.safetensors")


def _reserve(path: Path, size: int) -> None:
    """Make a file of `size` bytes whose blocks exist: writing to a map of it cannot run out of disk.

    Without this a full disk is a SIGBUS in the middle of a run.
    """
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        block = bytes(2**20)
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def _kept_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return float16 for a float32 model: it keeps three more bits of the mantissa than bfloat16."""
    return torch.bfloat16 if dtype == torch.bfloat16 else torch.float16
