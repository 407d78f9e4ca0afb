"""Which tier a model can be scored by: the fastest one whose numbers are those of a plain forward.

In 16 bits no two ways to compute the same number agree, and by how much they differ depends on the model. How much is
rounding is therefore measured on the model itself: the plain forward runs once more with the output of every module
rounded at random (Monte Carlo arithmetic: Parker, Pierce and Eggert, Computing in Science and Engineering 2(4), 2000),
and no log-likelihood by a tier may differ from the plain forward's by more than a small multiple of what that changes.
On random models of four architectures in bfloat16, a right tier differs by 0 to 0.006 nats per token, random rounding
changes 0.02 to 0.13, and a mask that lets choices see each other 0.2 to 0.7.
"""

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from kick.checkpoints import Loaded
from kick.engines.base import Score
from kick.engines.torch.batching import score_batches, straight
from kick.engines.torch.forward import NOTHING, Forward, Slots, UnsupportedTierError
from kick.engines.torch.likelihood import log_likelihoods
from kick.engines.torch.window import context_window
from kick.types import BatchSize, Tier, TierChoice

# The fastest first.
TIERS: tuple[Tier, ...] = ("tree", "prefix", "plain")
# Nats per token: a smaller difference is never held against a tier; a wrong mask makes a far larger one.
TOLERANCE = 1e-3
# A tier may differ by so many times what random rounding changes.
ROUNDINGS = 3
# A longer sliding window is not filled by the test: it would take too long.
LONGEST_WINDOW = 1024
# Tokens that requests of the test share, beyond a sliding window.
HEADER = 40
CONTEXTS = (3, 9)
CHOICES = (3, 5)


def choose_tier(loaded: Loaded) -> TierChoice:
    """Return the fastest tier that gives the log-likelihoods of a plain forward, and why no faster one does."""
    refused: dict[str, str] = {}
    for tier in TIERS:
        reason = why_not(loaded, tier)
        if reason is None:
            return TierChoice(tier=tier, refused=refused)
        refused[tier] = reason
    raise AssertionError("a plain forward is always right")


@torch.inference_mode()
def why_not(loaded: Loaded, tier: Tier) -> str | None:
    """Return why a model cannot be scored by a tier, or None if it can.

    Synthetic requests are scored by the tier, and each by a plain forward of its own.
    """
    if tier == "plain":
        return None
    requests = _requests(loaded)
    alone = _score(loaded, requests, "plain", BatchSize(tokens=1, rows=1))
    try:
        scores = [_score(loaded, requests, tier, BatchSize(tokens=96, rows=1))]
        if tier == "tree":
            scores.append(_score_by_steps(loaded, requests))
    except (
        UnsupportedTierError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError
    ) as error:  # fmt: skip
        return f"its forward does not take what the tier '{tier}' needs ({type(error).__name__}: {error})"
    off = max(_largest_difference(values, alone, requests) for values in scores)
    allowed = TOLERANCE
    if off > allowed:
        with rounded_at_random(loaded.model):
            rounded = _score(loaded, requests, "plain", BatchSize(tokens=1, rows=1))
        noise = _largest_difference(rounded, alone, requests)
        allowed = max(TOLERANCE, ROUNDINGS * noise) if math.isfinite(noise) else TOLERANCE
    if off > allowed:
        return (
            f"log-likelihoods by the tier '{tier}' differ from those of a plain forward by {off:.2g} nats per token "
            f"(at most {allowed:.2g}, as this model rounds in {loaded.dtype})"
        )
    return None


@contextmanager
def rounded_at_random(model: PreTrainedModel) -> Iterator[None]:
    """Change the output of every innermost module by up to one unit roundoff of its dtype, at random, reproducibly."""
    generator = torch.Generator(model.device).manual_seed(0)

    def rounded(_module: object, _inputs: object, output: object) -> object:
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return output
        off = torch.rand(output.shape, generator=generator, device=output.device).mul_(2).sub_(1)
        unit = torch.finfo(output.dtype).eps / 2
        return output.float().mul_(off.mul_(unit).add_(1)).to(output.dtype)

    innermost = [module for module in model.modules() if next(module.children(), None) is None]
    hooks = [module.register_forward_hook(rounded) for module in innermost]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _score(loaded: Loaded, requests: Mapping[int, Score], tier: Tier, size: BatchSize) -> dict[int, float]:
    forward = Forward(loaded.model, tier)
    values: dict[int, float] = {}
    for batch in score_batches(requests, size, tier, width=16):
        prefix = forward.prefix(batch.prefix)
        answers = log_likelihoods(forward, batch.rows, prefix, requests)
        values.update({position: answer.value for position, answer in answers.items()})
    return values


def _score_by_steps(loaded: Loaded, requests: Mapping[int, Score]) -> dict[int, float]:
    """Return the scores of the longest continuations, token by token behind contexts in slots, as text is completed."""
    forward = Forward(loaded.model, "tree")
    longest = {p: request for p, request in requests.items() if len(request.continuation) == max(CHOICES)}
    slots = Slots(len(longest), max(request.span for request in longest.values()))
    values = dict.fromkeys(longest, 0.0)
    states = []
    for slot, request in enumerate(longest.values()):
        own, layers = forward.prefill([straight(request.context)])
        slots.put(slot, NOTHING, layers, row=0, tokens=len(request.context))
        states.append(own[0, -1])
    final = torch.stack(states)
    for step in range(max(CHOICES)):
        tokens = [request.continuation[step] for request in longest.values()]
        logits = forward.head(final).float().log_softmax(-1)
        for (position, value), token in zip(zip(values, logits, strict=True), tokens, strict=True):
            values[position] += float(value[token])
        positions = [len(request.context) + step for request in longest.values()]
        final = forward.step(tokens, positions, slots.layers)
    return values


def _requests(loaded: Loaded) -> dict[int, Score]:
    """Return choices after contexts, behind a header that is longer than a sliding window and behind none."""
    config = loaded.model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or 0
    header = HEADER + (window if window <= LONGEST_WINDOW else 0)
    fits = context_window(config)
    if fits is not None:
        header = max(0, min(header, fits - max(CONTEXTS) - max(CHOICES)))
    draw = random.Random(0)
    special = set(loaded.tokenizer.all_special_ids)
    known = [
        token for token in range(loaded.model.get_input_embeddings().weight.shape[0]) if token not in special
    ]
    shared = draw.choices(known, k=header)
    scores = []
    for before in (shared, []):
        for length in CONTEXTS:
            context = (*before, *draw.choices(known, k=length))
            scores += [Score(context, tuple(draw.choices(known, k=choice))) for choice in CHOICES]
    return dict(enumerate(scores))


def _largest_difference(
    some: Mapping[int, float], others: Mapping[int, float], requests: Mapping[int, Score]
) -> float:
    """Return the largest difference of a log-likelihood, in nats per token; infinities and NaN can be equal, too."""
    return max(
        _difference(value, others[position]) / len(requests[position].continuation)
        for position, value in some.items()
    )


def _difference(one: float, other: float) -> float:
    if (math.isnan(one) and math.isnan(other)) or one == other:
        return 0.0
    return abs(one - other) if math.isfinite(one) and math.isfinite(other) else math.inf
