"""The common ground of all engines: requests in token ids, responses, and a journal that lets a killed run go on.

An engine knows models and tokens. It knows neither tasks nor scores: `kick.harness` renders and tokenises the requests
and scores the responses.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from kick.errors import InputError
from kick.store import Journal
from kick.types import BatchSize, EngineArgument
from kick.types.measures import Speed
from kick.yaml_files import explain

# `states`: the engine keeps what the divergence of candidates from its model is measured by.
Capability = Literal["score", "generate", "divergence", "states"]
Format = Literal["folder", "gguf", "server"]
Progress = Callable[[int], None]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """A request for the log-likelihood of `continuation` after `context` (token ids; neither is empty)."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def length(self) -> int:
        """The number of tokens that go through the model."""
        return len(self.context) + len(self.continuation) - 1

    @property
    def span(self) -> int:
        """The number of positions in the context window that the request takes."""
        return len(self.context) + len(self.continuation)


@dataclass(frozen=True)
class Generate:
    """A request for text after `context` (token ids), up to a stop string, the end of sequence or `budget` new tokens.

    Leading white space of the completion is dropped before the first stop string is looked for: a model that begins
    its answer on a new line has not given an empty one.

    The text is greedy at a temperature of 0. Above, tokens are drawn with random numbers of the request's own `seed`:
    they depend neither on its neighbours nor on the order, and are the same for every checkpoint.
    """

    context: tuple[int, ...]
    stop: tuple[str, ...]
    budget: int
    temperature: float = 0.0
    seed: int = 0

    @property
    def length(self) -> int:
        """The number of tokens of the prompt."""
        return len(self.context)

    @property
    def span(self) -> int:
        """The number of positions in the context window that the request takes at most."""
        return len(self.context) + self.budget


Request = Score | Generate


@dataclass(frozen=True)
class LogLikelihood:
    """The response to a `Score`."""

    value: float
    """The natural logarithm of the probability of the continuation; not finite where the model says so."""

    greedy: bool
    """True if each token of the continuation is the most probable one."""


@dataclass(frozen=True)
class Completion:
    """The response to a `Generate`."""

    text: str
    """The text before the first stop string, without leading white space and without the prompt."""

    cut: bool
    """True if the budget ended the text, and neither a stop string nor the end of sequence did."""


Response = LogLikelihood | Completion


@dataclass(frozen=True)
class TokenScores:
    """The scores of the tokens of one continuation, one value per token; without a reference there is `nll` alone."""

    nll: Values
    """Negative log-likelihood, in nats."""

    reference_nll: Values
    """The same by the reference."""

    kl: Values
    """KL(reference || candidate), in nats."""

    reverse_kl: Values
    """KL(candidate || reference), in nats."""

    delta_p: Values
    """The probability of the token: the candidate's minus the reference's."""

    same_top: Values
    """1 where both models have the same most probable token, else 0."""

    @classmethod
    def of(cls, values: Values) -> "TokenScores":
        """Return the record for rows of values [1 or 6, tokens] in the order of the fields."""
        return cls(*values, *[np.empty(0, np.float32)] * (6 - len(values)))

    def encode(self) -> str:
        """Return the values as text for a journal."""
        rows = [self.nll, self.reference_nll, self.kl, self.reverse_kl, self.delta_p, self.same_top]
        return base64.b64encode(np.stack([row for row in rows if len(row)]).tobytes()).decode()

    @classmethod
    def decode(cls, text: str, tokens: int) -> "TokenScores":
        """Return the record that `encode` gave for a continuation of `tokens` tokens."""
        return cls.of(np.frombuffer(base64.b64decode(text), np.float32).reshape(-1, tokens))


class DamagedStatesError(Exception):
    """The states that a reference left for its candidates are missing, or are not those that were written."""


class Engine(Protocol):
    """A loaded checkpoint that answers requests."""

    @property
    def name(self) -> str:
        """The engine, as a suite names it."""

    @property
    def version(self) -> str:
        """The version of the library that computes."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that may change the last digits of a number."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The kinds of requests that the engine answers."""

    def answer(
        self,
        requests: Sequence[Request],
        journal: Journal | None = None,
        progress: Progress | None = None,
        *,
        alone: bool = False,
    ) -> list[Response]:
        """Answer requests.

        Args:
            requests: the requests of one plan, all of them: how they are batched must not depend on what was answered.
            journal: where responses are kept as they come; what it holds already is not computed again.
            progress: called with the number of requests that were answered since the last call.
            alone: run every request by a forward of its own tokens, whatever the requests share.

        Returns:
            One response per request, in their order.
        """

    def predict_tokens(
        self,
        requests: Sequence[Score],
        journal: Journal | None = None,
        *,
        keep: Path | None = None,
        reference_states: Path | None = None,
        alone: bool = False,
    ) -> list[TokenScores]:
        """Return the scores of every token of some continuations; for engines with the capability `divergence`.

        Args:
            requests: the requests of one plan, all of them.
            journal: where scores are kept as they come.
            keep: where the engine keeps what candidates are compared with, if this model is their reference.
            reference_states: the states that the reference kept, if this model is compared with one.
            alone: run every request by a forward of its own tokens, whatever the requests share.

        Raises:
            InputError: what candidates need cannot be kept, or the two models predict other vocabularies.
            DamagedStatesError: what the reference kept is missing or damaged.
        """


@dataclass(frozen=True)
class EnginePlan:
    """The facts about an engine that are known before it loads a checkpoint: they are part of a cell's key."""

    version: str
    """The version of the library that computes, or what a server says about itself."""

    settings: Mapping[str, str]
    """The settings that may change the numbers, defaults included."""

    batching: str
    """The batching of requests; the noise floor of a reference is measured by another one."""

    capabilities: frozenset[Capability]
    """The kinds of requests that the engine may answer; a server is asked only when it is used."""

    dtype: str | None = None
    """The dtype that the engine computes in; None: that of the checkpoint."""

    window: int | None = None
    """The number of tokens that fit; None: as the checkpoint's config states."""

    model: str | None = None
    """The identity of a server's model; None: its files identify it."""


@dataclass(frozen=True)
class EngineOrder:
    """A checkpoint that an engine is to score, as a suite names it."""

    arguments: Mapping[str, EngineArgument]
    batch: BatchSize
    device: str
    server: str | None = None
    """The address of the server that runs the model."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of a checkpoint that an engine loads."""

    model: Path
    """A folder with safetensors, or a GGUF file; for a server the folder of the tokenizer."""

    tokenizer: Path
    """The folder of its tokenizer."""

    dtype: str
    trust_remote_code: bool = False


@dataclass(frozen=True)
class LoadedEngine:
    """An engine that has loaded a checkpoint, with what a reader of its numbers should know."""

    engine: Engine

    memory: int
    """The bytes of its weights; 0: not known."""

    loading: tuple[str, ...] = ()
    """The changes to the stored weights on loading, one phrase each."""

    simulated: tuple[str, ...] = ()
    """The differences from the model as it would be deployed, one phrase each."""

    refusals: Mapping[Capability, str] = field(default_factory=dict)
    """The reason why the engine does not have a capability for this model."""

    measure_speed: Callable[[], Speed | None] = lambda: None
    """Measures the speed of generation."""


class EngineKind(Protocol):
    """An engine that a suite can name: what an entry point of the group `kick.engines` gives.

    Making one must not import the library that computes: `plan` refuses in words if it is not installed.
    """

    @property
    def formats(self) -> frozenset[Format]:
        """The formats of models that it runs."""

    def plan(self, order: EngineOrder) -> EnginePlan:
        """Check the arguments of a checkpoint, and return what its cells' keys need.

        Raises:
            InputError: the engine's library is not installed, or an argument is unknown or not valid.
        """

    def load(self, files: ModelFiles, order: EngineOrder) -> LoadedEngine:
        """Load a checkpoint.

        Raises:
            InputError: the model cannot be loaded, or its tokenizer does not fit it.
        """


class Batch(Protocol):
    """Requests that are answered together."""

    @property
    def positions(self) -> list[int]:
        """Their positions in the plan."""


B = TypeVar("B", bound=Batch)


def resume(
    batches: Iterable[B],
    answered: Mapping[int, Any],
    work: Callable[[B], Mapping[int, Any]],
    journal: Journal | None,
    progress: Progress | None = None,
) -> dict[int, Any]:
    """Do the batches that are not answered yet, and keep what comes of each in the journal.

    Batches are cut from a whole plan and never from what is left of it. A run that was interrupted thus computes the
    same numbers as one that was not, also in bfloat16, where the result of a row depends on its neighbours.

    Args:
        batches: all batches of the plan.
        answered: the entries of the journal that hold, by position.
        work: answers a batch with entries for the journal, by position.
        journal: where they are kept.
        progress: called with the number of positions that were answered since the last call.

    Returns:
        The entries of all positions.
    """
    entries = dict(answered)
    if progress:
        progress(len(entries))
    for batch in batches:
        missing = sum(position not in entries for position in batch.positions)
        if not missing:
            continue
        fresh = work(batch)
        if journal:
            journal.append(batch.positions, [fresh[position] for position in batch.positions])
        entries.update(fresh)
        if progress:
            progress(missing)
    return entries


def journaled(journal: Journal | None, requests: Sequence[Request]) -> dict[int, Any]:
    """Return the journal's entries for the positions of a plan."""
    entries = journal.read() if journal else {}
    return {position: entry for position, entry in entries.items() if position < len(requests)}


def as_entry(response: Response) -> list[Any]:
    """Return a response as an entry for a journal."""
    return list(astuple(response))


def as_response(request: Request, entry: Sequence[Any]) -> Response:
    """Return the response that an entry of a journal holds for a request."""
    return LogLikelihood(*entry) if isinstance(request, Score) else Completion(*entry)


A = TypeVar("A", bound=BaseModel)


def read_arguments(engine: str, given: Mapping[str, EngineArgument], kind: type[A]) -> A:
    """Return the arguments of an engine as a record; the texts of a command line are taken for numbers.

    Raises:
        InputError: one is unknown, or not valid.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise InputError(f"engine_args of {engine}: {explain(error, kind, {})}") from None


def require(engine: str, package: str, module: str) -> str:
    """Return the version of the package that an engine computes with.

    Raises:
        InputError: it is not installed; names the extra that brings it.
    """
    if find_spec(module) is None:
        raise InputError(
            f"the engine {engine} needs the package '{package}', which is not installed: "
            f"pip install 'llm-kick[{engine}]'."
        )
    return version(package)
