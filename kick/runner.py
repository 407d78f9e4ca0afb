"""A suite becomes cells: plan them, execute those that are missing, store each one whole.

Every checkpoint is an independent job over a results folder that may be shared, so that who executes a job can change
without changing what it does.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from kick.catalog import read_catalog
from kick.errors import InputError
from kick.progress import Reporter
from kick.store import Journal, Store, cell_key, noise_id
from kick.suite import Suite
from kick.types import BatchSize, Cell, CellIdentity, Checkpoint, CheckpointRecord

if TYPE_CHECKING:
    from kick.harness.bench import Bench, TaskPlan

TIER = "plain-forward"
GENERATED_ROWS = 16  # completions that are decoded together
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
    batch: BatchSize
    unlike: BatchSize | None = None  # of a noise floor: the batches that its own must differ from


@dataclass(frozen=True)
class Job:
    """One checkpoint and its cells, planned."""

    checkpoint: Checkpoint
    batch: BatchSize
    source: Path  # the folder of its weights, or of those that it is made from
    fingerprint: str
    source_fingerprint: str
    tokenizer_fingerprint: str
    plans: Mapping[str, "TaskPlan"]
    identities: Mapping[str, CellIdentity]

    @property
    def keys(self) -> dict[str, str]:
        return {task: cell_key(identity) for task, identity in self.identities.items()}

    def missing(self, store: Store) -> list[str]:
        return [task for task, key in self.keys.items() if not store.has(self.checkpoint.id, task, key)]


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
        InputError: data or a checkpoint's files cannot be used as asked, before anything is scored; or checkpoints
            could not be made or loaded, after the others were scored.
    """
    reporter = reporter or Reporter()
    checkpoints = suite.select_checkpoints(only)
    names = suite.select_tasks(tasks)
    batch = BatchSize(tokens=batch_tokens, rows=GENERATED_ROWS)
    orders = [order for checkpoint in checkpoints for order in _orders(checkpoint, suite, names, batch)]
    reporter.say(f"{suite.name}: {len(checkpoints)} checkpoints x {len(names)} tasks into {results}")
    reporter.say("loading data")
    from kick.checkpoints import resolve
    from kick.harness.bench import Bench

    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    bench = Bench.load(suite, names, catalog, data_root, resolve(suite.checkpoint(suite.reference)))
    store = Store.create(results, suite.dump())
    room = Room(suite, bench, store, cache or _default_cache(), _device(device), reporter)
    jobs = _plan_jobs(orders, room)
    for job in jobs:
        with store.lock(job.checkpoint.id):
            _record(store, job)
    return _execute_all(jobs, room)


def _orders(checkpoint: Checkpoint, suite: Suite, names: Sequence[str], batch: BatchSize) -> list[Order]:
    """A checkpoint's order; for the reference also its noise floor: the same again in batches of another size."""
    orders = [Order(checkpoint, tuple(names), batch)]
    again = tuple(name for name in names if name in suite.tasks)  # windows of perplexity go one by one
    if suite.noise_floor and checkpoint.id == suite.reference and again:
        noise = checkpoint.model_copy(update={"id": noise_id(checkpoint.id)})
        smaller = BatchSize(tokens=max(1, batch.tokens // NOISE_DIVISOR), rows=batch.rows // NOISE_DIVISOR)
        orders.append(Order(noise, again, smaller, unlike=batch))
    return orders


def _plan_jobs(orders: Sequence[Order], room: Room) -> list[Job]:
    """Plan everything before anything is scored, so that what cannot work is known at once."""
    from kick.checkpoints import fingerprint

    hashed = cache(fingerprint)
    jobs = []
    with room.reporter.stage("reading checkpoints and planning", len(orders)) as progress:
        for order in orders:
            jobs.append(plan_job(order, room, hashed))
            progress(1)
    return jobs


def plan_job(order: Order, room: Room, hashed: Callable[[Path], str]) -> Job:
    """Plans and keys of a checkpoint's cells, from its files alone: no model is loaded and none is made.

    Args:
        order: the checkpoint and what is asked of it.
        room: what the jobs of a run share.
        hashed: the fingerprint of a folder.
    """
    from kick.checkpoints import read_config, read_tokenizer, resolve, tokenizer_fingerprint
    from kick.compression import recipe_key

    checkpoint = order.checkpoint
    source = resolve(checkpoint)
    weights = hashed(source)
    made = recipe_key(checkpoint.recipe, weights) if checkpoint.recipe else weights
    words = tokenizer_fingerprint(source)
    config = read_config(source, trust_remote_code=checkpoint.trust_remote_code)
    plans = room.bench.plans(
        words, config, lambda: read_tokenizer(source, checkpoint.trust_remote_code), room.suite
    )
    asked = {
        name: plan
        for name, plan in plans.items()
        if name in order.tasks and not (order.unlike and plan.batched_alike(order.batch, order.unlike))
    }
    dtype = checkpoint.dtype if checkpoint.dtype != "auto" else str(config.dtype).removeprefix("torch.")
    identities = {
        name: CellIdentity(
            checkpoint=made,
            tokenizer=words,
            task=name,
            plan=plan.info,
            dtype=dtype,
            device=room.device,
            tier=f"{TIER}/{order.batch.tokens}x{order.batch.rows}",
            versions={name: version(name) for name in ("llm-kick", "lm_eval", "transformers", "torch")},
        )
        for name, plan in asked.items()
    }
    return Job(checkpoint, order.batch, source, made, weights, words, asked, identities)


def _execute_all(jobs: Sequence[Job], room: Room) -> RunSummary:
    """Execute job after job; one that fails does not keep the others from being scored."""
    total = sum(len(job.keys) for job in jobs)
    scored = done = 0
    failed: list[str] = []
    for job in jobs:
        with room.store.lock(job.checkpoint.id):
            missing = job.missing(room.store)
            try:
                execute(job, missing, room, before=done + len(job.keys) - len(missing), total=total)
                scored += len(missing)
            except InputError as error:
                room.reporter.say(f"{job.checkpoint.id} failed: {error}")
                failed.append(f"{job.checkpoint.id}: {error}")
        done += len(job.keys)
    if failed:
        raise InputError("not scored: " + "; ".join(failed))
    return RunSummary(room.store, scored, total - scored)


def execute(job: Job, missing: Sequence[str], room: Room, *, before: int, total: int) -> None:
    """Make, load, describe and score a checkpoint, as far as cells are missing."""
    if not missing:
        return
    from kick.checkpoints import describe, load

    checkpoint = job.checkpoint
    folder = _materialise(job, room)
    identity = job.identities[missing[0]]
    room.reporter.say(f"loading {checkpoint.id}")
    loaded = load(
        folder, dtype=identity.dtype, device=identity.device, trust_remote_code=checkpoint.trust_remote_code
    )
    record = room.store.checkpoint(checkpoint.id)
    assert record is not None
    measured = {"description": describe(folder, checkpoint.recipe), "simulated": loaded.simulated}
    room.store.write_checkpoint(record.model_copy(update=measured))
    scorer = room.bench.scorer(loaded, job.batch)
    for offset, task in enumerate(missing, start=1):
        key, plan = job.keys[task], job.plans[task]
        started = time.monotonic()
        with room.reporter.stage(
            f"[{before + offset}/{total}] {checkpoint.id} · {task}", plan.steps
        ) as progress:
            items = scorer.score(plan, Journal(room.store.journal_path(checkpoint.id, key)), progress)
        cell = Cell(
            checkpoint=checkpoint.id,
            task=plan.task,
            key=key,
            identity=job.identities[task],
            scores=scorer.scores(plan, items),
            items=len(items),
            skipped=plan.skipped,
            notes=plan.notes,
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
            source_fingerprint=job.source_fingerprint if job.checkpoint.recipe else None,
            simulated=old.simulated if old and same else (),
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
    return Path(os.environ.get("KICK_CACHE") or Path("~/.cache/kick").expanduser())


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
