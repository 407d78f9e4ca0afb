"""A checkpoint as a suite names it, and as a results folder keeps it."""

from typing import Literal

from pydantic import Field

from kick.types.base import Record
from kick.types.engines import DEFAULT_ENGINE, EngineArgument
from kick.types.loading import LoadingOptions
from kick.types.measures import Cost, Description
from kick.types.recipes import Recipe, Step

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class Checkpoint(LoadingOptions):
    """One model of a suite: where its weights come from and how it is loaded and scored."""

    id: str
    # A folder, a GGUF file, or a hub id without its revision.
    model: str
    revision: str | None = None
    # auto: the dtype that the checkpoint's own config states
    dtype: Dtype = "auto"
    trust_remote_code: bool = False
    # A folder or hub id, if the tokenizer is not in the model's folder.
    tokenizer: str | None = None
    # The checkpoint that the recipe starts from, or that the loading options change.
    base: str | None = None
    # How kick makes the checkpoint from the model; None: the model is scored as it is.
    recipe: Recipe | None = None
    # How another tool made the model, as the suite says.
    declared: Step | None = None
    # The series that this checkpoint is a point of.
    series: str | None = None
    # The engine that scores the checkpoint; None: torch.
    engine: str | None = None
    # The arguments of the engine, by name.
    engine_args: dict[str, EngineArgument] | None = None
    # The checkpoint whose weights the model holds in another format, for another engine.
    weights_of: str | None = None

    @property
    def engine_name(self) -> str:
        """The name of the engine."""
        return self.engine or DEFAULT_ENGINE

    @property
    def options(self) -> LoadingOptions:
        """The changes that are made while the checkpoint is loaded."""
        return LoadingOptions(**{name: getattr(self, name) for name in LoadingOptions.model_fields})


class CheckpointRecord(Record):
    """A checkpoint in a results folder: what it is, what was measured, which cells are current."""

    checkpoint: Checkpoint
    fingerprint: str
    tokenizer_fingerprint: str
    # The fingerprint of the checkpoint that the recipe started from.
    source_fingerprint: str | None = None
    # Every step that kick took from a dense checkpoint to this one, those in the model's kick.json included.
    made: Recipe | None = None
    # The last step of compression by the model's own files, if kick did not make it.
    stated: Step | None = None
    # The changes to the stored weights on loading, one phrase each.
    loading: tuple[str, ...] = ()
    # The computations of the loader that differ from those that the checkpoint states, one phrase each.
    simulated: tuple[str, ...] = ()
    description: Description | None = None
    # None: not measured
    cost: Cost | None = None
    # Task name -> cell key.
    cells: dict[str, str] = Field(default_factory=dict)
    # Task name -> why the engine cannot measure it.
    not_measured: dict[str, str] = Field(default_factory=dict)
    # The fingerprint of `checkpoint.weights_of`, if the weights were compared with it and are the same.
    same_weights_as: str | None = None

    @property
    def recipe(self) -> Recipe | None:
        """The recipe by which kick made the checkpoint, in this run or before it; None: kick did not make it."""
        return self.made or self.checkpoint.recipe

    @property
    def step(self) -> Step | None:
        """The last step of compression, whose rate is the checkpoint's place in its series; None: unknown."""
        return self.recipe or self.checkpoint.declared or self.stated
