"""Read a checkpoint folder: its config, its weight shards and their tensors, its tokenizer files.

Only `read_tensor` reads weights and needs torch; all else reads configs and safetensors headers.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kick.checkpoints.configs import check_config
from kick.checkpoints.untrusted import LARGEST_JSON, check_file, check_files, read_json, refusing, section
from kick.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# The endings of the names of weights, dense or packed.
MATRICES = (".weight", ".qweight", ".weight_packed", "._weight_qdata")
# The stored dtypes that hold weights as they are.
FLOATS = ("F64", "F32", "F16", "BF16")
# Bits of a value by the names of safetensors.
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}

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

# Modules inside a decoder block that hold 2-D weights and are not Linears, and the routers of mixtures of
# experts, which compression leaves alone (as llm-compressor and GPTQModel do): they are tiny, and decide
# which weights are used at all.
_NO_LINEAR = re.compile(r"norm|embed|relative_attention_bias|(^|\.)(gate|router|shared_expert_gate)\.")
_IN_A_STACK = re.compile(r"^(?P<stack>.*?)\.?(?<![^.])\d{1,9}\.(?P<module>.+)$")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a safetensors shard, as its header describes it."""

    name: str
    shard: Path
    # The name of safetensors: F32, BF16, I8, ...
    dtype: str
    shape: tuple[int, ...]
    # Byte offsets in the shard.
    begin: int
    end: int
    # Weights per scale, as torchao states it; None: not stated.
    block: int | None = None

    @property
    def numel(self) -> int:
        """The number of stored values."""
        return math.prod(self.shape)


def config_json(folder: Path) -> dict[str, Any]:
    """Return the folder's config.json.

    Raises:
        InputError: not a folder, no config.json, one whose values no model has, or a file that is not regular or a link
            out of the folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder. Give the folder that holds config.json and *.safetensors."
        )
    check_files(folder)
    config = read_json(folder / "config.json", "Give a folder as save_pretrained writes it.")
    check_config(folder / "config.json", config)
    return config


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that transformers would load, sorted by name.

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
    """Return every tensor of the folder's weight files, in the order of shard and offset.

    Raises:
        InputError: a shard is truncated or not a safetensors file, or does not hold what the index says.
    """
    shards = weight_files(folder)
    tensors = [tensor for shard in shards for tensor in read_header(shard)]
    if shards != [folder / SINGLE]:
        shard_of = {tensor.name: tensor.shard.name for tensor in tensors}
        for name, shard in _weight_map(folder).items():
            if shard_of.get(name) != shard:
                raise InputError(
                    f"{folder}: {INDEX} places '{name}' in {shard}, which does not hold it. "
                    "Copy the checkpoint again."
                )
    return tensors


def read_tensor(tensor: StoredTensor) -> "Tensor":
    """Return the values of a stored tensor, in a memory mapping of its own that goes when the tensor goes.

    8-bit floats come as bfloat16, which holds them exactly: torch computes little with them as they are.

    Raises:
        InputError: the shard cannot be read.
    """
    import torch
    from safetensors import safe_open

    with refusing(f"{tensor.shard} cannot be read"), safe_open(tensor.shard, framework="pt") as file:
        values: Tensor = file.get_tensor(tensor.name)
    return values.to(torch.bfloat16) if tensor.dtype.startswith("F8") else values


def decoder_linears(tensors: Iterable[StoredTensor]) -> list[StoredTensor]:
    """Return the Linears of the decoder blocks: compression acts on them, and sparsity is measured over them.

    Those are the 2-D weights under the first number of their name (`model.layers.0...`,
    `transformer.h.0...`), without norms, embeddings and routers. Of several such stacks, the one with most weights is
    taken, so a vision tower stays out. The embeddings and the head are outside any stack. Experts that are fused into
    one tensor count as one Linear.
    """
    stacks: dict[str, list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        match = _IN_A_STACK.match(tensor.name)
        is_weight = is_fused_experts(tensor) or (len(tensor.shape) == 2 and tensor.name.endswith(MATRICES))
        if match and is_weight and not _NO_LINEAR.search(match["module"]):
            stacks[match["stack"]].append(tensor)
    return max(stacks.values(), key=lambda stack: sum(tensor.numel for tensor in stack), default=[])


def is_fused_experts(tensor: StoredTensor) -> bool:
    """Return whether a tensor holds all experts of a layer: [experts, ., .] (gpt-oss, Llama 4), or blocks (MXFP4)."""
    path, _, name = tensor.name.rpartition(".")
    return len(tensor.shape) in (3, 4) and path.endswith(".experts") and "scale" not in name


def stores_transposed(config: dict[str, Any]) -> bool:
    """Return whether the Linears are stored as [in, out] (GPT-2's Conv1D) and not as [out, in]."""
    return config.get("model_type") in _CONV1D_MODELS


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files that make up the tokenizer, chat template included, sorted by name."""
    return sorted({path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()})


def _weight_map(folder: Path) -> dict[str, str]:
    weight_map = read_json(folder / INDEX, "Copy the checkpoint again.").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{folder / INDEX} has no 'weight_map'. Copy the checkpoint again.")
    if not all(isinstance(shard, str) for shard in weight_map.values()):
        raise InputError(f"{folder / INDEX} names a shard that is not a text. Copy the checkpoint again.")
    return weight_map


def read_header(shard: Path) -> list[StoredTensor]:
    """Return the tensors of one safetensors file (8 bytes header length, a JSON header, the data), by offset.

    Raises:
        InputError: the file is not regular, its header is damaged, or it does not describe the bytes of the file.
    """
    check_file(shard)
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 8 + length <= min(size, LARGEST_JSON) else b""
    try:
        stated = json.loads(header)
        blocks = _torchao_blocks(stated.pop("__metadata__", None))
        tensors = [_entry(shard, name, entry, 8 + length, blocks.get(name)) for name, entry in stated.items()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError(
            f"{shard} is damaged: its safetensors header cannot be read. Copy it again."
        ) from None
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end))
    end = 8 + length
    for tensor in tensors:
        if tensor.begin != end:
            raise InputError(
                f"{shard} is damaged: '{tensor.name}' does not begin where the tensor before it ends. Copy it again."
            )
        end = tensor.end
    if size != end:
        raise InputError(
            f"{shard} is truncated or damaged: its header describes {end} bytes, the file has {size}. "
            "Copy it again."
        )
    return tensors


def _entry(shard: Path, name: str, entry: dict[str, Any], data: int, block: int | None) -> StoredTensor:
    """Return one tensor of a header; the data begin at `data`.

    Raises:
        ValueError, KeyError, TypeError: its dtype is unknown, or its shape and offsets are not those of a tensor.
    """
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], entry["shape"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(name)
    if math.prod(shape) * _BITS[dtype] != 8 * (end - begin):
        raise ValueError(name)
    return StoredTensor(name, shard, dtype, tuple(shape), data + begin, data + end, block)


def _torchao_blocks(metadata: Any) -> dict[str, int]:
    """Return the weights per scale of the tensors that torchao stored, by the names of their values.

    torchao writes a JSON description of each tensor into the metadata of a header.
    """
    blocks = {}
    for name, text in metadata.items() if isinstance(metadata, dict) else ():
        stated = json.loads(text) if isinstance(text, str) and text.startswith('{"_type"') else {}
        block = section(stated, "_data").get("block_size")
        if isinstance(block, list) and all(type(size) is int and size > 0 for size in block):
            module, _, parameter = name.rpartition(".")
            blocks[f"{module}._{parameter}_qdata"] = math.prod(block)
    return blocks
