"""The last step of a language model, from final hidden states to logits, taken only where logits are needed.

A model's own forward may cap or scale what its output embedding gives. The rule that its config states is tried against
that forward; where it does not give the same logits, the model's own forward is used for all positions instead.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from kick.errors import InputError

LOGITS_AT_A_TIME = 2**25  # values: 128 MiB in float32

_RULES: dict[str | None, Callable[[torch.Tensor, float], torch.Tensor]] = {
    None: lambda logits, _: logits,
    "final_logit_softcapping": lambda logits, cap: torch.tanh(logits / cap) * cap,
    "logit_scale": lambda logits, factor: logits * factor,
    "logits_scaling": lambda logits, divisor: logits / divisor,
}


@dataclass(frozen=True)
class Head:
    """Turns final states [n, d] into logits [n, vocabulary]; without an `embedding`, the states are logits already."""

    embedding: Callable[[torch.Tensor], torch.Tensor] | None
    vocabulary: int
    rule: str | None = None  # the key of the config that says what is done to the output of `embedding`
    constant: float = 1.0
    dtype: torch.dtype = torch.float32  # of the states that it takes

    @classmethod
    def linear(cls, weights: Mapping[str, torch.Tensor], rule: str | None, constant: float) -> "Head":
        """A head from what `weights` gave."""

        def embedding(states: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(states, weights["weight"], weights.get("bias"))

        return cls(embedding, len(weights["weight"]), rule, constant, weights["weight"].dtype)

    def weights(self) -> dict[str, torch.Tensor]:
        """Weight [vocabulary, d] and bias of the output embedding.

        Raises:
            InputError: the model's logits are made in another way.
        """
        if not isinstance(self.embedding, torch.nn.Linear):
            raise InputError(
                "the reference's logits are not made by a linear head from its final states, so that no divergence "
                "from it can be measured. Set divergence: false."
            )
        found = {"weight": self.embedding.weight, "bias": self.embedding.bias}
        return {name: tensor.detach().contiguous() for name, tensor in found.items() if tensor is not None}

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        if self.embedding is None:
            return states
        return _RULES[self.rule](self.embedding(states), self.constant)

    def in_chunks(self, states: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Float32 logits of a few positions at a time: those of a whole batch may take gigabytes."""
        rows = max(1, LOGITS_AT_A_TIME // self.vocabulary)
        for start in range(0, len(states), rows):
            part = slice(start, min(start + rows, len(states)))
            yield part, self(states[part]).float()

    def states(self, model: PreTrainedModel, **inputs: Any) -> torch.Tensor:
        """What this head takes [rows, tokens, d], from a forward of the model."""
        inputs = {"use_cache": False, **inputs}
        output = (
            model(**inputs).logits if self.embedding is None else model.base_model(**inputs).last_hidden_state
        )
        assert isinstance(output, torch.Tensor)
        return output


@torch.inference_mode()
def find_head(model: PreTrainedModel) -> Head:
    """The head of a model, tried on a few tokens."""
    embedding = model.get_output_embeddings()
    probe = torch.arange(8, device=model.device)[None]
    logits = model(input_ids=probe, use_cache=False).logits[0]
    if embedding is not None and model.base_model is not model:
        config = model.config.get_text_config()
        stated = [rule for rule in _RULES if rule is not None and getattr(config, rule, None)]
        rule = stated[0] if stated else None
        constant = float(getattr(config, rule)) if rule else 1.0
        head = Head(embedding, logits.shape[-1], rule, constant, logits.dtype)
        own = head(head.states(model, input_ids=probe)[0])
        tolerance = 1e-5 if logits.dtype == torch.float32 else 1e-2
        if torch.allclose(own, logits, rtol=tolerance, atol=tolerance):
            return head
    return Head(None, logits.shape[-1])
