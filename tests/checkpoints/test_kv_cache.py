"""Keys and values of a few bits, against a cache that rounds what it is given while a model decodes token by token."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from kick.checkpoints import fingerprint_as_loaded, load
from kick.engines.torch.tiers import choose_tier
from kick.errors import InputError
from kick.types import LoadingOptions
from tests.tiny import save_model

TOKENS = torch.arange(20, 50)[None]


class RoundingCache(DynamicCache):
    """Keeps keys and values as levels of a few bits: 8-bit codes, a scale and an integer zero point a token's head."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.most = 2**bits - 1

    def update(self, key: Tensor, value: Tensor, layer: int, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        return super().update(self._given_back(key), self._given_back(value), layer)

    def _given_back(self, whole: Tensor) -> Tensor:
        states = whole.float()
        low = states.min(-1, keepdim=True).values.clamp(max=0)
        scale = (states.max(-1, keepdim=True).values.clamp(min=0) - low) / self.most
        zero = torch.round(-low / scale)
        codes = (torch.round(states / scale) + zero).clamp(0, self.most).to(torch.uint8)
        return ((codes.float() - zero) * scale).to(whole.dtype)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "qwen3"])
def test_a_whole_text_is_read_as_decoding_through_a_quantized_cache_reads_it(
    name: str, bits: int, tmp_path: Path
) -> None:
    folder = save_model(tmp_path / name, name, scale=5)
    # In float64: else a value near a half may go to either level.
    plain = AutoModelForCausalLM.from_pretrained(folder).double()
    rounding = load(
        folder, dtype="float32", device="cpu", options=LoadingOptions(kv_bits=bits)
    ).model.double()
    cache = RoundingCache(bits)
    with torch.inference_mode():
        steps = [
            plain(TOKENS[:, at : at + 1], past_key_values=cache, use_cache=True).logits
            for at in range(TOKENS.shape[1])
        ]
        ours, dense = rounding(TOKENS).logits, plain(TOKENS).logits
    torch.testing.assert_close(ours, torch.cat(steps, dim=1), rtol=1e-6, atol=1e-6)
    assert (ours - dense).abs().max() > (1e-4 if bits == 8 else 1e-2)


def test_fewer_bits_change_more(tiny_llama: Path) -> None:
    with torch.inference_mode():
        dense = load(tiny_llama, dtype="float32", device="cpu").model(TOKENS).logits
        off = [
            (
                load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(kv_bits=bits))
                .model(TOKENS)
                .logits
                - dense
            ).norm()
            for bits in (8, 4, 2)
        ]
    assert off == sorted(off)


def test_it_is_called_simulated_scored_by_the_fastest_tier_and_a_model_of_its_own(tiny_llama: Path) -> None:
    loaded = load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(kv_bits=4))
    assert loaded.simulated == (
        "KV cache: keys and values rounded to 4 bits, asymmetric, in groups of at most 64 of a token's head",
    )
    assert choose_tier(loaded).tier == "tree"
    fingerprints = {fingerprint_as_loaded("weights", LoadingOptions(kv_bits=bits)) for bits in (None, 4, 8)}
    assert len(fingerprints) == 3


def test_a_model_without_keys_and_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kv_bits: MambaForCausalLM computes no attention"):
        load(
            save_model(tmp_path / "mamba", "mamba"),
            dtype="float32",
            device="cpu",
            options=LoadingOptions(kv_bits=4),
        )
