"""Simulate a quantized KV cache (`kv_bits`): attention reads keys and values as that cache would return them.

Every key and value that attention reads is rounded, those of the current token included. So a forward over a whole text
shows the loss just as decoding does. The cache itself keeps the exact values.
"""

from typing import TYPE_CHECKING, Any

from kick.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Values of a head that share a scale, as in transformers' QuantizedCache.
GROUP = 64
# The start of the names of attention implementations; the bits follow.
_NAME = "sdpa_kv"


def rounding_phrase(bits: int) -> str:
    """Return a phrase that says how keys and values are rounded."""
    return (
        f"keys and values rounded to {bits} bits, asymmetric, in groups of at most {GROUP} of a token's head"
    )


def attends_by_sdpa(implementation: str) -> bool:
    """Return whether an attention implementation takes masks as torch's `scaled_dot_product_attention` does."""
    return implementation == "sdpa" or implementation.startswith(_NAME)


def round_cache(model: "PreTrainedModel", bits: int) -> None:
    """Make the model's attention read rounded keys and values.

    Raises:
        InputError: the model has no attention, or computes it in a way that cannot be reached.
    """
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    from kick.rounding import round_to_nearest

    reached: set[torch.nn.Module] = set()

    def rounded(states: "Tensor") -> "Tensor":
        flat = states.reshape(-1, states.shape[-1])
        return round_to_nearest(flat, bits, GROUP, symmetric=False).view(states.shape)

    def attention(
        module: torch.nn.Module,
        query: "Tensor",
        key: "Tensor",
        value: "Tensor",
        attention_mask: Any,
        **kwargs: Any,
    ) -> Any:
        reached.add(module)
        return sdpa_attention_forward(module, query, rounded(key), rounded(value), attention_mask, **kwargs)

    own = model.config._attn_implementation
    if own == "sdpa":
        AttentionInterface.register(f"{_NAME}{bits}", attention)
        AttentionMaskInterface.register(f"{_NAME}{bits}", sdpa_mask)
        model.set_attn_implementation(f"{_NAME}{bits}")
        with torch.inference_mode():
            model(input_ids=torch.arange(4, device=model.device)[None])
    attends = {
        name: one
        for name, one in model.get_decoder().named_modules()
        if type(one).__name__.endswith("Attention")
    }
    missed = [name for name, one in attends.items() if one not in reached or hasattr(one, "indexer")]
    if missed or not reached:
        raise InputError(
            f"kv_bits: {type(model).__name__} computes no attention over keys and values that transformers' interface "
            f"reaches{f' in {missed[0]}' if missed else ''} (its attention implementation is '{own}'). Remove the key."
        )
