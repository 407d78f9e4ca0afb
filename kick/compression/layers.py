"""Drop decoder layers: renumber the tensors of the others, and correct config.json."""

import json
import re
from pathlib import Path
from typing import Any

from kick.checkpoints.folder import (
    INDEX,
    SINGLE,
    config_json,
    decoder_linears,
    stored_tensors,
    weight_files,
)
from kick.errors import InputError

_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Keys whose meaning depends on the numbers of layers: kick cannot say what they would mean afterwards.
_BY_NUMBER = (
    "first_k_dense_replace",
    "mlp_only_layers",
    "cross_attention_layers",
    "num_kv_shared_layers",
    "attn_layer_period",
)
_NUMBER = re.compile(r"^(?P<stack>.*?(?<![^.]))(?P<number>\d+)(?P<rest>\..+)$")


def dropped_layers(layers: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the numbers of the layers that a recipe drops from a model of `count` layers.

    A number of layers means the deepest but the last: n of L layers are L-1-n .. L-2. That is the simple rule of
    Gromov et al. 2024 (arXiv:2403.17887, section 4.4), who find it as good as their measured one after healing;
    nothing is healed here.

    Raises:
        InputError: a number is not that of a layer, or no layer would be left.
    """
    if isinstance(layers, int):
        if layers >= count:
            raise InputError(f"layers: {layers} of {count} cannot be dropped. At least one has to stay.")
        return tuple(range(count - 1 - layers, count - 1))
    outside = [layer for layer in layers if not 0 <= layer < count]
    if outside:
        raise InputError(f"layers: there is no layer {outside[0]}. They are numbered 0 to {count - 1}.")
    if len(layers) >= count:
        raise InputError(f"layers: all {count} cannot be dropped. At least one has to stay.")
    return layers


def drop_layers(layers: int | tuple[int, ...], source: Path, scratch: Path) -> tuple[int, ...]:
    """Write shards, index and config.json of `source` without some of its decoder layers; returns which.

    Memory is bounded by the largest shard.

    Raises:
        InputError: `source` holds no numbered layers, its config hangs on their numbers, or as `dropped_layers`.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    tensors = stored_tensors(source)
    matches = {t.name: match for t in tensors if (match := _NUMBER.match(t.name))}
    stacks = {matches[linear.name]["stack"] for linear in decoder_linears(tensors)}
    if len(stacks) != 1:
        raise InputError(f"{source}: no stack of numbered decoder layers among its tensors.")
    (stack,) = stacks
    count = 1 + max(int(match["number"]) for match in matches.values() if match["stack"] == stack)
    dropped = dropped_layers(layers, count)
    kept = [layer for layer in range(count) if layer not in dropped]
    config = _without(source, count, kept)
    weight_map: dict[str, str] = {}
    size = 0
    for shard in weight_files(source):
        written = {}
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                match = matches.get(name)
                if match is None or match["stack"] != stack:
                    written[name] = file.get_tensor(name)
                elif int(match["number"]) in kept:
                    number = kept.index(int(match["number"]))
                    written[f"{stack}{number}{match['rest']}"] = file.get_tensor(name)
            metadata = file.metadata()
        if written:
            save_file(written, scratch / shard.name, metadata=metadata)
            weight_map |= dict.fromkeys(written, shard.name)
            size += sum(values.nbytes for values in written.values())
    if not (source / SINGLE).is_file():
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (scratch / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")
    (scratch / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return dropped


def _without(source: Path, count: int, kept: list[int]) -> dict[str, Any]:
    """Return the config of the kept layers: their number, and every list with one entry per layer."""
    from kick.checkpoints.loading import read_config

    config = config_json(source)
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    numbers = [key for key in _COUNTS if text.get(key) == count]
    if not numbers:
        raise InputError(f"{source}: config.json does not say that there are {count} layers.")
    hanging = [key for key in _BY_NUMBER if text.get(key)]
    if hanging:
        raise InputError(
            f"{source}: config.json gives layers a meaning by their number ({hanging[0]}), which dropping "
            "some of them would change. Drop none."
        )
    types = getattr(read_config(source).get_text_config(), "layer_types", None)
    if types is not None:
        text["layer_types"] = list(types)
    for key, value in text.items():
        if isinstance(value, list) and len(value) == count:
            text[key] = [value[layer] for layer in kept]
    for key in numbers:
        text[key] = len(kept)
    return config
