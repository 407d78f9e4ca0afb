"""The statements of a config.json, checked before transformers builds a model from it.

Types and ranges come first, then the comparison with the stored weights.
A config decides how much memory a model takes. A million layers that are not stored, or a hidden size of a billion,
would be allocated and initialised at random before anyone sees that they do not fit.
"""

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kick.checkpoints.untrusted import refusing
from kick.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from kick.checkpoints.folder import StoredTensor

# Far above every model that is known, and far below what hangs a machine.
_MOST_LAYERS = 10_000
_MOST_HEADS = 100_000
_MOST = 10**8
_LARGEST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), _MOST_LAYERS),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "n_head", "n_heads"), _MOST_HEADS),
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok"), _MOST_HEADS
    ),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "intermediate_size", "n_inner", "ffn_dim"), _MOST),
    **dict.fromkeys(("vocab_size", "head_dim", "max_position_embeddings", "n_positions", "n_ctx"), _MOST),
    # transformers makes a name for each label, and checks each one several times.
    "num_labels": 2**15,
    **dict.fromkeys(("word_embed_proj_dim", "moe_intermediate_size", "state_size"), _MOST),
}
# Keys that state how many layers there are, in the dialects of the architectures.
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Experts that a model may not have at all.
_MAY_BE_ZERO = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
)
_LONGEST_NAME = 200
_STRINGS = ("model_type", "hidden_act", "activation_function")
# transformers looks a dtype up among all names of torch.
_DTYPE = re.compile(r"auto|(torch\.)?(bfloat16|half|float|double|u?int8|float(16|32|64)|float8_\w{1,20})")
_NUMBER = re.compile(r"^.*?(?<![^.])(\d{1,9})\.")
# Weights in a stored value at most: sixteen of 2 bits in an int32, and code books below that.
_WEIGHTS_PER_VALUE = 32
# Bytes of tables (masks, rotary frequencies) that a small model may compute, too.
_BUFFERS = 2**30


def check_config(path: Path, config: dict[str, Any]) -> None:
    """Refuse a config whose values have another type or size than any model has.

    Args:
        path: where it is from, for the message.
        config: the content of a config.json.

    Raises:
        InputError: as said.
    """
    for part, where in _parts(config):
        for key, largest in _LARGEST.items():
            _check_integers(path, where + key, part.get(key), largest, 0 if key in _MAY_BE_ZERO else 1)
        for key in _STRINGS:
            value = part.get(key)
            if not isinstance(value, str | None) or len(value or "") > _LONGEST_NAME:
                raise InputError(_other(path, where + key, value, "a name"))
        for key in ("dtype", "torch_dtype"):
            if part.get(key) is not None and not _is_dtype(part[key]):
                raise InputError(_other(path, where + key, part[key], "the name of a dtype"))
        if not _is_names(part.get("architectures")):
            raise InputError(_other(path, where + "architectures", part["architectures"], "a list of names"))
    for key in ("quantization_config", "compression_config"):
        if not isinstance(config.get(key), dict | None):
            raise InputError(_other(path, key, config[key], "an object"))


def check_layers(folder: Path, config: dict[str, Any], tensors: "Iterable[StoredTensor]") -> None:
    """Refuse a config that states more decoder layers than are stored.

    Args:
        folder: where it is from, for the message.
        config: the content of its config.json.
        tensors: the tensors of its weight files.

    Raises:
        InputError: as said.
    """
    stored = _stored_layers(tensors)
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    for key in COUNTS:
        stated = text.get(key)
        if isinstance(stated, int) and stored and stated > stored:
            raise InputError(
                f"{folder}: config.json states {stated} layers ({key}), and {stored} are stored. Restore the "
                "config.json that belongs to the weights, or export the checkpoint again."
            )


def check_size(
    folder: Path, config: "PretrainedConfig", tensors: "Iterable[StoredTensor]", *, quantized: bool
) -> None:
    """Refuse a config whose model is much larger than what is stored; small differences are found by name on loading.

    The model is built without memory (on torch's meta device) to be counted.

    Args:
        folder: where it is from, for the message.
        config: the config as transformers reads it.
        tensors: the tensors of the folder's weight files.
        quantized: whether several weights can be stored in one value.

    Raises:
        InputError: as said, or transformers cannot build the model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with refusing(f"{folder}: transformers cannot build the model of config.json"), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    stored = sum(tensor.numel for tensor in tensors)
    stated = sum(parameter.numel() for parameter in model.parameters())
    if stated > stored * (_WEIGHTS_PER_VALUE if quantized else 2):
        raise InputError(
            f"{folder}: the model of config.json has {stated:,} parameters, and {stored:,} values are stored: the "
            "config is not that of the weights. Restore the one that belongs to them."
        )
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if buffers > _BUFFERS + 8 * stored:
        raise InputError(
            f"{folder}: the model of config.json computes tables of {buffers:,} bytes, far more than its {stored:,} "
            "stored values take. Restore the config.json that belongs to the weights."
        )


def _stored_layers(tensors: "Iterable[StoredTensor]") -> int:
    """Return the number of layers of the deepest stack that is stored; 0 if the names have no numbers."""
    numbers = [int(match[1]) for tensor in tensors if (match := _NUMBER.match(tensor.name))]
    return 1 + max(numbers, default=-1)


def _parts(config: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Return the config and those inside it (of the text, vision, ... model), each with the start of its keys."""
    inner = [
        (value, f"{key}.")
        for key, value in config.items()
        if key.endswith("_config") and isinstance(value, dict)
    ]
    return [(config, ""), *((part, where) for part, where in inner if "quant" not in where)]


def _check_integers(path: Path, key: str, value: Any, largest: int, least: int) -> None:
    """Refuse anything but None, an integer in range, or a list of one such integer per layer."""
    if value is None:
        return
    values = value if isinstance(value, list) and len(value) <= _MOST_LAYERS else [value]
    for one in values:
        # A float that is a whole number is what some converters write.
        whole = isinstance(one, float) and one.is_integer()
        if isinstance(one, bool) or not (isinstance(one, int) or whole) or not least <= one <= largest:
            raise InputError(_other(path, key, one, f"an integer from {least} to {largest:,}"))


def _is_dtype(value: Any) -> bool:
    return isinstance(value, str) and _DTYPE.fullmatch(value) is not None


def _is_names(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(name, str) and len(name) <= _LONGEST_NAME for name in value
    )


def _other(path: Path, key: str, value: Any, expected: str) -> str:
    text = repr(value)
    excerpt = text if len(text) <= 60 else f"{text[:60]}..."
    return f"{path}: {key} is {excerpt}; expected {expected}. Restore the config.json that belongs to the weights."
