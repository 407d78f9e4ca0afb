"""Completions, greedy or drawn: what prompts share is computed once, rows stop one by one, and others take their slots.

Each row keeps its keys and values in a slot of its own, by position: there is no padding between them, whatever the
positions of a model are made of. Models whose attention cannot be driven in this way complete through `generate`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from kick.engines.base import Completion, Generate
from kick.engines.stops import before_stop, completion, has_stop, is_done
from kick.engines.torch.batching import shared_prefixes, straight
from kick.engines.torch.forward import Forward, Slots
from kick.types import BatchSize, Tier

# Prompts of a batch for each one that is decoded at a time: a line of the journal holds so many.
FILLINGS = 4


@dataclass(frozen=True)
class Prompt:
    """A prompt of a plan."""

    positions: tuple[int, ...]
    """The positions in the plan of the equal requests that have this prompt."""

    shared: int
    """The number of first tokens that are computed once for this prompt and its neighbours."""


@dataclass(frozen=True)
class GenerateBatch:
    """Prompts with the same settings that are completed together, `slots` at a time."""

    rows: tuple[Prompt, ...]
    slots: int

    @property
    def positions(self) -> list[int]:
        """The positions of all requests in the plan."""
        return [position for row in self.rows for position in row.positions]


def generate_batches(
    requests: Mapping[int, Generate], size: BatchSize, tier: Tier
) -> Iterator[GenerateBatch]:
    """Cut requests, given by position in the plan, into batches: those that share a prefix together, longest first."""
    equal: dict[Generate, list[int]] = {}
    for position, request in requests.items():
        equal.setdefault(request, []).append(position)
    kinds: dict[tuple[Any, ...], list[Generate]] = {}
    for request in equal:
        kinds.setdefault((request.stop, request.budget), []).append(request)
    for members in kinds.values():
        contexts = [request.context for request in members]
        shared = shared_prefixes(contexts) if tier == "tree" else [0] * len(members)
        order = sorted(
            range(len(members)), key=lambda i: (-shared[i], contexts[i][: shared[i]], -len(contexts[i]), i)
        )
        start = 0
        while start < len(order):
            window = order[start : start + size.rows * FILLINGS]
            longest = max(members[i].span for i in window)
            slots = max(1, min(size.rows, size.tokens // longest))
            taken = window[: slots * (FILLINGS if tier == "tree" else 1)]
            prompts = tuple(Prompt(tuple(equal[members[i]]), shared[i]) for i in taken)
            yield GenerateBatch(prompts, min(slots, len(prompts)))
            start += len(taken)


def set_greedy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make `generate` plain greedy decoding.

    transformers fills what a call leaves open from the checkpoint's generation_config.json; its penalties or sampling
    would make two checkpoints decode by different rules.
    """
    end = getattr(model.generation_config, "eos_token_id", None)
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id if end is None else end,
        pad_token_id=_padding(tokenizer),
    )


def end_tokens(model: PreTrainedModel) -> set[int | None]:
    """Return the tokens that end a sequence of the model."""
    ends = model.generation_config.eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


def _padding(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return a token to pad with; it is masked, so any will do where the tokenizer names none."""
    named = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in named if token is not None)


def next_tokens(
    logits: torch.Tensor, requests: Sequence[Generate], draws: Sequence[random.Random]
) -> list[int]:
    """Return the token after each row of float32 logits [n, vocabulary]: the best one, or one drawn at its temperature.

    A token is drawn by inverting the cumulative distribution (float64) at one number of the row's own generator.
    """
    tokens: list[int] = logits.argmax(-1).tolist()
    for row, (request, draw) in enumerate(zip(requests, draws, strict=True)):
        if request.temperature:
            summed = (logits[row].double() / request.temperature).softmax(-1).cumsum(-1)
            token = int(torch.searchsorted(summed, draw.random() * summed[-1], right=True))
            tokens[row] = min(token, len(summed) - 1)
    return tokens


@dataclass
class _Row:
    """A prompt that is being completed; its slot holds all of its tokens but the last one."""

    request: Generate
    place: int
    """The place of the request among all of the call."""

    draws: random.Random
    tokens: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """The position of the last token."""
        return len(self.request.context) + len(self.tokens) - 1


@dataclass
class _Round:
    """The rows that are being completed, the i-th of them in slot i, and the completions that are done, by place."""

    slots: Slots
    active: list[_Row] = field(default_factory=list)
    done: dict[int, Completion] = field(default_factory=dict)


class Completer:
    """Completes prompts with a `Forward` of the tier `tree`."""

    def __init__(self, forward: Forward, tokenizer: PreTrainedTokenizerBase) -> None:
        self.forward, self.tokenizer = forward, tokenizer
        self.ends = end_tokens(forward.model)

    def complete(self, requests: Sequence[Generate], shared: Sequence[int], count: int) -> list[Completion]:
        """Return the completions of requests.

        Args:
            requests: what to complete.
            shared: the number of first tokens of each that are computed with those of its neighbours.
            count: how many are completed at a time.
        """
        current = _Round(Slots(min(count, len(requests)), max(request.span for request in requests)))
        refill = max(1, current.slots.count // FILLINGS)
        entered = 0
        while entered < len(requests) or current.active:
            free = current.slots.count - len(current.active)
            if entered < len(requests) and (free >= refill or not current.active):
                prefix = requests[entered].context[: shared[entered]]
                end = entered + 1
                while end < min(entered + free, len(requests)) and (
                    shared[end] == len(prefix) and requests[end].context[: len(prefix)] == prefix
                ):
                    end += 1
                begun = [
                    _Row(requests[place], place, random.Random(requests[place].seed))
                    for place in range(entered, end)
                ]
                self._prefill(begun, prefix, current)
                entered = end
            else:
                self._step(current)
        return [current.done[place] for place in range(len(requests))]

    def _prefill(self, begun: Sequence[_Row], prefix: tuple[int, ...], current: _Round) -> None:
        """Run prompts through the model, take their first tokens, and give them slots."""
        before = self.forward.prefix(prefix)
        prompts = [straight(row.request.context[len(prefix) :]) for row in begun]
        states, fresh = self.forward.prefill(prompts, before)
        ends = torch.tensor([len(prompt.tokens) - 1 for prompt in prompts], device=states.device)
        first = self._next(states[torch.arange(len(prompts), device=states.device), ends], begun)
        for index, (row, token) in enumerate(zip(begun, first, strict=True)):
            row.tokens.append(token)
            if self._is_done(row):
                current.done[row.place] = self._completion(row)
            else:
                current.slots.put(len(current.active), before, fresh, index, len(prompts[index].tokens))
                current.active.append(row)

    def _step(self, current: _Round) -> None:
        """Add one token to every row; if one is done, the last one moves into its slot."""
        tokens = [row.tokens[-1] for row in current.active]
        positions = [row.position for row in current.active]
        new = self._next(self.forward.step(tokens, positions, current.slots.layers), current.active)
        for row, token in zip(current.active, new, strict=True):
            row.tokens.append(token)
        for slot in reversed(range(len(current.active))):
            row = current.active[slot]
            if self._is_done(row):
                current.done[row.place] = self._completion(row)
                last = current.active.pop()
                if last is not row:
                    current.active[slot] = last
                    current.slots.move(len(current.active), slot)

    def _next(self, states: torch.Tensor, rows: Sequence[_Row]) -> list[int]:
        tokens = []
        for part, logits in self.forward.head.in_chunks(states):
            some = rows[part]
            tokens += next_tokens(logits, [row.request for row in some], [row.draws for row in some])
        return tokens

    def _is_done(self, row: _Row) -> bool:
        return is_done(row.tokens, row.request, self.ends, self._decode)

    def _completion(self, row: _Row) -> Completion:
        return completion(row.tokens, row.request, self.ends, self._decode)

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, requests: Sequence[Generate]
) -> list[Completion]:
    """Return the same completions by transformers' `generate`, all of them at a time."""
    width = max(len(request.context) for request in requests)
    tokens = torch.full((len(requests), width), model.generation_config.pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for index, request in enumerate(requests):
        tokens[index, width - len(request.context) :] = torch.tensor(request.context)
        mask[index, width - len(request.context) :] = 1
    stop, budget = requests[0].stop, requests[0].budget
    output = model.generate(
        input_ids=tokens.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=budget,
        stopping_criteria=StoppingCriteriaList([_RowStops(tokenizer, stop, width)]),
        logits_processor=LogitsProcessorList([_Draws(requests)]),
    )
    ends = end_tokens(model)
    texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return [
        Completion(before_stop(text, stop), cut=not (has_stop(text, stop) or ends.intersection(row)))
        for text, row in zip(texts, output[:, width:].tolist(), strict=True)
    ]


class _Draws(LogitsProcessor):  # type: ignore[misc]
    """Leave one token possible where tokens are drawn, so `generate` takes it as the best one."""

    def __init__(self, requests: Sequence[Generate]) -> None:
        self.requests = requests
        self.draws = [random.Random(request.seed) for request in requests]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not any(request.temperature for request in self.requests):
            return scores
        tokens = torch.tensor(next_tokens(scores.float(), self.requests, self.draws), device=scores.device)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


class _RowStops(StoppingCriteria):  # type: ignore[misc]
    """Say for each row whether its completion holds a stop string; rows end one by one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], prompt_width: int) -> None:
        self.tokenizer, self.stop, self.prompt_width = tokenizer, stop, prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :], skip_special_tokens=True)
        return torch.tensor([has_stop(text, self.stop) for text in texts], device=input_ids.device)
