"""Requests through llama.cpp, one sequence at a time: the beginning that a request shares with the last one is kept.

Where sequences are cut is a function of the whole plan (`kick.engines.paths.cuts`), and tokens between two cuts go
through in calls of their own. So a run that was interrupted computes the same numbers as one that was not.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from kick.engines.base import (
    Capability,
    Completion,
    EnginePlan,
    Generate,
    LogLikelihood,
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
from kick.engines.llama_cpp.library import Context, ContextSettings, LlamaModel
from kick.engines.paths import Path, cuts, distinct_paths
from kick.engines.stops import completion, is_done
from kick.engines.torch.generation import next_tokens
from kick.engines.torch.head import log_normalisers, token_losses
from kick.engines.torch.states import States
from kick.engines.torch.token_scores import Reference, compare, open_reference
from kick.store import Journal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Sequences whose responses make one line of a journal.
SEQUENCES = 8

R = TypeVar("R")


@dataclass(frozen=True)
class _Batch:
    """Sequences whose responses are kept together, each with the depths at which it is cut."""

    paths: tuple[Path, ...]
    cuts: tuple[tuple[int, ...], ...]
    generates: bool

    @property
    def positions(self) -> list[int]:
        """The positions of all requests in the plan."""
        return [position for path in self.paths for position, _ in path.requests]


class LlamaCppEngine:
    """A GGUF file that answers requests through llama.cpp.

    Args:
        model: the file in memory.
        tokenizer: turns completions into text.
        settings: the settings that may change the numbers.
        plan: what the keys of cells hold of the engine.
    """

    name = "llama-cpp"
    capabilities: frozenset[Capability] = frozenset({"score", "generate", "divergence"})

    def __init__(
        self,
        model: LlamaModel,
        tokenizer: "PreTrainedTokenizerBase",
        settings: ContextSettings,
        plan: EnginePlan,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.version: str = plan.version
        self.settings: Mapping[str, str] = plan.settings
        self._context_settings = settings
        self._ends = {tokenizer.eos_token_id, model.end}

    def context(self, tokens: int) -> Context:
        """Return an empty sequence of so many tokens at most."""
        return Context(self.model, self._context_settings, tokens)

    def answer(
        self,
        requests: Sequence[Request],
        journal: Journal | None = None,
        progress: Progress | None = None,
        *,
        alone: bool = False,
    ) -> list[Response]:
        """Answer requests; see `kick.engines.base.Engine`."""
        with _Sequence(self.context(max((request.span for request in requests), default=1))) as sequence:

            def work(batch: _Batch) -> dict[int, Any]:
                answer = self._complete if batch.generates else _log_likelihoods
                entries: dict[int, Any] = {}
                for path, depths in zip(batch.paths, batch.cuts, strict=True):
                    responses = answer(path, depths, sequence, requests)
                    entries.update({place: as_entry(response) for place, response in responses.items()})
                return entries

            entries = resume(_batches(requests, alone), journaled(journal, requests), work, journal, progress)
        return [as_response(request, entries[position]) for position, request in enumerate(requests)]

    def predict_tokens(
        self,
        requests: Sequence[Score],
        journal: Journal | None = None,
        *,
        keep: File | None = None,
        reference_states: File | None = None,
        alone: bool = False,
    ) -> list[TokenScores]:
        """Return the scores of every token of some continuations; see `kick.engines.base.Engine`."""
        assert keep is None, "llama.cpp gives logits, and no states that could be kept"
        reference = None
        if reference_states is not None:
            states = States(reference_states, requests)
            reference = open_reference(states, self.model.vocabulary_size, torch.device("cpu"))
        with _Sequence(self.context(max((request.span for request in requests), default=1))) as sequence:

            def work(batch: _Batch) -> dict[int, Any]:
                entries: dict[int, Any] = {}
                for path, depths in zip(batch.paths, batch.cuts, strict=True):
                    scores = _token_scores(path, depths, sequence, reference)
                    entries.update({place: {"scores": score.encode()} for place, score in scores.items()})
                return entries

            entries = resume(_batches(requests, alone), journaled(journal, requests), work, journal)
        return [
            TokenScores.decode(entries[place]["scores"], len(request.continuation))
            for place, request in enumerate(requests)
        ]

    def _complete(
        self, path: Path, depths: tuple[int, ...], sequence: "_Sequence", requests: Sequence[Request]
    ) -> dict[int, Completion]:
        """Return the completions of the requests that have one prompt, each different one computed once."""
        equal: dict[Generate, list[int]] = {}
        for position, _ in path.requests:
            request = requests[position]
            assert isinstance(request, Generate)
            equal.setdefault(request, []).append(position)
        completions = {}
        for request, positions in equal.items():
            response = self._complete_one(request, depths, sequence)
            completions.update(dict.fromkeys(positions, response))
        return completions

    def _complete_one(self, request: Generate, depths: tuple[int, ...], sequence: "_Sequence") -> Completion:
        draws = [random.Random(request.seed)]
        tokens: list[int] = []
        last = len(request.context) - 1
        parts = sequence.run(request.context, depths, [last])
        while True:
            ((_, logits),) = parts
            tokens += next_tokens(logits, [request], draws)
            if is_done(tokens, request, self._ends, self._decode):
                return completion(tokens, request, self._ends, self._decode)
            last += 1
            parts = sequence.extend(tokens[-1:], [last])

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


class _Sequence:
    """The sequence of a context, with what is in it: the tokens, and the depths at which it was cut."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._cuts: tuple[int, ...] = ()
        self._tokens: tuple[int, ...] = ()

    def __enter__(self) -> "_Sequence":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def run(
        self, tokens: tuple[int, ...], depths: tuple[int, ...], outputs: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Put tokens in the place of the sequence; return the logits of some positions, as `Context.extend` does."""
        kept = 0
        for one, other in zip(depths, self._cuts, strict=False):
            if one != other or self._tokens[:one] != tokens[:one]:
                break
            kept = one
        self.context.cut_back(kept)
        self._tokens, self._cuts = tokens, depths
        ends = [*(depth for depth in depths if depth > kept), len(tokens)]
        starts = [kept, *ends[:-1]]
        return chain.from_iterable(
            self.context.extend(tokens[start:end], [place for place in outputs if start <= place < end])
            for start, end in zip(starts, ends, strict=True)
        )

    def extend(
        self, tokens: Sequence[int], outputs: Sequence[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Add tokens to the sequence behind all cuts."""
        return self.context.extend(tokens, outputs)


def _batches(requests: Sequence[Request], alone: bool) -> Iterator[_Batch]:
    """Cut a whole plan into batches: scored requests first, those that share a beginning together."""
    scored = {p: request for p, request in enumerate(requests) if isinstance(request, Score)}
    generated = {p: request for p, request in enumerate(requests) if isinstance(request, Generate)}
    prompts = {place: Score(request.context, request.context[-1:]) for place, request in generated.items()}
    for generates, members in ((False, scored), (True, prompts)):
        paths = distinct_paths(members)
        depths = [()] * len(paths) if alone else [*cuts(paths)]
        for start in range(0, len(paths), SEQUENCES):
            part = slice(start, start + SEQUENCES)
            yield _Batch(tuple(paths[part]), tuple(depths[part]), generates)


def _each_token(
    path: Path,
    depths: tuple[int, ...],
    sequence: _Sequence,
    use: Callable[[int, Sequence[int], torch.Tensor], None],
) -> None:
    """Run a path, and call `use` with the place of a request, some of its tokens' indices, and their logits."""
    wanted = {
        place for _, request in path.requests for place in range(len(request.context) - 1, request.length)
    }
    for places, logits in sequence.run(path.tokens, depths, sorted(wanted)):
        row = {place: index for index, place in enumerate(places)}
        for position, request in path.requests:
            first = len(request.context) - 1
            inside = [i for i in range(len(request.continuation)) if first + i in row]
            if inside:
                rows = torch.tensor([row[first + i] for i in inside])
                use(position, inside, logits[rows])


def _log_likelihoods(
    path: Path, depths: tuple[int, ...], sequence: _Sequence, _requests: Sequence[Request]
) -> dict[int, LogLikelihood]:
    """Return the log-likelihoods of the requests of a path: in float32 per token, summed in float64."""
    requests = dict(path.requests)
    totals = dict.fromkeys(requests, 0.0)
    greedy = dict.fromkeys(requests, True)

    def use(position: int, inside: Sequence[int], logits: torch.Tensor) -> None:
        targets = torch.tensor([requests[position].continuation[i] for i in inside])
        greedy[position] &= bool((logits.argmax(-1) == targets).all())
        right = logits.gather(1, targets[:, None])[:, 0]
        totals[position] += sum((right - log_normalisers(logits)).tolist())

    _each_token(path, depths, sequence, use)
    return {position: LogLikelihood(totals[position], greedy[position]) for position in requests}


def _token_scores(
    path: Path, depths: tuple[int, ...], sequence: _Sequence, reference: Reference | None
) -> dict[int, TokenScores]:
    """Return the scores of the tokens of the requests of a path, next to the reference's if there is one."""
    requests = dict(path.requests)
    values: dict[int, list[torch.Tensor]] = {position: [] for position in requests}

    def use(position: int, inside: Sequence[int], logits: torch.Tensor) -> None:
        targets = torch.tensor([requests[position].continuation[i] for i in inside])
        if reference is None:
            values[position].append(token_losses(logits, targets)[None])
            return
        theirs = reference.states.read(position)[inside[0] : inside[-1] + 1]
        kept = reference.head.in_chunks(theirs.to(dtype=reference.head.dtype))
        values[position] += [compare(p, logits[part], targets[part]) for part, p in kept]

    with torch.inference_mode():
        _each_token(path, depths, sequence, use)
    return {
        position: TokenScores.of(np.asarray(torch.cat(parts, dim=1).float().numpy()))
        for position, parts in values.items()
    }
