import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from kick.checkpoints import changes_on_loading, describe, load
from kick.engines.torch.tiers import why_not
from kick.errors import InputError
from kick.types import LoadingOptions
from tests.checkpoints.edits import Q_PROJ, edit_json, edit_weights

HEAD = 8  # of the tiny Llama: 4 heads, which share 2 keys and values; 64 channels; 2 layers
Tensors = dict[str, Tensor]


def logits(model: torch.nn.Module) -> Tensor:
    tokens = torch.arange(3, 60)[None]
    with torch.inference_mode():
        found: Tensor = model(tokens).logits
    return found


def weights_of(folder: Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def prune(
    tensors: Tensors, layer: int, *, group: int | None = None, channels: list[int] | None = None
) -> None:
    """Remove a group of heads and channels of a layer."""
    at = f"model.layers.{layer}"
    if group is not None:
        queries = torch.tensor([row for row in range(4 * HEAD) if row // (2 * HEAD) != group])
        keys = torch.tensor([row for row in range(2 * HEAD) if row // HEAD != group])
        for name, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            tensors[f"{at}.self_attn.{name}.weight"] = tensors[f"{at}.self_attn.{name}.weight"][rows]
        tensors[f"{at}.self_attn.o_proj.weight"] = tensors[f"{at}.self_attn.o_proj.weight"][
            :, queries
        ].contiguous()
    if channels is not None:
        kept = torch.tensor([channel for channel in range(64) if channel not in channels])
        for name in ("gate_proj", "up_proj"):
            tensors[f"{at}.mlp.{name}.weight"] = tensors[f"{at}.mlp.{name}.weight"][kept]
        tensors[f"{at}.mlp.down_proj.weight"] = tensors[f"{at}.mlp.down_proj.weight"][:, kept].contiguous()


def test_a_width_pruned_llama_is_the_dense_one_with_the_same_channels_zeroed(
    folder: Path, tiny_llama: Path
) -> None:
    def narrow(tensors: Tensors) -> None:
        prune(tensors, 0, group=1, channels=list(range(5, 30)))
        prune(tensors, 1, channels=[0, 63])

    edit_weights(folder, narrow)
    edit_json(folder / "config.json", num_attention_heads_per_layer=[2, 4])
    dense = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        dense.model.layers[0].self_attn.o_proj.weight[:, 2 * HEAD :] = 0
        dense.model.layers[0].mlp.down_proj.weight[:, 5:30] = 0
        dense.model.layers[1].mlp.down_proj.weight[:, [0, 63]] = 0
    loaded = load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="per-layer-llama"))
    torch.testing.assert_close(logits(loaded.model), logits(dense), atol=1e-4, rtol=0)
    assert loaded.loading[0].startswith("built by the loader per-layer-llama (llm-kick ")
    widths = [layer.mlp.gate_proj.out_features for layer in loaded.model.model.layers]
    assert widths == [39, 62]
    assert why_not(loaded, "tree") is None
    stored = sum(tensor.numel() for tensor in weights_of(folder).values())
    assert describe(folder).parameters == loaded.model.num_parameters() == stored


def halve_the_heads(tensors: Tensors) -> None:
    """Remove every second pair of channels of each head of layer 0: 4 heads of 4 are left, as many rows as 2 of 8."""
    at = "model.layers.0.self_attn"
    for name, heads in (("q_proj", 4), ("k_proj", 2), ("v_proj", 2)):
        rows = torch.tensor([row for row in range(heads * HEAD) if row % HEAD % 4 < 2])
        tensors[f"{at}.{name}.weight"] = tensors[f"{at}.{name}.weight"][rows]
        if name == "q_proj":
            tensors[f"{at}.o_proj.weight"] = tensors[f"{at}.o_proj.weight"][:, rows].contiguous()


def test_half_heads_are_not_taken_for_half_as_many_whole_ones(folder: Path) -> None:
    edit_weights(folder, halve_the_heads)
    with pytest.raises(
        InputError,
        match=r"layer 0 has 16 query rows and 8 key rows, which can be 2 heads of 8 or 4 heads of 4.*"
        r"num_attention_heads_per_layer",
    ):
        load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="per-layer-llama"))
    edit_json(folder / "config.json", num_attention_heads_per_layer=[4, 4])
    with pytest.raises(InputError, match="16 query rows, which are not the 4 heads of 8 that .* states"):
        load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="per-layer-llama"))


@pytest.mark.parametrize("stated", [[2], "2, 4", [2, 0], [2, True]])
def test_stated_heads_that_are_not_one_number_per_layer_are_refused(stated: object, folder: Path) -> None:
    edit_json(folder / "config.json", num_attention_heads_per_layer=stated)
    with pytest.raises(InputError, match="expected a list of 2 positive integers"):
        load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="per-layer-llama"))


def test_heads_are_read_from_shapes_that_allow_one_reading(folder: Path) -> None:
    """Half of the queries are gone and all of the keys are left: heads of 4 would be more keys than there were."""

    def drop_queries(tensors: Tensors) -> None:
        at = "model.layers.0.self_attn"
        rows = torch.tensor([row for row in range(4 * HEAD) if row // HEAD % 2 == 0])
        tensors[f"{at}.q_proj.weight"] = tensors[f"{at}.q_proj.weight"][rows]
        tensors[f"{at}.o_proj.weight"] = tensors[f"{at}.o_proj.weight"][:, rows].contiguous()

    edit_weights(folder, drop_queries)
    model = load(
        folder, dtype="float32", device="cpu", options=LoadingOptions(loader="per-layer-llama")
    ).model
    assert model.model.layers[0].self_attn.num_key_value_groups == 1


def test_a_depth_pruned_llama_is_the_dense_one_without_the_layer(folder: Path, tiny_llama: Path) -> None:
    def drop_first(tensors: Tensors) -> None:
        for name in [name for name in tensors if ".layers.0." in name]:
            tensors[name] = tensors.pop(name.replace(".layers.0.", ".layers.1."))

    edit_weights(folder, drop_first)
    dense = AutoModelForCausalLM.from_pretrained(tiny_llama)
    del dense.model.layers[0]
    dense.model.layers[0].self_attn.layer_idx = 0
    dense.config.num_hidden_layers = 1
    loaded = load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="per-layer-llama"))
    torch.testing.assert_close(logits(loaded.model), logits(dense), atol=1e-4, rtol=0)


def test_a_low_rank_model_is_the_dense_one_with_the_products_folded_in(
    folder: Path, tiny_llama: Path
) -> None:
    dense = AutoModelForCausalLM.from_pretrained(tiny_llama)
    ranks = {Q_PROJ: 5, "model.layers.1.mlp.down_proj.weight": 12}

    def factor(tensors: Tensors) -> None:
        for name, rank in ranks.items():
            left, values, right = torch.linalg.svd(tensors.pop(name), full_matrices=False)
            u, v = (left[:, :rank] * values[:rank]).contiguous(), right[:rank].contiguous()
            tensors[name.replace(".weight", ".u.weight")] = u
            tensors[name.replace(".weight", ".v.weight")] = v
            dense.get_parameter(name).data = u @ v

    edit_weights(folder, factor)
    loaded = load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="low-rank"))
    torch.testing.assert_close(logits(loaded.model), logits(dense), atol=1e-4, rtol=0)
    assert why_not(loaded, "tree") is None
    saved = (32 * 32 - 5 * (32 + 32)) + (32 * 64 - 12 * (32 + 64))
    assert describe(folder).parameters == describe(tiny_llama).parameters - saved


def test_a_head_that_is_tied_to_the_embeddings_stays_tied(folder: Path) -> None:
    edit_json(folder / "config.json", tie_word_embeddings=True)
    edit_weights(folder, lambda tensors: tensors.pop("lm_head.weight"))
    model = load(
        folder, dtype="bfloat16", device="cpu", options=LoadingOptions(loader="per-layer-llama")
    ).model
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def odd_heads(tensors: Tensors) -> None:
    tensors[Q_PROJ] = tensors[Q_PROJ][:20]


def uneven_groups(tensors: Tensors) -> None:
    tensors[Q_PROJ] = tensors[Q_PROJ][: 3 * HEAD]


def gap(tensors: Tensors) -> None:
    for name in [name for name in tensors if ".layers.0." in name]:
        del tensors[name]


def one_factor(tensors: Tensors) -> None:
    weight = tensors.pop(Q_PROJ)
    tensors[Q_PROJ.replace(".weight", ".u.weight")] = weight[:, :3].clone()


REFUSED: dict[str, tuple[str, Callable[[Tensors], object], str]] = {
    "half a head": ("per-layer-llama", odd_heads, "20 rows, which are not whole heads of 8"),
    "uneven groups": (
        "per-layer-llama",
        uneven_groups,
        "3 heads, which 2 keys and values cannot be shared by",
    ),
    "a gap in the layers": ("per-layer-llama", gap, r"numbered \[1\]. Number them from 0"),
    "a tensor too many": (
        "per-layer-llama",
        lambda tensors: tensors.update({"model.more.weight": torch.rand(2, 2)}),
        "unknown to the model.*model.more.weight",
    ),
    "a tensor missing": (
        "per-layer-llama",
        lambda tensors: tensors.pop(Q_PROJ.replace("q_proj", "v_proj")),
        "missing, and would be random.*v_proj",
    ),
    "no factors": ("low-rank", lambda tensors: None, "finds no factors"),
    "one factor": ("low-rank", one_factor, "missing, and would be random.*v.weight"),
    "no such loader": (
        "low-rnak",
        lambda tensors: None,
        "no installed package brings.*Did you mean 'low-rank'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_loader_does_not_know_is_refused(case: str, folder: Path) -> None:
    loader, breaks, words = REFUSED[case]

    def edit(tensors: Tensors) -> None:
        breaks(tensors)

    edit_weights(folder, edit)
    with pytest.raises(InputError, match=words):
        load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader=loader))


PLUGIN = """
from transformers import AutoModelForCausalLM

def build(config, shapes):
    config.intermediate_size = shapes["model.layers.0.mlp.gate_proj.weight"][0]
    return AutoModelForCausalLM.from_config(config)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a loader, on the path as pip leaves it there."""
    site = tmp_path / "site"
    info = site / "narrow-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "narrow.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: narrow\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[kick.loaders]\nnarrow = narrow:build\nlost = nowhere:build\n")
    monkeypatch.syspath_prepend(site)
    yield site
    sys.modules.pop("narrow", None)


def test_an_installed_package_brings_a_loader(installed: Path, folder: Path) -> None:
    def narrow(tensors: Tensors) -> None:
        for layer in (0, 1):
            prune(tensors, layer, channels=list(range(10)))

    edit_weights(folder, narrow)
    loaded = load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="narrow"))
    assert loaded.model.config.intermediate_size == 54
    assert loaded.loading == ("built by the loader narrow (narrow 1.2)",)
    assert changes_on_loading(LoadingOptions(loader="narrow")) == {"loader": "narrow, narrow 1.2"}
    with pytest.raises(InputError, match="'lost' .*cannot be imported"):
        load(folder, dtype="float32", device="cpu", options=LoadingOptions(loader="lost"))
