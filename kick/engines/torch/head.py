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

# Logits that one matrix product makes: 128 MiB in float32.
PRODUCT = 2**25
# Logits that a CPU's softmax takes at a time: they stay in its cache from pass to pass.
CACHED = 2**20

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
    rule: str | None = None
    """The key of the config that says what is done to the output of `embedding`."""

    constant: float = 1.0
    dtype: torch.dtype = torch.float32
    """The dtype of the states."""

    @classmethod
    def linear(cls, weights: Mapping[str, torch.Tensor], rule: str | None, constant: float) -> "Head":
        """Return a head made of what `weights` returned."""

        def embedding(states: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(states, weights["weight"], weights.get("bias"))

        return cls(embedding, len(weights["weight"]), rule, constant, weights["weight"].dtype)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weight [vocabulary, d] and the bias of the output embedding.

        Raises:
            InputError: the model's logits are made in another way.
        """
        if not isinstance(self.embedding, torch.nn.Linear):
            raise InputError(
                "the reference's logits are not made by a linear head from its final states, so no divergence from it "
                "can be measured. Set divergence: false."
            )
        weights = {"weight": self.embedding.weight, "bias": self.embedding.bias}
        return {name: tensor.detach().contiguous() for name, tensor in weights.items() if tensor is not None}

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits [n, vocabulary] of states [n, d]."""
        if self.embedding is None:
            return states
        return _RULES[self.rule](self.embedding(states), self.constant)

    def in_chunks(self, states: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield float32 logits of a few positions at a time, for the caller to overwrite: all would take gigabytes."""
        rows = max(1, PRODUCT // self.vocabulary)
        few = max(1, CACHED // self.vocabulary) if states.device.type == "cpu" else rows
        for start in range(0, len(states), rows):
            logits = self(states[start : start + rows])
            for first in range(0, len(logits), few):
                some = logits[first : first + few].float()
                yield slice(start + first, start + first + len(some)), some

    def states(self, model: PreTrainedModel, **inputs: Any) -> torch.Tensor:
        """Return the states [rows, tokens, d] that this head takes, from a forward of the model."""
        inputs = {"use_cache": False, **inputs}
        output = (
            model(**inputs).logits if self.embedding is None else model.base_model(**inputs).last_hidden_state
        )
        assert isinstance(output, torch.Tensor)
        return output


def log_normalisers(logits: torch.Tensor) -> torch.Tensor:
    """Return the log of the summed exponentials [n] of logits [n, vocabulary], which are overwritten."""
    best = logits.amax(-1, keepdim=True)
    best = torch.where(best.isinf(), 0, best)
    return logits.sub_(best).exp_().sum(-1).log_().add_(best[:, 0])


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood [n] (nats) of tokens [n] by logits [n, vocabulary], which are overwritten."""
    right = logits.gather(1, targets[:, None])[:, 0]
    return log_normalisers(logits) - right


@torch.inference_mode()
def find_head(model: PreTrainedModel) -> Head:
    """Return the head of a model, tried on a few tokens."""
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
