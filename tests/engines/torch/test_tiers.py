"""The self-test that chooses a tier: it takes what is right, and finds what is not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kick.checkpoints import Loaded, load
from kick.engines.torch.forward import Forward
from kick.engines.torch.tiers import choose_tier, rounded_at_random, why_not
from tests.tiny import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "gemma3", "gemma3", scale=10)


@pytest.fixture(scope="module")
def gemma(folder: Path) -> Loaded:
    return load(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def gemma_in(folder: Path, request: pytest.FixtureRequest) -> Loaded:
    return load(folder, dtype=request.param, device="cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_right_model_is_scored_by_the_fastest_tier(tiny_llama: Path, dtype: str, attention: str) -> None:
    loaded = load(tiny_llama, dtype=dtype, device="cpu")
    loaded.model.set_attn_implementation(attention)
    choice = choose_tier(loaded)
    assert (choice.tier, choice.refused) == ("tree", {})


@contextmanager
def other_masks(
    loaded: Loaded, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> Iterator[None]:
    """Change the masks, one per kind of layer, of the forwards that are given any."""

    def replace(
        _module: object, arguments: tuple[Any, ...], inputs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        masks = inputs.get("attention_mask")
        return arguments, inputs if masks is None else {**inputs, "attention_mask": change(masks)}

    handle = loaded.model.base_model.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def test_a_sliding_window_that_is_ignored_is_found(gemma_in: Loaded) -> None:
    assert why_not(gemma_in, "tree") is None
    with other_masks(gemma_in, lambda masks: dict.fromkeys(masks, masks["full_attention"])):
        reason = why_not(gemma_in, "tree")
    assert "differ from those of a plain forward" in str(reason)


def test_branches_that_see_each_other_are_found(gemma_in: Loaded) -> None:
    def see_all_before(masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen = masks["full_attention"]
        queries, keys = seen.shape[-2:]
        if queries == 1:
            return masks
        return {**masks, "full_attention": seen | torch.ones_like(seen).tril(keys - queries)}

    with other_masks(gemma_in, see_all_before):
        reason = why_not(gemma_in, "tree")
    assert "differ from those of a plain forward" in str(reason)


def test_random_rounding_changes_the_last_bits_and_leaves_no_trace(gemma_in: Loaded) -> None:
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        before = gemma_in.model(ids).logits
        with rounded_at_random(gemma_in.model):
            rounded = gemma_in.model(ids).logits
        assert gemma_in.model(ids).logits.equal(before)
    off = float((rounded.float() - before.float()).abs().max() / before.float().abs().max())
    eps = torch.finfo(before.dtype).eps
    assert 0.1 * eps < off < 100 * eps


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
