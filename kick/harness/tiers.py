"""Which tier a model can be scored by: the fastest one whose numbers are those of a plain forward."""

import math
import random
from collections.abc import Mapping

import torch

from kick.checkpoints import Loaded
from kick.harness.forward import NOTHING, Forward, Slots, UnsupportedTierError
from kick.harness.layout import score_batches, straight
from kick.harness.likelihood import log_likelihoods
from kick.harness.plan import Score, context_window
from kick.types import BatchSize, Tier, TierChoice

TIERS: tuple[Tier, ...] = ("tree", "prefix", "plain")  # the fastest first
# Mean difference, nats a token. On a 270M model rounding alone makes 0.06 in bfloat16 and 2e-5 in float32.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.3, "float16": 0.05}
LONGEST_WINDOW = 1024  # a sliding window beyond this is not filled by the test: it would take too long
HEADER = 40  # tokens that requests of the test share, beyond a sliding window
CONTEXTS = (3, 9)
CHOICES = (3, 5)


def choose_tier(loaded: Loaded) -> TierChoice:
    """The fastest tier that gives the log-likelihoods of a plain forward, and why not a faster one."""
    refused: dict[str, str] = {}
    for tier in TIERS:
        reason = why_not(loaded, tier)
        if reason is None:
            return TierChoice(tier=tier, refused=refused)
        refused[tier] = reason
    raise AssertionError("a plain forward is always right")


@torch.inference_mode()
def why_not(loaded: Loaded, tier: Tier) -> str | None:
    """Why a model cannot be scored by a tier, or None if it can: synthetic requests, against one plain forward each."""
    if tier == "plain":
        return None
    requests = _requests(loaded)
    alone = _score(loaded, requests, "plain", BatchSize(tokens=1, rows=1))
    try:
        fast = _score(loaded, requests, tier, BatchSize(tokens=96, rows=1))
        if tier == "tree":
            fast.update(_score_by_steps(loaded, requests))
    except (
        UnsupportedTierError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError
    ) as error:  # fmt: skip
        return f"its forward does not take what the tier '{tier}' needs ({type(error).__name__}: {error})"
    off = sum(_distance(fast[position], value) for position, value in alone.items())
    mean = off / sum(len(request.continuation) for request in requests.values())
    if mean > TOLERANCE[loaded.dtype]:
        return (
            f"log-likelihoods by the tier '{tier}' differ from those of a plain forward by {mean:.2g} nats a token "
            f"(at most {TOLERANCE[loaded.dtype]:g} for {loaded.dtype})"
        )
    return None


def _score(loaded: Loaded, requests: Mapping[int, Score], tier: Tier, size: BatchSize) -> dict[int, float]:
    forward = Forward(loaded.model, tier)
    values: dict[int, float] = {}
    for batch in score_batches(requests, size, tier, width=16):
        prefix = forward.prefix(batch.prefix)
        answers = log_likelihoods(forward, batch.rows, prefix, requests)
        values.update({position: value for position, (value, _) in answers.items()})
    return values


def _score_by_steps(loaded: Loaded, requests: Mapping[int, Score]) -> dict[int, float]:
    """The longest continuations, token by token behind contexts in slots, as completions are made."""
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
    """Choices after contexts, behind a header that is longer than a sliding window and behind none."""
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


def _distance(one: float, other: float) -> float:
    if (math.isnan(one) and math.isnan(other)) or one == other:
        return 0.0
    return abs(one - other) if math.isfinite(one) and math.isfinite(other) else math.inf
