"""The loader `per-layer-llama`: a pruned Llama whose layers have intermediate sizes and head counts of their own.

Structured pruning leaves such models (LLM-Pruner, arXiv:2305.11627; search-llm, arXiv:2409.17372): whole heads,
channels and layers are gone. The sizes are read from the stored tensors, since such checkpoints keep the dense config.
Head counts are only read if the tensors leave no doubt: 16 rows are 2 heads of 8 as well as 4 heads of 4.
"""

import copy
import re
from typing import TYPE_CHECKING

from transformers import LlamaForCausalLM

from kick.checkpoints.loaders import Shapes
from kick.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# The key of config.json that states the query heads of every layer.
STATED = "num_attention_heads_per_layer"
_LAYER = re.compile(r"^model\.layers\.(\d+)\.")


def build(config: "PretrainedConfig", shapes: Shapes) -> "PreTrainedModel":
    """Return a Llama with the stored layers, each with its own sizes; heads are as large as the config says.

    Args:
        config: a Llama's config. `num_attention_heads_per_layer`, a list of one integer per stored layer, states head
            counts that the shapes leave open.
        shapes: the shapes of the stored tensors by name.

    Raises:
        InputError: the config is not a Llama's, layers or tensors are missing, or a layer's heads are not whole, not
            evenly shared, of another size than the config's, or ambiguous.
    """
    if config.model_type != "llama":
        raise InputError(
            f"the loader 'per-layer-llama' builds Llamas, and config.json states '{config.model_type}'."
        )
    numbers = sorted({int(match[1]) for name in shapes if (match := _LAYER.match(name))})
    if numbers != list(range(len(numbers))) or not numbers:
        raise InputError(f"the stored layers are numbered {numbers}. Number them from 0 without gaps.")
    stated = _stated_heads(config, len(numbers))
    config.num_hidden_layers = len(numbers)
    config.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    model = LlamaForCausalLM(config)
    for number, layer in enumerate(model.model.layers):
        at = f"model.layers.{number}"
        own = copy.deepcopy(config)
        own.intermediate_size = _rows(shapes, f"{at}.mlp.gate_proj.weight")
        own.num_attention_heads, own.num_key_value_heads = _heads(
            config, shapes, number, stated[number] if stated else None
        )
        narrow = type(layer)(own, number)
        # A setting that is made on the model's config later holds for all its layers.
        narrow.self_attn.config = narrow.mlp.config = config
        model.model.layers[number] = narrow
    return model


def _stated_heads(config: "PretrainedConfig", layers: int) -> list[int] | None:
    stated = getattr(config, STATED, None)
    if stated is None:
        return None
    if (
        not isinstance(stated, list)
        or len(stated) != layers
        or not all(type(heads) is int and heads > 0 for heads in stated)
    ):
        raise InputError(
            f"config.json: {STATED} is {stated!r}; expected a list of {layers} positive integers, one per layer."
        )
    return stated


def _heads(config: "PretrainedConfig", shapes: Shapes, number: int, stated: int | None) -> tuple[int, int]:
    """Return the query heads and the key-value heads of a layer."""
    name = f"model.layers.{number}.self_attn.q_proj.weight"
    queries = _rows(shapes, name)
    keys = _rows(shapes, f"model.layers.{number}.self_attn.k_proj.weight")
    size = config.head_dim
    dense = (config.num_attention_heads * size, config.num_key_value_heads * size)
    if stated is not None and queries != stated * size:
        raise InputError(
            f"layer {number} has {queries} query rows, which are not the {stated} heads of {size} that "
            f"{STATED} states. Heads of another size than the config's head_dim are not supported."
        )
    if stated is None and (queries > dense[0] or keys > dense[1]):
        raise InputError(
            f"layer {number} has {queries} query rows and {keys} key rows, more than the {dense[0]} and {dense[1]} of "
            f"the config. Restore the config.json that belongs to the weights, or state {STATED}."
        )
    possible = _geometries(config, queries, keys)
    if stated is None and (queries, keys) != dense and possible and possible != [size]:
        choices = " or ".join(f"{queries // one} heads of {one}" for one in possible[:3])
        raise InputError(
            f"layer {number} has {queries} query rows and {keys} key rows, which can be {choices}: the shapes do not "
            f"tell which. State the query heads of every layer in config.json, as in "
            f'"{STATED}": [{config.num_attention_heads}, ...].'
        )
    if queries % size or keys % size:
        rows = queries if queries % size else keys
        at = name if queries % size else name.replace("q_proj", "k_proj")
        raise InputError(f"'{at}' has {rows} rows, which are not whole heads of {size}. Remove whole heads.")
    if (queries // size) % (keys // size):
        raise InputError(
            f"layer {number} has {queries // size} heads, which {keys // size} keys and values cannot be shared by "
            "evenly. Remove whole groups of heads."
        )
    return queries // size, keys // size


def _geometries(config: "PretrainedConfig", queries: int, keys: int) -> list[int]:
    """Return every head size that pruning the dense model can have left, the config's own first.

    Pruning adds neither heads nor channels, and rotary embeddings need an even size.
    """
    return [
        size
        for size in range(config.head_dim, 1, -1)
        if size % 2 == 0
        and queries % size == keys % size == 0
        and queries // size <= config.num_attention_heads
        and keys // size <= config.num_key_value_heads
        and (queries // size) % (keys // size) == 0
    ]


def _rows(shapes: Shapes, name: str) -> int:
    if not shapes.get(name):
        raise InputError(f"the tensor '{name}' is missing. Export the checkpoint again.")
    if not all(shapes[name]):
        raise InputError(f"the tensor '{name}' is empty. Export the checkpoint again.")
    return shapes[name][0]
