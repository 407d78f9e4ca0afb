"""What a run consists of: a room that its jobs share, the sources of checkpoints, orders for them, and planned jobs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kick.progress import Reporter
from kick.store import Store, cell_key
from kick.suite import Suite
from kick.types import BatchSize, Calibration, CellIdentity, Checkpoint, Tier

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from kick.compression import Samples
    from kick.engines.torch.memory import Memory
    from kick.harness.suite_tasks import SuiteTasks
    from kick.harness.work import Work

KEPT = "kept"  # the divergence of a reference's cell: its states are kept


@dataclass(frozen=True)
class Room:
    """What the jobs of a run share."""

    suite: Suite
    tasks: "SuiteTasks"
    store: Store
    cache: Path  # made checkpoints are kept below it
    device: str
    reporter: Reporter
    hashed: Callable[[Path], str]  # the fingerprint of a folder
    sampled: "Callable[[Calibration, Path], Samples]"  # the calibration set of a folder's tokenizer
    keep: int | None  # bytes of made checkpoints to keep; None: all
    memory: "Memory"  # the sizes of batches that are known to fit

    @property
    def made(self) -> Path:
        """The folder of made checkpoints."""
        return self.cache / "checkpoints"

    def source(self, checkpoint: Checkpoint) -> "Source":
        """What the files of a checkpoint say of it: no model is loaded and none is made."""
        from kick.checkpoints import (
            changes_on_loading,
            converted,
            fingerprint_as_loaded,
            read_config,
            resolve,
            resolve_adapter,
            resolve_tokenizer,
        )
        from kick.compression import recipe_key

        origin = resolve(checkpoint)
        tokenizer = resolve_tokenizer(checkpoint, origin)
        folder = origin if origin.is_dir() else converted(origin, checkpoint.dtype, self.cache)
        weights = self.hashed(origin)
        made = weights
        if recipe := checkpoint.recipe:
            drawn = self.sampled(recipe.calibration, folder).sha256 if recipe.calibration else None
            made = recipe_key(recipe, weights, drawn)
        adapter = resolve_adapter(checkpoint)
        changes = changes_on_loading(
            adapter=adapter,
            quantizer=checkpoint.quantizer,
            loader=checkpoint.loader,
            kv_bits=checkpoint.kv_bits,
        )
        loaded = fingerprint_as_loaded(made, changes)
        config = read_config(folder, trust_remote_code=checkpoint.trust_remote_code)
        return Source(checkpoint, origin, folder, weights, tokenizer, made, loaded, adapter, config)


@dataclass(frozen=True)
class Source:
    """What a checkpoint's files say of it, before anything is loaded."""

    checkpoint: Checkpoint
    origin: Path  # what the suite names: a folder, or a GGUF file
    folder: Path  # of its weights, or of those that it is made from: the origin, or what a GGUF file is converted to
    folder_fingerprint: str  # of the origin
    tokenizer: Path  # the folder of its tokenizer
    made: str  # the fingerprint of the weights, after its recipe
    fingerprint: str  # of the model as it is loaded
    adapter: Path | None
    config: "PretrainedConfig"

    @property
    def dtype(self) -> str:
        stated = self.checkpoint.dtype
        return stated if stated != "auto" else str(self.config.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Order:
    """What is asked of one checkpoint."""

    checkpoint: Checkpoint
    tasks: tuple[str, ...]
    batch: BatchSize
    unlike: BatchSize | None = None  # of a noise floor: the batches that its own must differ from


@dataclass(frozen=True)
class Job:
    """One checkpoint and its cells, planned."""

    source: Source
    batch: BatchSize
    tier: Tier
    tokenizer_fingerprint: str
    work: Mapping[str, "Work"]
    identities: Mapping[str, CellIdentity]
    not_diverged: Mapping[str, str]  # task -> why no divergence from the reference is measured

    @property
    def checkpoint(self) -> Checkpoint:
        return self.source.checkpoint

    @property
    def keys(self) -> dict[str, str]:
        return {task: cell_key(identity) for task, identity in self.identities.items()}

    def missing(self, store: Store) -> list[str]:
        return [task for task, key in self.keys.items() if not store.has(self.checkpoint.id, task, key)]

    def without_states(self, store: Store, tasks: Collection[str]) -> list[str]:
        """Return those of a reference's tasks whose states, which candidates need, are missing or damaged."""
        from kick.engines.torch.states import are_whole

        kept = {task for task, identity in self.identities.items() if identity.divergence == KEPT}
        return [task for task in tasks if task in kept and not are_whole(store.states_path(self.keys[task]))]
