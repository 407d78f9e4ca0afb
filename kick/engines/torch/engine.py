"""kick's own engine: requests become batches by one of three tiers, and batches go through a transformers model."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from kick.checkpoints import Loaded
from kick.engines.base import (
    Capability,
    Completion,
    Generate,
    Progress,
    Request,
    Response,
    Score,
    TokenScores,
    as_entry,
    as_response,
    journaled,
    resume,
)
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
from kick.engines.torch.states import States
from kick.engines.torch.tiers import why_not
from kick.engines.torch.token_scores import Reference, open_reference, token_scores
from kick.errors import InputError
from kick.store import Journal
from kick.types import BatchSize, Tier

Batch = ScoreBatch | GenerateBatch


class TorchEngine:
    """A loaded checkpoint that answers requests through torch.

    Args:
        loaded: the checkpoint.
        batch: the size of a batch; at least one request goes through, however long it is.
        tier: how requests go through the model (see `kick.engines.torch.batching`).
        memory: the sizes that are known to fit, shared by the checkpoints of a run.

    Raises:
        UnsupportedTierError: the model's attention cannot be driven as the tier needs.
    """

    name = "torch"
    version: str = torch.__version__
    capabilities: frozenset[Capability] = frozenset({"score", "generate", "divergence", "states"})

    def __init__(self, loaded: Loaded, batch: BatchSize, tier: Tier, memory: Memory | None = None) -> None:
        set_greedy(loaded.model, loaded.tokenizer)
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.batch, self.tier, self.memory = batch, tier, memory or Memory()
        self.forward = Forward(loaded.model, tier)
        self._completer = Completer(self.forward, loaded.tokenizer)

    @classmethod
    def tested(
        cls, loaded: Loaded, batch: BatchSize, tier: Tier, memory: Memory | None = None
    ) -> "TorchEngine":
        """Return an engine for a checkpoint that passed the self-test of the tier of its suite.

        Raises:
            InputError: the tier does not score the checkpoint correctly.
        """
        reason = why_not(loaded, tier)
        if reason is not None:
            raise InputError(
                f"it cannot be scored as its reference is: {reason}. Set `tier: plain` in the suite, so all "
                "checkpoints are scored by a plain forward."
            )
        return cls(loaded, batch, tier, memory)

    @property
    def settings(self) -> Mapping[str, str]:
        """The tier and the size of a batch."""
        return {"tier": self.tier, "batch": f"{self.batch.tokens}x{self.batch.rows}"}

    def answer(
        self,
        requests: Sequence[Request],
        journal: Journal | None = None,
        progress: Progress | None = None,
        *,
        alone: bool = False,
    ) -> list[Response]:
        """Answer requests; see `kick.engines.base.Engine`."""
        entries = resume(
            batches(requests, self.batch, "plain" if alone else self.tier),
            journaled(journal, requests),
            lambda batch: {
                place: as_entry(response) for place, response in self._run(batch, requests).items()
            },
            journal,
            progress,
        )
        return [as_response(request, entries[position]) for position, request in enumerate(requests)]

    def predict_tokens(
        self,
        requests: Sequence[Score],
        journal: Journal | None = None,
        *,
        keep: Path | None = None,
        reference_states: Path | None = None,
        alone: bool = False,
    ) -> list[TokenScores]:
        """Return the scores of every token of some continuations; see `kick.engines.base.Engine`."""
        reference = None
        if reference_states:
            vocabulary, device = self.forward.head.vocabulary, self.model.device
            reference = open_reference(States(reference_states, requests), vocabulary, device)
        states = States(keep, requests) if keep else None
        entries = journaled(journal, requests)
        if states is not None:
            begun = states.begin(self.forward.head)
            # An answer whose states did not reach the disk is not an answer.
            entries = {p: e for p, e in entries.items() if not begun and e["states"] == states.checksum(p)}
        numbered = dict(enumerate(requests))

        def work(batch: ScoreBatch) -> dict[int, Any]:
            scores = self._predict(batch, numbered, states, reference)
            if states is None:
                return {place: {"scores": score.encode()} for place, score in scores.items()}
            states.sync()
            return {
                place: {"scores": score.encode(), "states": states.checksum(place)}
                for place, score in scores.items()
            }

        cut = score_batches(numbered, self.batch, "plain" if alone else self.tier)
        entries = resume(cut, entries, work, journal)
        if states is not None:
            states.finish()
        return [
            TokenScores.decode(entries[place]["scores"], len(request.continuation))
            for place, request in numbered.items()
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
    ) -> dict[int, Completion]:
        first = [request for row in rows if isinstance(request := requests[row.positions[0]], Generate)]
        if self.tier == "tree":
            completions = self._completer.complete(first, [row.shared for row in rows], slots)
        else:
            completions = complete(self.model, self.tokenizer, first)
        return {
            position: completion
            for row, completion in zip(rows, completions, strict=True)
            for position in row.positions
        }

    @torch.inference_mode()
    def _predict(
        self,
        batch: ScoreBatch,
        requests: Mapping[int, Score],
        keep: States | None,
        reference: Reference | None,
    ) -> dict[int, TokenScores]:
        prefix = self.forward.prefix(batch.prefix)
        return self.memory.run(
            batch.rows,
            size=padded_tokens,
            work=lambda rows: token_scores(self.forward, rows, prefix, requests, keep, reference),
        )


def batches(requests: Sequence[Request], size: BatchSize, tier: Tier) -> Iterator[Batch]:
    """Cut a whole plan into batches, the longest first."""
    scored = {p: request for p, request in enumerate(requests) if isinstance(request, Score)}
    generated = {p: request for p, request in enumerate(requests) if isinstance(request, Generate)}
    return chain(score_batches(scored, size, tier), generate_batches(generated, size, tier))
