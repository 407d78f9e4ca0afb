"""A suite becomes cells: plan them, execute those that are missing, store each one whole.

Every checkpoint is an independent job over a results folder that may be shared, so that who executes a job can change
without changing what it does.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from kick.catalog import read_catalog
from kick.errors import InputError
from kick.progress import Reporter
from kick.store import Journal, Store, cell_key, noise_id
from kick.suite import Suite
from kick.types import Cell, CellIdentity, Checkpoint, CheckpointRecord

if TYPE_CHECKING:
    from kick.harness.bench import Bench, TaskPlan

TIER = "plain-forward"
NOISE_DIVISOR = 4  # the noise floor's batches are smaller by this


@dataclass(frozen=True)
class RunSummary:
    """What a run did."""

    store: Store
    scored: int  # cells scored now
    reused: int  # cells that were there already


@dataclass(frozen=True)
class Room:
    """What the jobs of a run share."""

    suite: Suite
    bench: "Bench"
    store: Store
    cache: Path  # where made checkpoints are kept
    device: str
    reporter: Reporter


@dataclass(frozen=True)
class Order:
    """What is asked of one checkpoint."""

    checkpoint: Checkpoint
    tasks: tuple[str, ...]
    batch_tokens: int


@dataclass(frozen=True)
class Job:
    """One checkpoint and its cells, planned."""

    checkpoint: Checkpoint
    batch_tokens: int
    source: Path  # the folder of its weights, or of those that it is made from
    fingerprint: str
    tokenizer_fingerprint: str
    plans: Mapping[str, "TaskPlan"]
    identities: Mapping[str, CellIdentity]

    @property
    def keys(self) -> dict[str, str]:
        return {task: cell_key(identity) for task, identity in self.identities.items()}


def run(
    suite: Suite,
    results: Path | str,
    *,
    only: str | None = None,
    tasks: Sequence[str] = (),
    data_root: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
    batch_tokens: int = 8192,
    reporter: Reporter | None = None,
) -> RunSummary:
    """Score what a suite asks for and the results folder does not hold yet.

    Args:
        suite: what to score.
        results: the results folder; made if it is not there.
        only: the id of the one checkpoint to score (default: all of them).
        tasks: the tasks of the suite to score (default: all of them).
        data_root: a local mirror of the data sets (default: the hub).
        cache: where made checkpoints are kept (default: $KICK_CACHE, or ~/.cache/kick).
        device: `cpu`, `cuda`, or `auto`.
        batch_tokens: padded tokens of a batch.
        reporter: where progress goes (default: stderr).

    Raises:
        InputError: a checkpoint, a task or data cannot be used as asked; what was finished before stays.
    """
    reporter = reporter or Reporter()
    checkpoints = suite.select_checkpoints(only)
    names = suite.select_tasks(tasks)
    orders = [
        order for checkpoint in checkpoints for order in _orders(checkpoint, suite, names, batch_tokens)
    ]
    total = sum(len(order.tasks) for order in orders)
    reporter.say(f"{suite.name}: {len(checkpoints)} checkpoints x {len(names)} tasks into {results}")
    from kick.checkpoints import resolve
    from kick.harness.bench import Bench

    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    bench = Bench.load(suite, names, catalog, data_root, resolve(suite.checkpoint(suite.reference)))
    store = Store.create(results, suite.dump())
    room = Room(suite, bench, store, cache or _default_cache(), _device(device), reporter)
    scored = done = 0
    for order in orders:
        with store.lock(order.checkpoint.id):
            job = plan_job(order, room)
            missing = [task for task, key in job.keys.items() if not store.has(job.checkpoint.id, task, key)]
            _record(store, job)
            done += len(order.tasks) - len(missing)
            execute(job, missing, room, before=done, total=total)
            done += len(missing)
        scored += len(missing)
    return RunSummary(store, scored, total - scored)


def _orders(checkpoint: Checkpoint, suite: Suite, names: Sequence[str], batch_tokens: int) -> list[Order]:
    """A checkpoint's order; for the reference also its noise floor: the same again in batches of another size."""
    orders = [Order(checkpoint, tuple(names), batch_tokens)]
    again = tuple(name for name in names if name in suite.tasks)  # windows of perplexity go one by one
    if suite.noise_floor and checkpoint.id == suite.reference and again:
        noise = checkpoint.model_copy(update={"id": noise_id(checkpoint.id)})
        orders.append(Order(noise, again, max(1, batch_tokens // NOISE_DIVISOR)))
    return orders


def plan_job(order: Order, room: Room) -> Job:
    """Plans and keys of a checkpoint's cells, from its files alone: no model is loaded and none is made."""
    from kick.checkpoints import fingerprint, read_config, read_tokenizer, resolve, tokenizer_fingerprint
    from kick.compression import recipe_key

    checkpoint = order.checkpoint
    source = resolve(checkpoint)
    weights = fingerprint(source)
    if checkpoint.recipe is not None:
        weights = recipe_key(checkpoint.recipe, weights)
    words = tokenizer_fingerprint(source)
    config = read_config(source, trust_remote_code=checkpoint.trust_remote_code)
    plans = room.bench.plans(
        words, config, lambda: read_tokenizer(source, checkpoint.trust_remote_code), room.suite
    )
    dtype = checkpoint.dtype if checkpoint.dtype != "auto" else str(config.dtype).removeprefix("torch.")
    identities = {
        name: CellIdentity(
            checkpoint=weights,
            tokenizer=words,
            task=name,
            plan=plan.info,
            dtype=dtype,
            device=room.device,
            tier=f"{TIER}/{order.batch_tokens}",
            versions={name: version(name) for name in ("llm-kick", "lm_eval", "transformers", "torch")},
        )
        for name, plan in plans.items()
        if name in order.tasks
    }
    return Job(checkpoint, order.batch_tokens, source, weights, words, plans, identities)


def execute(job: Job, missing: Sequence[str], room: Room, *, before: int, total: int) -> None:
    """Make, load, describe and score a checkpoint, as far as cells are missing."""
    if not missing:
        return
    from kick.checkpoints import describe, load

    checkpoint = job.checkpoint
    folder = _materialise(job, room)
    record = room.store.checkpoint(checkpoint.id)
    assert record is not None
    room.store.write_checkpoint(
        record.model_copy(update={"description": describe(folder, checkpoint.recipe)})
    )
    identity = job.identities[missing[0]]
    loaded = load(
        folder, dtype=identity.dtype, device=identity.device, trust_remote_code=checkpoint.trust_remote_code
    )
    scorer = room.bench.scorer(loaded, job.batch_tokens)
    for offset, task in enumerate(missing, start=1):
        key = job.keys[task]
        plan = job.plans[task]
        started = time.monotonic()
        with room.reporter.stage(
            f"[{before + offset}/{total}] {checkpoint.id} · {task}", plan.steps
        ) as progress:
            items = scorer.score(plan, Journal(room.store.journal_path(key)), progress)
        cell = Cell(
            checkpoint=checkpoint.id,
            task=plan.task,
            key=key,
            identity=job.identities[task],
            scores=scorer.scores(plan, items),
            items=len(items),
            skipped=plan.skipped,
            seconds=round(time.monotonic() - started, 3),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            items_sha256="",
        )
        room.store.write_cell(cell, items)


def _record(store: Store, job: Job) -> None:
    """Name the current cells of a checkpoint; what an earlier run measured of the same weights stays."""
    old = store.checkpoint(job.checkpoint.id)
    same = old is not None and old.fingerprint == job.fingerprint
    store.write_checkpoint(
        CheckpointRecord(
            checkpoint=job.checkpoint,
            fingerprint=job.fingerprint,
            tokenizer_fingerprint=job.tokenizer_fingerprint,
            description=old.description if old and same else None,
            cells={**(old.cells if old and same else {}), **job.keys},
        )
    )


def _materialise(job: Job, room: Room) -> Path:
    """The folder to load: the source itself, or the compressed copy of it, made once, kept, and checked each time."""
    if job.checkpoint.recipe is None:
        return job.source
    from kick.compression import make, read_made

    out = room.cache / "checkpoints" / job.fingerprint[:24]
    if out.is_dir():
        read_made(out)
    else:
        room.reporter.say(f"making {job.checkpoint.id} from {job.checkpoint.base} into {out}")
        make(job.checkpoint.recipe, job.source, out)
    return out


def _default_cache() -> Path:
    return Path(os.environ.get("KICK_CACHE", Path.home() / ".cache" / "kick"))


def _device(asked: str) -> str:
    import torch

    available = torch.cuda.is_available()
    if asked == "auto":
        return "cuda" if available else "cpu"
    if asked == "cuda" and not available:
        raise InputError(
            "--device cuda: torch sees no CUDA device. Use --device cpu, or install a CUDA build of torch."
        )
    return asked
