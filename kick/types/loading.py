"""Names of a checkpoint's files and changes to them while they are loaded, as records."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from kick.errors import nearest
from kick.types.base import Record

QuantizerName = Literal["bnb-int8", "bnb-nf4", "quanto-int4", "quanto-int8", "torchao-int8"]
QUANTIZER_NAMES: tuple[QuantizerName, ...] = (
    "bnb-int8",
    "bnb-nf4",
    "quanto-int4",
    "quanto-int8",
    "torchao-int8",
)
KV_BITS = range(2, 9)


class ModelReference(Record):
    """The place of a model: a local path, a repository on the hub at a pinned revision, or a server that runs it.

    `kick.suite.model_refs.parse_model` reads one from text; `kick.checkpoints.resolve` turns one into files.
    """

    # A folder or a .gguf file on this machine; None: the model is on the hub.
    path: str | None = None
    # owner/name on the hub; None: the model is local.
    repository: str | None = None
    # The only file wanted from the repository, relative to its root; None: the whole checkpoint.
    file: str | None = None
    # The commit, branch or tag of the repository.
    revision: str | None = None
    # The address of a server; None: the model's files are at hand.
    server: str | None = None

    @property
    def name(self) -> str:
        """The reference without its revision, as the key `model` of a suite holds it."""
        return self.path or self.server or "/".join(part for part in (self.repository, self.file) if part)

    @property
    def text(self) -> str:
        """The reference in one piece: a path, or `owner/name[/file.gguf]@revision`."""
        return f"{self.name}@{self.revision}" if self.revision else self.name


class LoadingOptions(Record):
    """The changes between the stored weights and the model that is scored.

    A new option is one field here. It is then a key of `checkpoints` in a suite, a field of every `Checkpoint`,
    reaches `kick.checkpoints.load`, and is part of the fingerprint (`kick.checkpoints.changes_on_loading`); what it
    does is implemented in `kick.checkpoints.loading`.
    """

    # The folder of a PEFT adapter; in a suite also its hub id, as owner/name@revision.
    adapter: str | None = None
    # The quantizer that works while dense weights are loaded.
    quantizer: str | None = None
    # The plug-in that builds the model if transformers cannot.
    loader: str | None = None
    # The bits that keys and values are rounded to.
    kv_bits: Annotated[int, Field(ge=KV_BITS[0], le=KV_BITS[-1])] | None = None

    @field_validator("quantizer")
    @classmethod
    def _known(cls, quantizer: str | None) -> str | None:
        if quantizer is not None and quantizer not in QUANTIZER_NAMES:
            hint = nearest(quantizer, QUANTIZER_NAMES)
            raise PydanticCustomError(
                "quantizer", "there is no quantizer '{name}'. {hint}", {"name": quantizer, "hint": hint}
            )
        return quantizer

    @property
    def given(self) -> dict[str, str | int]:
        """The options that are set, by name; empty if the stored weights are loaded as they are."""
        return {name: value for name, value in self if value is not None}
