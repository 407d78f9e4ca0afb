"""The loader `per-layer-llama`: a pruned Llama whose layers have intermediate sizes and head counts of their own.

As structured pruning leaves it (LLM-Pruner, arXiv:2305.11627; search-llm, arXiv:2409.17372): whole heads, channels and
layers are gone. The sizes are read from the stored tensors, since such checkpoints keep the dense config.
"""

import copy
import re
from typing import TYPE_CHECKING

from kick.checkpoints.loaders import Shapes
from kick.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_LAYER = re.compile(r"^model\.layers\.(\d+)\.")


def build(config: "PretrainedConfig", shapes: Shapes) -> "PreTrainedModel":
    """A Llama with the layers that are stored, each of its own sizes; the size of a head is that of the config."""
    from transformers import LlamaForCausalLM

    if config.model_type != "llama":
        raise InputError(
            f"the loader 'per-layer-llama' builds Llamas, and config.json states '{config.model_type}'."
        )
    numbers = sorted({int(match[1]) for name in shapes if (match := _LAYER.match(name))})
    if numbers != list(range(len(numbers))) or not numbers:
        raise InputError(f"the stored layers are numbered {numbers}. Number them from 0 without gaps.")
    config.num_hidden_layers = len(numbers)
    config.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    model = LlamaForCausalLM(config)
    for number, layer in enumerate(model.model.layers):
        at = f"model.layers.{number}"
        own = copy.deepcopy(config)
        own.intermediate_size = _rows(shapes, f"{at}.mlp.gate_proj.weight")
        own.num_attention_heads = _heads(shapes, f"{at}.self_attn.q_proj.weight", config.head_dim)
        own.num_key_value_heads = _heads(shapes, f"{at}.self_attn.k_proj.weight", config.head_dim)
        if own.num_attention_heads % own.num_key_value_heads:
            raise InputError(
                f"layer {number} has {own.num_attention_heads} heads, which {own.num_key_value_heads} keys and values "
                "cannot be shared by evenly. Remove whole groups of heads."
            )
        narrow = type(layer)(own, number)
        narrow.self_attn.config = narrow.mlp.config = (
            config  # what is set on the model later holds for all its layers
        )
        model.model.layers[number] = narrow
    return model


def _rows(shapes: Shapes, name: str) -> int:
    if name not in shapes:
        raise InputError(f"the tensor '{name}' is missing. Export the checkpoint again.")
    return shapes[name][0]


def _heads(shapes: Shapes, name: str, head_dim: int) -> int:
    rows = _rows(shapes, name)
    if rows % head_dim:
        raise InputError(
            f"'{name}' has {rows} rows, which are no whole heads of {head_dim}. Remove whole heads."
        )
    return rows // head_dim
