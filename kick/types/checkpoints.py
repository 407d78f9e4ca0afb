"""What is scored: a model of a suite, and what a results folder keeps of it."""

from typing import Literal

from pydantic import Field

from kick.types.base import Record
from kick.types.measures import Cost, Description
from kick.types.recipes import Recipe

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class Checkpoint(Record):
    """One model of a suite: where its weights come from and how it is loaded and scored."""

    id: str
    # A folder, a GGUF file, or a hub id.
    model: str
    # The commit to load from the hub; None: the model is local.
    revision: str | None = None
    # "auto": the dtype that the checkpoint's own config states.
    dtype: Dtype = "auto"
    # Run code that comes with the checkpoint.
    trust_remote_code: bool = False
    # A folder or hub id; None: the tokenizer is next to the model.
    tokenizer: str | None = None
    # The folder or hub id of a PEFT adapter.
    adapter: str | None = None
    # The quantizer that works while the weights are loaded.
    quantizer: str | None = None
    # The plug-in that builds the model, where transformers cannot.
    loader: str | None = None
    # The bits that keys and values are rounded to.
    kv_bits: int | None = None
    # The id of the checkpoint that the recipe starts from, or that the loading options change.
    base: str | None = None
    recipe: Recipe | None = None
    # The name of the series that this checkpoint is a point of.
    series: str | None = None


class CheckpointRecord(Record):
    """A checkpoint in a results folder: what it is, what was measured on it, and which of its cells are current."""

    checkpoint: Checkpoint
    # A hash of what was loaded, and one of its tokenizer.
    fingerprint: str
    tokenizer_fingerprint: str
    # The fingerprint of the checkpoint that a recipe started from.
    source_fingerprint: str | None = None
    # What was done to the stored weights on loading, one phrase each.
    loading: tuple[str, ...] = ()
    # What the loader computed in another way than the checkpoint states, one phrase each.
    simulated: tuple[str, ...] = ()
    # None: not measured.
    description: Description | None = None
    cost: Cost | None = None
    # Task name -> key of the current cell.
    cells: dict[str, str] = Field(default_factory=dict)
