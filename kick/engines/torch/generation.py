"""Completions, greedy or drawn: what prompts share is computed once, rows stop one by one, and others take their room.

Each row keeps its keys and values in a slot of its own, by position: there is no padding between them, whatever the
positions of a model are made of. Models whose attention cannot be driven in this way complete through `generate`.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lm_eval.models.utils import postprocess_generated_text
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from kick.engines.torch.batching import shared_prefixes, straight
from kick.engines.torch.forward import Forward, Slots
from kick.harness.plan import Generate
from kick.types import BatchSize, Tier

FILLINGS = 4  # prompts of a batch for each that is decoded at a time: a journal line holds so many
TAIL = 8  # tokens of a completion, beyond the length of a stop string, in which a new one is looked for


@dataclass(frozen=True)
class Prompt:
    """A prompt of a plan: where it stands, and how many of its first tokens are computed with those of others."""

    positions: tuple[int, ...]  # of equal requests
    shared: int


@dataclass(frozen=True)
class GenerateBatch:
    """Prompts with the same settings that are completed together, `slots` at a time."""

    rows: tuple[Prompt, ...]
    slots: int

    @property
    def positions(self) -> list[int]:
        return [position for row in self.rows for position in row.positions]


def generate_batches(
    requests: Mapping[int, Generate], size: BatchSize, tier: Tier
) -> Iterator[GenerateBatch]:
    """Cut requests, given by their position in the plan, into batches: what shares a prefix together, longest first."""
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
        pad_token_id=tokenizer.pad_token_id,
    )


def next_tokens(
    logits: torch.Tensor, requests: Sequence[Generate], draws: Sequence[random.Random]
) -> list[int]:
    """The token after each row of float32 logits [n, vocabulary]: the best one, or one drawn at its temperature.

    A token is drawn by inverting the cumulative distribution (float64) at one number of the row's own generator.
    """
    found = logits.argmax(-1).tolist()
    for row, (request, draw) in enumerate(zip(requests, draws, strict=True)):
        if request.temperature:
            summed = (logits[row].double() / request.temperature).softmax(-1).cumsum(-1)
            token = int(torch.searchsorted(summed, draw.random() * summed[-1], right=True))
            found[row] = min(token, len(summed) - 1)
    return found


@dataclass
class _Completion:
    """A prompt that is being completed; its slot holds all of its tokens but the last one."""

    request: Generate
    place: int  # among the requests
    draws: random.Random
    tokens: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """Of the last token."""
        return len(self.request.context) + len(self.tokens) - 1


@dataclass
class _Round:
    """Completions that are being made, the i-th of them in slot i, and those that are done."""

    slots: Slots
    active: list[_Completion] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)


class Completer:
    """Completes prompts with a `Forward` of the tier `tree`."""

    def __init__(self, forward: Forward, tokenizer: PreTrainedTokenizerBase) -> None:
        self.forward, self.tokenizer = forward, tokenizer
        ends = forward.model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])

    def complete(self, requests: Sequence[Generate], shared: Sequence[int], count: int) -> list[str]:
        """Completions of requests, without the prompt and cut before the first stop string.

        Args:
            requests: what to complete.
            shared: how many first tokens of each are computed with those of its neighbours.
            count: how many are completed at a time.
        """
        room = _Round(Slots(min(count, len(requests)), max(request.span for request in requests)))
        refill = max(1, room.slots.count // FILLINGS)
        entered = 0
        while entered < len(requests) or room.active:
            free = room.slots.count - len(room.active)
            if entered < len(requests) and (free >= refill or not room.active):
                prefix = requests[entered].context[: shared[entered]]
                end = entered + 1
                while end < min(entered + free, len(requests)) and (
                    shared[end] == len(prefix) and requests[end].context[: len(prefix)] == prefix
                ):
                    end += 1
                begun = [
                    _Completion(requests[place], place, random.Random(requests[place].seed))
                    for place in range(entered, end)
                ]
                self._prefill(begun, prefix, room)
                entered = end
            else:
                self._step(room)
        return [room.texts[place] for place in range(len(requests))]

    def _prefill(self, begun: Sequence[_Completion], prefix: tuple[int, ...], room: _Round) -> None:
        """Run prompts through the model, take their first tokens, and give them slots."""
        before = self.forward.prefix(prefix)
        rows = [straight(completion.request.context[len(prefix) :]) for completion in begun]
        states, fresh = self.forward.prefill(rows, before)
        ends = torch.tensor([len(row.tokens) - 1 for row in rows], device=states.device)
        found = self._next(states[torch.arange(len(rows), device=states.device), ends], begun)
        for row, (completion, token) in enumerate(zip(begun, found, strict=True)):
            completion.tokens.append(token)
            if self._is_done(completion):
                room.texts[completion.place] = self._text(completion)
            else:
                room.slots.put(len(room.active), before, fresh, row, len(rows[row].tokens))
                room.active.append(completion)

    def _step(self, room: _Round) -> None:
        """Add one token to every completion; where one is done, the last one moves into its slot."""
        tokens = [completion.tokens[-1] for completion in room.active]
        positions = [completion.position for completion in room.active]
        found = self._next(self.forward.step(tokens, positions, room.slots.layers), room.active)
        for completion, token in zip(room.active, found, strict=True):
            completion.tokens.append(token)
        for slot in reversed(range(len(room.active))):
            completion = room.active[slot]
            if self._is_done(completion):
                room.texts[completion.place] = self._text(completion)
                last = room.active.pop()
                if last is not completion:
                    room.active[slot] = last
                    room.slots.move(len(room.active), slot)

    def _next(self, states: torch.Tensor, completions: Sequence[_Completion]) -> list[int]:
        tokens = []
        for part, logits in self.forward.head.in_chunks(states):
            rows = completions[part]
            tokens += next_tokens(logits, [row.request for row in rows], [row.draws for row in rows])
        return tokens

    def _is_done(self, completion: _Completion) -> bool:
        request, tokens = completion.request, completion.tokens
        if tokens[-1] in self.ends or len(tokens) >= request.budget:
            return True
        if not request.stop:
            return False
        tail = self._decode(tokens[-max(map(len, request.stop)) - TAIL :])
        if not any(stop in tail for stop in request.stop):
            return False
        text = self._decode(tokens)
        return any(stop in text for stop in request.stop)

    def _text(self, completion: _Completion) -> str:
        text = self._decode(completion.tokens)
        return str(postprocess_generated_text(text, list(completion.request.stop), None))

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, requests: Sequence[Generate]
) -> list[str]:
    """The same by transformers' `generate`, all of them at a time."""
    width = max(len(request.context) for request in requests)
    tokens = torch.full((len(requests), width), tokenizer.pad_token_id, dtype=torch.long)
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
    texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return [postprocess_generated_text(text, list(stop), None) for text in texts]


class _Draws(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token possible where tokens are drawn, so that `generate` takes it as the best one."""

    def __init__(self, requests: Sequence[Generate]) -> None:
        self.requests = requests
        self.draws = [random.Random(request.seed) for request in requests]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not any(request.temperature for request in self.requests):
            return scores
        tokens = torch.tensor(next_tokens(scores.float(), self.requests, self.draws), device=scores.device)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


class _RowStops(StoppingCriteria):  # type: ignore[misc]
    """Says for each row whether its completion holds a stop string; rows end one by one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], prompt_width: int) -> None:
        self.tokenizer, self.stop, self.prompt_width = tokenizer, stop, prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :], skip_special_tokens=True)
        done = [any(stop in text for stop in self.stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)
