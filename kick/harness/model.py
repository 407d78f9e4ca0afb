"""The model class that lm-eval drives: requests become a plan, the plan becomes batches, and their responses are kept
in a journal as they come.

Batches are cut from the whole plan and never from what is left of it, so that a run that was interrupted computes the
same numbers as one that was not, also in bfloat16, where a row's result depends on its neighbours.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from kick.checkpoints import Loaded
from kick.engines.torch.batching import ScoreBatch, padded_tokens, score_batches
from kick.engines.torch.forward import Forward
from kick.engines.torch.generation import (
    Completer,
    GenerateBatch,
    Prompt,
    complete,
    generate_batches,
    set_greedy,
)
from kick.engines.torch.likelihood import log_likelihoods
from kick.engines.torch.memory import Memory
from kick.harness.plan import Encoder, Generate, Plan, Request, Score, asked_hash, encode_requests
from kick.store import Journal
from kick.types import BatchSize, Tier

Response = tuple[float, bool] | str
Progress = Callable[[int], None]
Batch = ScoreBatch | GenerateBatch


class KickLM(HFLM):  # type: ignore[misc]
    """A loaded checkpoint as lm-eval sees it.

    Args:
        loaded: the checkpoint.
        batch: the size of a batch; at least one request goes through, however long it is.
        tier: how requests go through the model (see `kick.engines.torch.batching`).
        memory: what is known of how much fits.

    Raises:
        UnsupportedTierError: the model's attention cannot be driven as the tier needs.
    """

    def __init__(self, loaded: Loaded, batch: BatchSize, tier: Tier, memory: Memory | None = None) -> None:
        super().__init__(pretrained=loaded.model, tokenizer=loaded.tokenizer, softmax_dtype=torch.float32)
        set_greedy(loaded.model, loaded.tokenizer)
        self.encoder = Encoder(loaded.tokenizer)
        self.forward = Forward(loaded.model, tier)
        self._completer = Completer(self.forward, self.tokenizer)
        self.batch, self.tier, self.memory = batch, tier, memory or Memory()
        self._plan: Plan | None = None
        self._journal: Journal | None = None
        self._progress: Progress = lambda _items: None

    def follow(self, plan: Plan, journal: Journal, progress: Progress) -> None:
        """Answer only this plan from now on, keep its responses in `journal`, and report requests as they are done."""
        self._plan, self._journal, self._progress = plan, journal, progress

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Response]:
        return self._answer(requests)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Response]:
        return self._answer(requests)

    def _answer(self, instances: Sequence[Instance]) -> list[Response]:
        if self._plan is None:
            requests: Sequence[Request] = encode_requests(instances, self.encoder)
        elif asked_hash(instances) == self._plan.asked:
            requests = self._plan.requests
        else:
            raise RuntimeError("lm-eval sent other requests than the plan holds")
        answered: dict[int, Any] = self._journal.read() if self._journal else {}
        self._progress(sum(position in answered for position in range(len(requests))))
        for batch in batches(requests, self.batch, self.tier):
            if all(position in answered for position in batch.positions):
                continue
            fresh = self._run(batch, requests)
            if self._journal:
                self._journal.append(batch.positions, [fresh[position] for position in batch.positions])
            answered.update(fresh)
            self._progress(len(fresh))
        return [
            answered[position] if isinstance(request, Generate) else tuple(answered[position])
            for position, request in enumerate(requests)
        ]

    @torch.inference_mode()
    def _run(self, batch: Batch, requests: Sequence[Request]) -> Mapping[int, Response]:
        if isinstance(batch, GenerateBatch):
            return self.memory.run(
                batch.rows,
                size=lambda rows: (
                    min(batch.slots, len(rows)) * max(requests[row.positions[0]].span for row in rows)
                ),
                work=lambda rows: self._complete(rows, batch.slots, requests),
            )
        prefix = self.forward.prefix(batch.prefix)
        scored = {p: request for p in batch.positions if isinstance(request := requests[p], Score)}
        return self.memory.run(
            batch.rows,
            size=padded_tokens,
            work=lambda rows: log_likelihoods(self.forward, rows, prefix, scored),
        )

    def _complete(
        self, rows: Sequence[Prompt], slots: int, requests: Sequence[Request]
    ) -> dict[int, Response]:
        first = [request for row in rows if isinstance(request := requests[row.positions[0]], Generate)]
        if self.tier == "tree":
            texts = self._completer.complete(first, [row.shared for row in rows], slots)
        else:
            texts = complete(self.model, self.tokenizer, first)
        return {position: text for row, text in zip(rows, texts, strict=True) for position in row.positions}


def batches(requests: Sequence[Request], size: BatchSize, tier: Tier) -> Iterator[Batch]:
    """Cut a whole plan into batches, longest first."""
    scored = {p: request for p, request in enumerate(requests) if isinstance(request, Score)}
    generated = {p: request for p, request in enumerate(requests) if isinstance(request, Generate)}
    return chain(score_batches(scored, size, tier), generate_batches(generated, size, tier))
