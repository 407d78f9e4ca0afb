"""What lies in a checkpoint folder: its config, its weight shards and their tensors, its tokenizer files.

Everything but `read_tensor` reads configs and safetensors headers alone, and needs no torch.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kick.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MATRICES = (".weight", ".qweight", ".weight_packed")  # what the names of weights end in, dense or packed
FLOATS = ("F64", "F32", "F16", "BF16")  # the stored dtypes that hold weights as they are

TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "*.jinja",
    "tokenization_*.py",
)

# GPT-2's Conv1D stores a Linear transposed, as [in, out].
_CONV1D_MODELS = ("gpt2", "openai-gpt")

# Modules inside a decoder block that hold 2-D weights and are no Linears, and the routers of mixtures of
# experts, which compression leaves alone (as llm-compressor and GPTQModel do): they are tiny, and decide
# which weights are used at all.
_NO_LINEAR = re.compile(r"norm|embed|relative_attention_bias|(^|\.)(gate|router|shared_expert_gate)\.")
_IN_A_STACK = re.compile(r"^(?P<stack>.*?)\.?(?<![^.])\d+\.(?P<module>.+)$")


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a safetensors shard, as its header describes it."""

    name: str
    shard: Path
    dtype: str  # the name of safetensors: F32, BF16, I8, ...
    shape: tuple[int, ...]
    begin: int  # byte offsets in the shard
    end: int

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


def config_json(folder: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises:
        InputError: not a folder, no config.json, or one that is not a JSON object.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder. Give the folder that holds config.json and *.safetensors."
        )
    return read_json(folder / "config.json", "Give a folder as save_pretrained writes it.")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers would load, sorted by name.

    Raises:
        InputError: there are none, only pickles, or a shard that the index names is missing.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        shards = sorted(set(_weight_map(folder).values()))
        for name in shards:
            if Path(name).name != name or not (folder / name).is_file():
                raise InputError(
                    f"{folder}: {INDEX} names the shard '{name}', which is missing. Copy it again."
                )
        return [folder / name for name in shards]
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
    if pickles:
        raise InputError(
            f"{folder} holds its weights in a pickle ({pickles[0]}) and not in safetensors. A pickle runs "
            "code when it is read: load it where you trust it, and save it again with save_pretrained()."
        )
    raise InputError(f"{folder} holds no weights: expected {SINGLE} or {INDEX} and its shards.")


def stored_tensors(folder: Path) -> list[StoredTensor]:
    """Every tensor of the folder's weight files, in the order of shard and offset.

    Raises:
        InputError: a shard is truncated or no safetensors file, or does not hold what the index says.
    """
    shards = weight_files(folder)
    tensors = [tensor for shard in shards for tensor in read_header(shard)]
    if shards != [folder / SINGLE]:
        found = {tensor.name: tensor.shard.name for tensor in tensors}
        for name, shard in _weight_map(folder).items():
            if found.get(name) != shard:
                raise InputError(
                    f"{folder}: {INDEX} places '{name}' in {shard}, which does not hold it. "
                    "Copy the checkpoint again."
                )
    return tensors


def read_tensor(tensor: StoredTensor) -> "Tensor":
    """The values of a stored tensor, in a memory mapping of its own that goes when the tensor goes.

    8-bit floats come as bfloat16, which holds them exactly: torch computes little with them as they are.

    Raises:
        InputError: the shard cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(tensor.shard, framework="pt") as file:
            values: Tensor = file.get_tensor(tensor.name)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{tensor.shard} cannot be read ({error}). Copy it again.") from None
    return values.to(torch.bfloat16) if tensor.dtype.startswith("F8") else values


def decoder_linears(tensors: Iterable[StoredTensor]) -> list[StoredTensor]:
    """The Linears of the decoder blocks: what compression acts on and what sparsity is measured over.

    Those are the 2-D weights under the first number of their name (`model.layers.0...`,
    `transformer.h.0...`), without norms, embeddings and routers; of several such stacks the one with most
    weights, so that a vision tower stays out. The embeddings and the head lie outside any stack. Experts that
    are fused into one tensor count as one Linear.
    """
    stacks: dict[str, list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        match = _IN_A_STACK.match(tensor.name)
        is_weight = is_fused_experts(tensor) or (len(tensor.shape) == 2 and tensor.name.endswith(MATRICES))
        if match and is_weight and not _NO_LINEAR.search(match["module"]):
            stacks[match["stack"]].append(tensor)
    return max(stacks.values(), key=lambda stack: sum(tensor.numel for tensor in stack), default=[])


def is_fused_experts(tensor: StoredTensor) -> bool:
    """All experts of a layer in one [experts, ., .] tensor (gpt-oss, Llama 4), or in blocks of one (MXFP4)."""
    path, _, name = tensor.name.rpartition(".")
    return len(tensor.shape) in (3, 4) and path.endswith(".experts") and "scale" not in name


def stores_transposed(config: dict[str, Any]) -> bool:
    """Whether the Linears are stored as [in, out] (GPT-2's Conv1D) and not as [out, in]."""
    return config.get("model_type") in _CONV1D_MODELS


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that make up the tokenizer, chat template included, sorted by name."""
    return sorted({path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()})


def _weight_map(folder: Path) -> dict[str, str]:
    weight_map = read_json(folder / INDEX, "Copy the checkpoint again.").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{folder / INDEX} has no 'weight_map'. Copy the checkpoint again.")
    return weight_map


def read_json(path: Path, way_out: str) -> dict[str, Any]:
    """The JSON object in a file, or an InputError that ends in `way_out`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing. {way_out}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}). {way_out}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} is not a JSON object. {way_out}")
    return data


def read_header(shard: Path) -> list[StoredTensor]:
    """The tensors of one safetensors file (8 bytes header length, a JSON header, the data), by offset."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 8 + length <= size else b""
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        tensors = [
            StoredTensor(
                name=name,
                shard=shard,
                dtype=entry["dtype"],
                shape=tuple(entry["shape"]),
                begin=8 + length + entry["data_offsets"][0],
                end=8 + length + entry["data_offsets"][1],
            )
            for name, entry in entries.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise InputError(
            f"{shard} is damaged: its safetensors header cannot be read. Copy it again."
        ) from None
    expected = max((tensor.end for tensor in tensors), default=8 + length)
    if size != expected:
        raise InputError(
            f"{shard} is truncated or damaged: its header describes {expected} bytes, the file has {size}. "
            "Copy it again."
        )
    return sorted(tensors, key=lambda tensor: tensor.begin)
