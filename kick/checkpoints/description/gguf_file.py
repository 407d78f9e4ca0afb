"""Read the header of a .gguf file: its tensors with their types and sizes, and its metadata.

The gguf package knows the sizes of the types. Its own reader takes ten seconds of CPU for a vocabulary of 262,000
tokens, which nothing here needs; this one skips it. No length in a header is believed beyond the size of the file.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kick.checkpoints.description.patterns import COMMON, broken_groups
from kick.checkpoints.description.tally import Tally
from kick.checkpoints.untrusted import check_file
from kick.errors import InputError
from kick.types.measures import Description, LinearWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = b"GGUF"
# The value types of GGUF's metadata by number: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# GGML_MAX_DIMS: https://github.com/ggml-org/ggml/blob/master/include/ggml.h
_MOST_DIMENSIONS = 4
_LARGEST_ALIGNMENT = 2**20
_FLOATS = {"F16": np.uint16, "BF16": np.uint16, "F32": np.uint32, "F64": np.uint64}  # read as bits
_LINEAR = re.compile(r"^blk\.(?P<layer>\d{1,9})\.(?!.*norm)(?!.*_inp\b)(?P<kind>.+)\.weight$")


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of a .gguf file, as its header describes it."""

    name: str
    # The name of GGML: F32, Q4_K, ...
    type: str
    # Inputs first.
    shape: tuple[int, ...]
    # The byte offset in the file.
    begin: int
    bytes: int

    @property
    def weights(self) -> int:
        """The number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Gguf:
    """The header of a .gguf file."""

    # Its metadata, without arrays.
    fields: dict[str, Any]
    tensors: tuple[GgufTensor, ...]

    @property
    def architecture(self) -> str:
        """The name of its architecture, as llama.cpp has it."""
        return str(self.fields.get("general.architecture", "unknown"))

    @property
    def file_type(self) -> str | None:
        """The mix of types that it states, such as `Q4_K_M`; None if it states none."""
        from gguf import LlamaFileType

        stated = self.fields.get("general.file_type")
        names = {int(kind): kind.name for kind in LlamaFileType}
        return names[stated].removeprefix("MOSTLY_").removeprefix("ALL_") if stated in names else None


def is_gguf(path: Path) -> bool:
    """Return whether a path is that of a .gguf file."""
    return path.is_file() and path.suffix == ".gguf"


def read_gguf(path: Path) -> Gguf:
    """Return the header of a .gguf file.

    Raises:
        InputError: it is damaged, truncated, of an unknown version or type, or the gguf package is not installed.
    """
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise InputError(
            f"{path}: measuring a .gguf file needs the gguf package: pip install 'llm-kick[gguf]'."
        ) from None
    check_file(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            header = _read(file, size)
        except (struct.error, ValueError, KeyError, OverflowError) as error:
            raise InputError(
                f"{path} is damaged: its GGUF header cannot be read ({error}). Copy it again."
            ) from None
    end = max((tensor.begin + tensor.bytes for tensor in header.tensors), default=0)
    if end > size or sum(tensor.bytes for tensor in header.tensors) > size:
        raise InputError(
            f"{path} is truncated: its header describes {end} bytes, the file has {size}. Copy it again."
        )
    return header


def describe_gguf(path: Path, pattern: str | None = None) -> tuple[Description, tuple[LinearWeights, ...]]:
    """Measure the weights of a .gguf file; zeros and patterns only of those that are stored as floats.

    Args:
        path: the file.
        pattern: N:M to measure in addition to the common ones.

    Raises:
        InputError: as `read_gguf`, or it has no decoder blocks.
    """
    header = read_gguf(path)
    tally = Tally()
    patterns = dict.fromkeys([*COMMON, *([pattern] if pattern else [])])
    used = header.fields.get(f"{header.architecture}.expert_used_count")
    try:
        for tensor in header.tensors:
            linear = _LINEAR.match(tensor.name)
            nonzero = _nonzero(path, tensor)
            zeros = None if nonzero is None else nonzero.size - int(np.count_nonzero(nonzero))
            tally.add(tensor.type, tensor.weights, tensor.bytes, tensor.weights, zeros)
            if linear and nonzero is not None and nonzero.ndim == 2:
                for each in patterns:
                    tally.add_groups(each, *broken_groups(nonzero, each))
            if linear and "_exps" in linear["kind"]:
                tally.add_fused_experts(linear["layer"], tensor.shape[-1], tensor.weights)
            if linear and len(tensor.shape) > 1:
                tally.linears.append(_linear(tensor, zeros))
        description = tally.describe(
            header.architecture,
            bytes_on_disk=path.stat().st_size,
            quant_method=f"gguf {header.file_type}" if header.file_type else "gguf",
            experts_per_token=used if type(used) is int and used > 0 else None,
            pattern=pattern,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return description, tuple(sorted(tally.linears, key=lambda one: one.name))


def _nonzero(path: Path, tensor: GgufTensor) -> "NDArray[np.bool_] | None":
    """Return which weights are not zero, of either sign, [..., in]; None for a type that packs them."""
    kind = _FLOATS.get(tensor.type)
    if kind is None:
        return None
    shape = tuple(map(int, reversed(tensor.shape)))
    bits = np.memmap(path, dtype=kind, mode="r", offset=tensor.begin, shape=shape)
    nonzero: NDArray[np.bool_] = np.not_equal(bits << kind(1), 0)
    return nonzero


def _linear(tensor: GgufTensor, zeros: int | None) -> LinearWeights:
    return LinearWeights(
        name=tensor.name.removesuffix(".weight"),
        format="dense" if tensor.type in _FLOATS else "gguf",
        dtype=tensor.type,
        weights=tensor.weights,
        zeros=zeros,
        bytes=tensor.bytes,
        # The blocks hold the scales, too.
        value_bits=8 * tensor.bytes / tensor.weights,
        group_size=None,
    )


def _read(file: BinaryIO, size: int) -> Gguf:
    """Read a header; every length in it is checked against the size of the file, so memory is bounded by that."""
    if file.read(4) != _MAGIC:
        raise ValueError("it does not begin with GGUF")
    version, tensor_count, field_count = _take(file, "IQQ")
    if version not in (2, 3):
        raise ValueError(f"version {version}; expected 2 or 3")
    fields: dict[str, Any] = {}
    for _ in range(field_count):
        key = _string(file, size).decode()
        (kind,) = _take(file, "I")
        if kind == _ARRAY:
            _skip_array(file, size)
        elif kind == _STRING:
            fields[key] = _string(file, size).decode(errors="replace")
        else:
            fields[key] = _take(file, _SCALARS[kind])[0]
    entries = [_entry(file, size) for _ in range(tensor_count)]
    alignment = fields.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= _LARGEST_ALIGNMENT:
        raise ValueError(f"an alignment of {alignment}")
    data = -(-file.tell() // alignment) * alignment
    return Gguf(fields, tuple(_tensors(entries, data)))


def _entry(file: BinaryIO, size: int) -> tuple[str, tuple[int, ...], int, int]:
    name = _string(file, size).decode()
    (dimensions,) = _take(file, "I")
    if not 0 < dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"'{name}' has {dimensions} dimensions")
    shape = _take(file, "Q" * dimensions)
    kind, offset = _take(file, "IQ")
    return name, shape, kind, offset


def _tensors(entries: list[tuple[str, tuple[int, ...], int, int]], data: int) -> Iterator[GgufTensor]:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    for name, shape, kind, offset in entries:
        type_ = GGMLQuantizationType(kind)
        block, size = GGML_QUANT_SIZES[type_]
        weights = math.prod(shape)
        if not weights or weights % block:
            raise ValueError(
                f"'{name}' has {weights} weights, which are not blocks of {block} ({type_.name})"
            )
        yield GgufTensor(name, type_.name, shape, data + offset, weights // block * size)


def _take(file: BinaryIO, format_: str) -> tuple[Any, ...]:
    layout = struct.Struct(f"<{format_}")
    return layout.unpack(file.read(layout.size))


def _string(file: BinaryIO, size: int) -> bytes:
    (length,) = _take(file, "Q")
    if length > size - file.tell():
        raise ValueError("it ends within a text")
    return file.read(length)


def _skip_array(file: BinaryIO, size: int) -> None:
    kind, count = _take(file, "IQ")
    if kind in _SCALARS:
        length = count * struct.calcsize(f"<{_SCALARS[kind]}")
        if length > size - file.tell():
            raise ValueError("it ends within an array")
        file.seek(length, 1)
        return
    if kind != _STRING:
        raise ValueError(f"an array of type {kind}")
    for _ in range(count):
        _string(file, size)
