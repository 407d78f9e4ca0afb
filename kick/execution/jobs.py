"""The parts of a run: a context that its jobs share, the sources of checkpoints, orders for them, and planned jobs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kick.checkpoints import (
    check_same_weights,
    config_of_gguf,
    config_of_window,
    converted,
    fingerprint_as_loaded,
    read_config,
    resolve,
    resolve_adapter,
    resolve_tokenizer,
)
from kick.compression import Samples, step_keys
from kick.engines.base import EngineKind, EngineOrder, EnginePlan
from kick.engines.registry import find_engine
from kick.engines.torch.memory import Memory
from kick.engines.torch.states import are_whole
from kick.errors import InputError
from kick.execution.provenance import read_steps
from kick.files import digest
from kick.harness.suite_tasks import SuiteTasks
from kick.harness.work import Work
from kick.progress import Reporter
from kick.store import Store, cell_key
from kick.suite import Suite
from kick.suite.model_refs import parse_folder, parse_model
from kick.types import (
    BatchSize,
    Calibration,
    CellIdentity,
    Checkpoint,
    EngineIdentity,
    LoadingOptions,
    Recipe,
    Step,
    Tier,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# The divergence of a reference's cell: its states are kept.
KEPT = "kept"


@dataclass(frozen=True)
class RunContext:
    """The suite, the data, the stores and the settings that the jobs of a run share."""

    suite: Suite
    tasks: SuiteTasks
    store: Store
    # Made checkpoints are kept below it.
    cache: Path
    device: str
    reporter: Reporter
    # The fingerprint of a folder.
    fingerprint: Callable[[Path], str]
    # The calibration set of a folder's tokenizer.
    read_samples: Callable[[Calibration, Path], Samples]
    # Bytes of made checkpoints to keep; None: all.
    keep: int | None
    # The sizes of batches that are known to fit.
    memory: Memory

    @property
    def checkpoints(self) -> Path:
        """The folder of made checkpoints."""
        return self.cache / "checkpoints"

    def source(self, checkpoint: Checkpoint) -> "Source":
        """Return what the files of a checkpoint say about it: no model is loaded and none is made.

        Raises:
            InputError: its files, tokenizer or adapter are missing or damaged; the message names the checkpoint.
        """
        try:
            return self._source(checkpoint)
        except InputError as error:
            if str(error).startswith("checkpoint '"):
                raise
            raise InputError(f"checkpoint '{checkpoint.id}': {error}") from None

    def _source(self, checkpoint: Checkpoint) -> "Source":
        model = parse_model(checkpoint.model, "model", revision=checkpoint.revision)
        if model.server is not None:
            return self._served(checkpoint, model.server)
        origin = resolve(model, trust_remote_code=checkpoint.trust_remote_code)
        words = parse_folder(checkpoint.tokenizer, "tokenizer") if checkpoint.tokenizer else None
        tokenizer = resolve_tokenizer(words, origin)
        folder, config = self._files(checkpoint, origin)
        weights = self.fingerprint(origin)
        steps = read_steps(origin, weights, self.reporter.say)
        keys: tuple[str, ...] = ()
        made = steps.made.recipe if steps.made else None
        if recipe := checkpoint.recipe:
            calibrations = [step.calibration for step in recipe.steps]
            samples = [self.read_samples(each, folder).sha256 if each else None for each in calibrations]
            keys = step_keys(recipe, steps.made.key if steps.made else weights, samples)
            made = recipe if made is None else made.then(*recipe.steps)
        options = checkpoint.options
        if options.adapter is not None:
            adapter = resolve_adapter(parse_folder(options.adapter, "adapter"))
            options = options.model_copy(update={"adapter": str(adapter)})
        return Source(
            checkpoint=checkpoint,
            origin=origin,
            folder=folder,
            origin_fingerprint=weights,
            tokenizer=tokenizer,
            keys=keys,
            fingerprint=fingerprint_as_loaded(keys[-1] if keys else weights, options),
            options=options,
            made=made,
            stated=None if made else steps.stated,
            config=config,
            same_weights_as=self._compared_weights(checkpoint, origin),
        )

    def _files(self, checkpoint: Checkpoint, origin: Path) -> "tuple[Path, PretrainedConfig]":
        """Return the folder or GGUF file that the engine of a checkpoint loads, and its config."""
        if checkpoint.engine is not None:
            formats = find_engine(checkpoint.engine).formats
            if ("folder" if origin.is_dir() else "gguf") not in formats:
                raise InputError(
                    f"the engine {checkpoint.engine} runs {_FORMATS_IN_WORDS[min(formats)]}, and {origin} is "
                    f"{'a folder' if origin.is_dir() else 'a GGUF file'}. Give another model, or another `engine`."
                )
            if not origin.is_dir():
                return origin, config_of_gguf(origin)
        folder = origin if origin.is_dir() else converted(origin, checkpoint.dtype, self.cache)
        return folder, read_config(folder, trust_remote_code=checkpoint.trust_remote_code)

    def _served(self, checkpoint: Checkpoint, server: str) -> "Source":
        """Return what is known about a model that a server runs: its tokenizer, and what the server says."""
        if checkpoint.engine is None or "server" not in find_engine(checkpoint.engine).formats:
            raise InputError(
                f"{server} is the address of a server, which the engine openai asks. Set `engine: openai`."
            )
        if checkpoint.tokenizer is None:
            raise InputError(
                f"{server} is the address of a server, and requests are made of token ids. Set `tokenizer` to the "
                "folder or hub id of the tokenizer of the model that it runs."
            )
        tokenizer = resolve_tokenizer(parse_folder(checkpoint.tokenizer, "tokenizer"), Path())
        engine = plan_engine(checkpoint, BatchSize(tokens=1, rows=1), self.device)
        assert engine is not None
        fingerprint = digest("served", engine.plan.model, length=64)
        same = None
        if checkpoint.weights_of is not None:
            same = self.source(self.suite.checkpoint(checkpoint.weights_of)).fingerprint
        return Source(
            checkpoint=checkpoint,
            origin=tokenizer,
            folder=tokenizer,
            origin_fingerprint=fingerprint,
            tokenizer=tokenizer,
            keys=(),
            fingerprint=fingerprint,
            options=checkpoint.options,
            made=None,
            stated=None,
            config=config_of_window(engine.plan.window),
            same_weights_as=same,
            server=server,
        )

    def _compared_weights(self, checkpoint: Checkpoint, origin: Path) -> str | None:
        """Return the fingerprint of the checkpoint whose weights a GGUF file holds, compared tensor by tensor.

        Raises:
            InputError: they are not the same.
        """
        if checkpoint.weights_of is None:
            return None
        other = self.source(self.suite.checkpoint(checkpoint.weights_of))
        if other.keys or other.options.given:
            raise InputError(
                f"weights_of: '{checkpoint.weights_of}' is made or changed by kick, so no file holds its weights."
            )
        check_same_weights(origin, other.folder, other.dtype, self.cache)
        return other.fingerprint


_FORMATS_IN_WORDS = {
    "gguf": "a GGUF file",
    "folder": "a folder with safetensors",
    "server": "a server's model",
}


@dataclass(frozen=True)
class PlannedEngine:
    """An engine with its order, and what it says before it loads anything."""

    name: str
    kind: EngineKind
    order: EngineOrder
    plan: EnginePlan

    @property
    def identity(self) -> EngineIdentity:
        """The part of a cell's key that is the engine."""
        return EngineIdentity(name=self.name, version=self.plan.version, settings=dict(self.plan.settings))


def plan_engine(checkpoint: Checkpoint, batch: BatchSize, device: str) -> PlannedEngine | None:
    """Ask the engine of a checkpoint for what the keys of its cells need; None: torch.

    Raises:
        InputError: there is no such engine, it is not installed, or its arguments are not valid; the message names the
            checkpoint.
    """
    if checkpoint.engine is None:
        return None
    try:
        kind = find_engine(checkpoint.engine)
        model = parse_model(checkpoint.model, "model", revision=checkpoint.revision)
        order = EngineOrder(checkpoint.engine_args or {}, batch, device, model.server)
        return PlannedEngine(checkpoint.engine, kind, order, kind.plan(order))
    except InputError as error:
        raise InputError(f"checkpoint '{checkpoint.id}': {error}") from None


@dataclass(frozen=True)
class Source:
    """A checkpoint as its files describe it, before anything is loaded."""

    checkpoint: Checkpoint
    # The folder or GGUF file that the suite names.
    origin: Path
    # The folder of the weights, or of those that the recipe starts from: the origin, or a converted GGUF file.
    folder: Path
    origin_fingerprint: str
    # The folder of its tokenizer.
    tokenizer: Path
    # The key of the weights after each step of the suite's recipe; empty if there is none.
    keys: tuple[str, ...]
    # The fingerprint of the model as it is loaded.
    fingerprint: str
    # The adapter is a local folder.
    options: LoadingOptions
    # Every step that kick took, those that the origin's kick.json tells first.
    made: Recipe | None
    # What the origin's files say about its compression, if kick did not make it.
    stated: Step | None
    config: "PretrainedConfig"
    # The fingerprint of the checkpoint whose weights these are in another format.
    same_weights_as: str | None = None
    # The address of the server that runs the model; None: its files are at hand.
    server: str | None = None

    @property
    def step(self) -> Step | None:
        """The last step of compression; None: unknown."""
        return self.made or self.checkpoint.declared or self.stated

    @property
    def dtype(self) -> str:
        """The dtype to compute in: as the suite says, or as the config states."""
        dtype = self.checkpoint.dtype
        return dtype if dtype != "auto" else str(self.config.dtype).removeprefix("torch.")

    @property
    def attention(self) -> str:
        """The attention implementation that the model is loaded with."""
        return str(self.config._attn_implementation)


@dataclass(frozen=True)
class Order:
    """One checkpoint and the tasks to score it on."""

    checkpoint: Checkpoint
    tasks: tuple[str, ...]
    batch: BatchSize
    # For a noise floor: the batches that its own must differ from.
    unlike: BatchSize | None = None


@dataclass(frozen=True)
class Job:
    """One checkpoint and its cells, planned."""

    source: Source
    batch: BatchSize
    tier: Tier
    tokenizer_fingerprint: str
    work: Mapping[str, Work]
    identities: Mapping[str, CellIdentity]
    # Task -> the reason why no divergence from the reference is measured.
    not_diverged: Mapping[str, str]
    # None: torch.
    engine: PlannedEngine | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, as the suite has it."""
        return self.source.checkpoint

    @property
    def keys(self) -> dict[str, str]:
        """The key of each task's cell."""
        return {task: cell_key(identity) for task, identity in self.identities.items()}

    def missing(self, store: Store) -> list[str]:
        """Return the tasks whose cells the store does not hold."""
        return [task for task, key in self.keys.items() if not store.has(self.checkpoint.id, task, key)]

    def without_states(self, store: Store, tasks: Collection[str]) -> list[str]:
        """Return those of a reference's tasks whose states, which candidates need, are missing or damaged."""
        kept = {task for task, identity in self.identities.items() if identity.divergence == KEPT}
        return [task for task in tasks if task in kept and not are_whole(store.states_path(self.keys[task]))]
