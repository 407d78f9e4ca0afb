"""Convert a GGUF file, once, to a safetensors folder that is loaded like any other.

transformers dequantizes every tensor of a GGUF file on each loading, slowly, and silently drops what it cannot place.
Here a file is converted whole or refused.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock
from pydantic import ValidationError

from kick.checkpoints.description.gguf_file import Gguf, read_gguf
from kick.checkpoints.description.made import read_stated
from kick.checkpoints.fingerprints import fingerprint
from kick.checkpoints.folder import read_tensor, stored_tensors
from kick.checkpoints.untrusted import refusing
from kick.errors import InputError
from kick.files import digest, file_sha256, sync
from kick.types import Dtype, Record

if TYPE_CHECKING:
    from gguf import GGUFReader
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# In a converted folder: the tokens of the file by id, null if the file names none.
VOCABULARY = "vocabulary.json"
FLOATS = ("F64", "F32", "F16", "BF16")
# The type of a token that a text may hold, as llama.cpp numbers it.
_NORMAL = 1
# Frequencies that llama.cpp's rotary embedding reads; they are not parameters.
_ROTARY = "rope_freqs.weight"
_UNSCALED = ("none", "default")
_BLOCK = re.compile(r"^blk\.(\d{1,9})\.")
_LONGEST_CONTEXT = 10**9


class Converted(Record):
    """`kick.json` of a folder that a GGUF file was converted to."""

    gguf_sha256: str
    # Weights per storage type, as llama.cpp names it.
    kinds: dict[str, int]
    dtype: str
    # The fingerprint of the folder as written.
    fingerprint: str


def converted(file: Path, dtype: Dtype, cache: Path) -> Path:
    """Return the safetensors folder of a GGUF file, made once in `cache` and checked each time.

    It holds no tokenizer. Converting takes about a minute for 300M parameters, and memory for the model in float32.

    Args:
        file: the GGUF file.
        dtype: the dtype of the dequantized weights; a GGUF file states none, so it is not 'auto'.
        cache: the cache of kick.

    Raises:
        InputError: `dtype` is 'auto', the package `gguf` is not installed, the file is damaged, its architecture is
            not one that transformers converts, or not all of its tensors find their place in the model.
    """
    if dtype == "auto":
        raise InputError(
            f"{file}: a GGUF file states no dtype to compute in. Set `dtype` to that of the reference (bfloat16, say)."
        )
    _require()
    _check_sizes(file, read_gguf(file))
    sha256 = file_sha256(file)
    parts = [sha256, dtype, version("gguf"), version("transformers")]
    out = cache / "checkpoints" / f"gguf-{digest(parts, length=24)}"
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(f".{out.name}.lock")):
        if not out.is_dir():
            scratch = out.with_name(f".{out.name}.tmp")
            # A process that was killed leaves it behind.
            shutil.rmtree(scratch, ignore_errors=True)
            try:
                _convert(file, sha256, dtype, scratch)
                scratch.rename(out)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    provenance = read_converted(out)
    if provenance is None or provenance.fingerprint != fingerprint(out):
        raise InputError(f"{out} is not what kick converted {file} to. Delete it, and it is made again.")
    return out


def read_converted(folder: Path) -> Converted | None:
    """Return the `kick.json` of a converted folder, or None for any other folder."""
    try:
        return Converted.model_validate(read_stated(folder))
    except ValidationError:
        return None


def config_of_gguf(file: Path) -> "PretrainedConfig":
    """Return a config that states the window of a GGUF file, for an engine that runs the file itself.

    Raises:
        InputError: the file is damaged, or the package `gguf` is not installed.
    """
    header = read_gguf(file)
    window = header.fields.get(f"{header.architecture}.context_length")
    return config_of_window(window if type(window) is int else None)


def config_of_window(window: int | None) -> "PretrainedConfig":
    """Return a config that states a window alone, in tokens; None: no limit."""
    from transformers import PretrainedConfig

    return PretrainedConfig(**({} if window is None else {"max_position_embeddings": window}))


def check_same_weights(file: Path, folder: Path, dtype: str, cache: Path) -> None:
    """Refuse a GGUF file that does not hold the weights of a folder, tensor by tensor.

    Args:
        file: a GGUF file of floating-point tensors.
        folder: a folder with safetensors.
        dtype: the dtype in which both are compared: that of the folder's model.
        cache: the cache of kick, where the file is converted.

    Raises:
        InputError: the file is quantized, a tensor is missing in one of the two, or values differ.
    """
    import torch

    if file.is_dir():
        raise InputError(
            f"weights_of: {file} is a folder. To score a checkpoint on another engine, give `base` in place of `model`."
        )
    packed = sorted({tensor.type for tensor in read_gguf(file).tensors} - {*FLOATS})
    if packed:
        raise InputError(
            f"weights_of: {file} is quantized ({', '.join(packed)}), so its weights are not those of {folder}. Give a "
            "GGUF file in F32, F16 or BF16."
        )
    ours = {tensor.name: tensor for tensor in stored_tensors(converted(file, cast(Dtype, dtype), cache))}
    theirs = {tensor.name: tensor for tensor in stored_tensors(folder)}
    unlike = sorted(ours.keys() ^ theirs.keys())
    kind = getattr(torch, dtype)
    if not unlike:
        unlike = [
            name
            for name, tensor in ours.items()
            if not torch.equal(read_tensor(tensor).to(kind), read_tensor(theirs[name]).to(kind))
        ]
    if unlike:
        raise InputError(
            f"weights_of: the weights of {file} are not those of {folder}: {len(unlike)} tensors differ, the first is "
            f"{unlike[0]}. Convert the folder itself, without quantization."
        )


def check_tokenizer(folder: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse a tokenizer whose tokens are not those that the GGUF file of a converted folder names.

    Raises:
        InputError: as said.
    """
    check_vocabulary(json.loads((folder / VOCABULARY).read_text(encoding="utf-8")), tokenizer)


def check_vocabulary(stored: Sequence[str | None], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse a tokenizer whose tokens are not those that a GGUF file names, by id; None: the file names none.

    Raises:
        InputError: as said.
    """
    own: dict[int, str] = {index: token for token, index in tokenizer.get_vocab().items()}
    other = [index for index, token in enumerate(stored) if token is not None and own.get(index) != token]
    if other:
        first = other[0]
        raise InputError(
            f"the tokenizer {tokenizer.name_or_path} is not that of the GGUF file: {len(other)} of {len(stored)} "
            f"tokens differ, the first is {first}: {own.get(first)!r}, and {stored[first]!r} in the file. "
            "Name the tokenizer of the model that the file was made from."
        )


def _require() -> None:
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise InputError(
            "a GGUF file needs the package 'gguf', which is not installed: pip install 'llm-kick[gguf]'."
        ) from None


def _read(file: Path) -> "GGUFReader":
    _require()
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        ends = [tensor.data_offset + tensor.n_bytes for tensor in reader.tensors]
    except (OSError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise InputError(f"{file} is damaged, or no GGUF file ({error}). Copy it again.") from None
    if not ends or max(ends) > file.stat().st_size:
        raise InputError(
            f"{file} is truncated: its header describes tensors that it does not hold. Copy it again."
        )
    return reader


def _check_sizes(file: Path, header: Gguf) -> None:
    """Refuse a header that describes a larger model than the tensors of its file make.

    transformers would build that model and fill it at random before anyone sees what is missing.
    """
    stored = 1 + max((int(match[1]) for t in header.tensors if (match := _BLOCK.match(t.name))), default=-1)
    largest = max((dimension for tensor in header.tensors for dimension in tensor.shape), default=0)
    stated = {
        name.removeprefix(f"{header.architecture}."): value
        for name, value in header.fields.items()
        if name.startswith(f"{header.architecture}.") and type(value) is int
    }
    heads = stated.get("attention.head_count", 1)
    limits = {
        "block_count": stored,
        "embedding_length": largest,
        "feed_forward_length": largest,
        "vocab_size": largest,
        "attention.head_count": largest,
        "attention.head_count_kv": largest,
        "attention.key_length": largest // max(heads, 1),
        "attention.value_length": largest,
        "context_length": _LONGEST_CONTEXT,
    }
    for name in ("block_count", "embedding_length"):
        # Without it transformers takes the size of its default model.
        if f"{header.architecture}.{name}" not in header.fields:
            raise InputError(
                f"{file} is damaged: its header does not state {header.architecture}.{name}. Copy the file again."
            )
    for name, most in limits.items():
        if not 0 <= stated.get(name, 0) <= most:
            raise InputError(
                f"{file}: its header states {header.architecture}.{name} = {stated[name]:,}, and its tensors allow "
                f"{most:,} at most. Copy the file again."
            )


def _convert(file: Path, sha256: str, dtype: Dtype, out: Path) -> None:
    from huggingface_hub import save_torch_state_dict

    reader = _read(file)
    model = _dequantized(file, dtype)
    _check_whole(file, reader, model)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = [type(model).__name__]
    out.mkdir()
    config.save_pretrained(out)
    model.generation_config.save_pretrained(out)
    save_torch_state_dict(_without_second_copies(model), out)
    (out / VOCABULARY).write_text(json.dumps(_vocabulary(file, reader)), encoding="utf-8")
    kinds: Counter[str] = Counter()
    for tensor in reader.tensors:
        kinds[tensor.tensor_type.name] += int(tensor.n_elements)
    provenance = Converted(gguf_sha256=sha256, kinds=dict(kinds), dtype=dtype, fingerprint=fingerprint(out))
    (out / "kick.json").write_text(provenance.model_dump_json(indent=1), encoding="utf-8")
    for path in out.iterdir():
        sync(path)
    sync(out)


def _dequantized(file: Path, dtype: Dtype) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    with refusing(f"{file} cannot be converted by transformers"):
        model, info = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            output_loading_info=True,
        )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info[problem]:
            raise InputError(
                f"{file} does not fill the model that its header describes ({problem.replace('_', ' ')}: "
                f"{', '.join(sorted(map(str, info[problem]))[:3])}). Convert it with llama.cpp's own tools."
            )
    return model


def _without_second_copies(model: "PreTrainedModel") -> "dict[str, Tensor]":
    """Return the tensors of a model; tied ones have the first of their names: the embeddings, not the head."""
    first: dict[int, str] = {}
    tensors = model.state_dict()
    for name, tensor in tensors.items():
        first.setdefault(tensor.data_ptr(), name)
    return {name: tensors[name] for name in first.values()}


def _check_whole(file: Path, reader: "GGUFReader", model: "PreTrainedModel") -> None:
    """Refuse a file of which transformers left out tensors or a scaling of the rotary embedding."""
    inside = sum(int(tensor.n_elements) for tensor in reader.tensors if tensor.name != _ROTARY)
    placed = sum(parameter.numel() for parameter in model.parameters())
    if inside != placed:
        raise InputError(
            f"{file} holds {inside:,} weights, of which transformers places {placed:,}: the rest would be ignored. "
            "Convert the model that the file was made from."
        )
    scaling = _field(reader, f"{_field(reader, 'general.architecture')}.rope.scaling.type")
    scaled = any(tensor.name == _ROTARY for tensor in reader.tensors) or scaling not in (None, *_UNSCALED)
    rope: dict[str, Any] = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    if scaled and rope.get("rope_type", "default") == "default":
        raise InputError(
            f"{file} scales its rotary embedding, which transformers does not read from a GGUF file: positions "
            "would be wrong. Dequantize the file with llama.cpp's tools and save it with the model's own config."
        )


def _vocabulary(file: Path, reader: "GGUFReader") -> list[str | None]:
    tokens = _field(reader, "tokenizer.ggml.tokens") or []
    kinds = _field(reader, "tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
    if len(tokens) != len(kinds):
        raise InputError(
            f"{file} is damaged: it holds {len(tokens):,} tokens, and the types of {len(kinds):,}. Copy it again."
        )
    return [token if kind == _NORMAL else None for token, kind in zip(tokens, kinds, strict=True)]


def _field(reader: "GGUFReader", key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()
