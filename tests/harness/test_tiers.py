"""The self-test that chooses a tier: it takes what is right, and finds what is not."""

from pathlib import Path

import pytest
import torch

from kick.checkpoints import Loaded, load
from kick.harness.forward import Forward, Masks
from kick.harness.tiers import choose_tier, why_not
from tests.tiny import save_model


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = save_model(tmp_path_factory.mktemp("models") / "gemma3", "gemma3", scale=10)
    return load(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_right_model_is_scored_by_the_fastest_tier(tiny_llama: Path, dtype: str, attention: str) -> None:
    loaded = load(tiny_llama, dtype=dtype, device="cpu")
    loaded.model.set_attn_implementation(attention)
    choice = choose_tier(loaded)
    assert (choice.tier, choice.refused) == ("tree", {})


def test_a_sliding_window_that_is_ignored_is_found(gemma: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(gemma, "tree") is None
    build = Masks.__init__

    def wide(masks: Masks, model: object) -> None:
        build(masks, model)  # type: ignore[arg-type]
        masks.windows = dict.fromkeys(masks.windows)

    monkeypatch.setattr(Masks, "__init__", wide)
    assert "differ from those of a plain forward" in str(why_not(gemma, "tree"))


def test_positions_that_are_off_by_one_are_found(gemma: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Forward.step

    def late(forward: Forward, tokens: list[int], positions: list[int], slots: object) -> torch.Tensor:
        return step(forward, tokens, [position - 1 for position in positions], slots)  # type: ignore[arg-type]

    monkeypatch.setattr(Forward, "step", late)
    assert why_not(gemma, "tree") is not None
    assert choose_tier(gemma).tier == "prefix"


def test_a_recurrent_model_is_scored_by_a_plain_forward(tmp_path: Path) -> None:
    choice = choose_tier(load(save_model(tmp_path / "m", "mamba", scale=10), dtype="float32", device="cpu"))
    assert choice.tier == "plain"
    assert set(choice.refused) == {"tree", "prefix"}
    assert "linear_attention" in choice.refused["tree"]
