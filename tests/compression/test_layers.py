import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kick.checkpoints import load
from kick.checkpoints.folder import INDEX, stored_tensors
from kick.compression import make, read_made
from kick.compression.layers import dropped_layers
from kick.errors import InputError
from kick.types import Recipe
from tests.checkpoints.edits import edit_json, shard
from tests.tiny import CONFIGS, save_model


def drop(layers: int | tuple[int, ...]) -> Recipe:
    return Recipe(method="layer-drop", layers=layers)


def test_the_deepest_layers_go_but_the_last_stays() -> None:
    assert dropped_layers(3, 18) == (14, 15, 16)
    assert dropped_layers(1, 2) == (0,)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (2, "2 of 2 cannot be dropped"),
        ((0, 1), "all 2 cannot be dropped"),
        ((2,), "there is no layer 2. They are numbered 0 to 1"),
    ],
)
def test_layers_that_cannot_be_dropped_are_refused(layers: int | tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        dropped_layers(layers, 2)


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_the_model_without_a_layer_computes_what_the_dense_one_does_without_it(
    architecture: str, tmp_path: Path
) -> None:
    source = save_model(tmp_path / "dense", architecture, scale=10)
    dense = load(source, dtype="auto", device="cpu").model
    make(drop((0,)), source, tmp_path / "made")
    loaded = load(tmp_path / "made", dtype="auto", device="cpu")
    base = dense.base_model
    parent = getattr(base, "decoder", base)
    blocks = parent.h if hasattr(parent, "h") else parent.layers
    del blocks[0]
    for index, block in enumerate(blocks):  # the cache knows layers by number
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = index
    for config in (dense.config, parent.config):
        config.num_hidden_layers = len(blocks)
        if getattr(config, "layer_types", None):
            config.layer_types = loaded.model.config.layer_types
    tokens = torch.arange(3, 60)[None]
    assert torch.equal(loaded.model(tokens).logits, dense(tokens).logits)
    assert read_made(tmp_path / "made").how.layers == (0,)


def test_the_kinds_of_layers_follow_the_layers(tmp_path: Path) -> None:
    source = save_model(tmp_path / "dense", "gemma3")
    make(drop((0, 1)), source, tmp_path / "made")
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["layer_types"]) == (1, ["full_attention"])


def test_kinds_that_a_config_leaves_to_the_numbers_are_spelt_out(tmp_path: Path) -> None:
    source = save_model(tmp_path / "dense", "gemma3")
    config = json.loads((source / "config.json").read_text())
    del config["layer_types"]
    (source / "config.json").write_text(json.dumps(config | {"sliding_window_pattern": 3}))
    make(drop((0,)), source, tmp_path / "made")
    made = json.loads((tmp_path / "made" / "config.json").read_text())
    assert made["layer_types"] == ["sliding_attention", "full_attention"]


def test_shards_and_their_index_say_what_is_left(tmp_path: Path) -> None:
    source = save_model(tmp_path / "dense")
    shard(source)
    make(drop(1), source, tmp_path / "made")
    index = json.loads((tmp_path / "made" / INDEX).read_text())
    stored = stored_tensors(tmp_path / "made")
    assert index["weight_map"] == {tensor.name: tensor.shard.name for tensor in stored}
    assert not any(".layers.1." in tensor.name for tensor in stored)
    before = {k: v for path in source.glob("*.safetensors") for k, v in load_file(path).items()}
    after = {k: v for path in (tmp_path / "made").glob("*.safetensors") for k, v in load_file(path).items()}
    name = "mlp.up_proj.weight"
    assert torch.equal(after[f"model.layers.0.{name}"], before[f"model.layers.1.{name}"])


def test_a_config_that_hangs_on_the_numbers_of_layers_is_refused(tmp_path: Path) -> None:
    source = save_model(tmp_path / "dense")
    edit_json(source / "config.json", first_k_dense_replace=1)
    with pytest.raises(InputError, match="a meaning by their number"):
        make(drop(1), source, tmp_path / "made")
    assert not (tmp_path / "made").exists()
