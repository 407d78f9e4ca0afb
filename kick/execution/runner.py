"""A suite becomes cells: plan them, execute those that are missing, store each one whole.

Every checkpoint is an independent job over a results folder that may be shared, so that who executes a job can change
without changing what it does.
"""

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from kick.errors import InputError
from kick.execution.checkpoint_cache import materialise, say_kept, shrink_cache
from kick.execution.jobs import KEPT, Job, Order, Room, Source
from kick.progress import Reporter
from kick.store import Journal, Store, noise_id, tier_key
from kick.suite import Suite
from kick.suite.catalog import read_catalog
from kick.types import BatchSize, Cell, CellIdentity, Checkpoint, CheckpointRecord, Tier

if TYPE_CHECKING:
    from kick.checkpoints import Loaded
    from kick.harness.work import KeptStates

GENERATED_ROWS = 16  # completions that are decoded together
NOISE_DIVISOR = 4  # the noise floor's batches are smaller by this


@dataclass(frozen=True)
class RunSummary:
    """What a run did."""

    store: Store
    scored: int  # cells scored now
    reused: int  # cells that were there already


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
    keep: int | None = None,
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
        keep: bytes of made checkpoints to keep at most, those used last (default: all of them).
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
    from kick.checkpoints import fingerprint, resolve, resolve_tokenizer
    from kick.compression import read_samples
    from kick.engines.torch.memory import Memory
    from kick.harness.suite_tasks import SuiteTasks

    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    reference = suite.checkpoint(suite.reference)
    words = resolve_tokenizer(reference, resolve(reference))
    suite_tasks = SuiteTasks.load(suite, names, catalog, data_root, words)
    store = Store.create(results, suite.dump())
    room = Room(
        suite,
        suite_tasks,
        store,
        cache or _default_cache(),
        _device(device),
        reporter,
        functools.cache(fingerprint),
        functools.cache(functools.partial(read_samples, data_root=data_root)),
        keep,
        Memory(),
    )
    jobs = _plan_jobs(orders, _tier(room), room)
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


def _tier(room: Room) -> Tier:
    """How all checkpoints are scored: as the suite says, or by what a self-test of its reference finds, once."""
    if room.suite.tier != "auto":
        return room.suite.tier
    source = room.source(room.suite.checkpoint(room.suite.reference))
    key = tier_key(source.fingerprint, source.dtype, room.device, _versions())
    choice = room.store.tier(key)
    if choice is None:
        from kick.engines.torch.tiers import choose_tier

        choice = choose_tier(_load(source, materialise(source, room), room))
        room.store.write_tier(key, choice)
    for tier, reason in choice.refused.items():
        room.reporter.say(f"not scored by the tier '{tier}': {reason}")
    return choice.tier


def _plan_jobs(orders: Sequence[Order], tier: Tier, room: Room) -> list[Job]:
    """Plan everything before anything is scored, so that what cannot work is known at once."""
    jobs = []
    with room.reporter.stage("reading checkpoints and planning", len(orders)) as progress:
        reference = plan_job(_reference_order(orders, room), tier, room) if room.suite.divergence else None
        for order in orders:
            jobs.append(plan_job(order, tier, room, reference))
            progress(1)
    return sorted(jobs, key=lambda job: job.checkpoint.id != room.suite.reference)


def _reference_order(orders: Sequence[Order], room: Room) -> Order:
    """What the reference is asked for, so that divergence from it can be measured."""
    reference = room.suite.checkpoint(room.suite.reference)
    tasks = {task for order in orders for task in order.tasks}
    return Order(reference, tuple(tasks), next(order.batch for order in orders if order.unlike is None))


def plan_job(order: Order, tier: Tier, room: Room, reference: Job | None = None) -> Job:
    """Plans and keys of a checkpoint's cells, from its files alone.

    Args:
        order: the checkpoint and what is asked of it.
        tier: how all checkpoints of the suite are scored.
        room: what the jobs of a run share.
        reference: where divergence is measured: the job of the checkpoint that it is measured from.
    """
    from kick.checkpoints import read_tokenizer, tokenizer_fingerprint

    source = room.source(order.checkpoint)
    words = tokenizer_fingerprint(source.tokenizer)
    plans = room.tasks.work(
        words,
        source.config,
        lambda: read_tokenizer(source.tokenizer, order.checkpoint.trust_remote_code),
    )
    asked = {
        name: plan
        for name, plan in plans.items()
        if name in order.tasks and not (order.unlike and plan.batched_alike(order.batch, order.unlike, tier))
    }
    identities = {
        name: CellIdentity(
            checkpoint=source.fingerprint,
            tokenizer=words,
            task=name,
            plan=plan.info,
            dtype=source.dtype,
            device=room.device,
            tier=f"{tier}/{order.batch.tokens}x{order.batch.rows}",
            versions=_versions(),
        )
        for name, plan in asked.items()
    }
    job = Job(source, order.batch, tier, words, asked, identities, {})
    return _with_divergence(job, reference, room) if room.suite.divergence else job


def _with_divergence(job: Job, reference: Job | None, room: Room) -> Job:
    """The same job with what its divergence is measured from, or why it is not."""
    reasons: dict[str, str] = {}
    identities = {}
    for task, identity in job.identities.items():
        origin = KEPT
        if (reason := job.work[task].undiverged) is not None:
            reasons[task] = reason
        elif job.checkpoint.id != room.suite.reference:
            assert reference is not None
            theirs = reference.identities.get(task)
            origin = reference.keys.get(task, "")
            if theirs is None or reference.tokenizer_fingerprint != job.tokenizer_fingerprint:
                reasons[task] = "its tokenizer is not that of the reference: compare bits per byte"
            elif theirs.plan.hash != identity.plan.hash:
                reasons[task] = "its prompts are not those of the reference"
        measured = None if task in reasons else origin
        identities[task] = identity.model_copy(update={"divergence": measured})
    return replace(job, identities=identities, not_diverged=reasons)


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("llm-kick", "lm_eval", "transformers", "torch")}


def _execute_all(jobs: Sequence[Job], room: Room) -> RunSummary:
    """Execute job after job; one that fails does not keep the others from being scored."""
    total = sum(len(job.keys) for job in jobs)
    scored = done = 0
    failed: list[str] = []
    needed = {
        task for job in jobs if job.checkpoint.id != room.suite.reference for task in job.missing(room.store)
    }
    for position, job in enumerate(jobs, start=1):
        with room.store.lock(job.checkpoint.id):
            missing = job.missing(room.store)
            scored_before = [task for task in job.keys if task in needed and task not in missing]
            missing += job.without_states(room.store, scored_before)
            try:
                execute(job, missing, room, before=done + len(job.keys) - len(missing), total=total)
                scored += len(missing)
            except InputError as error:
                room.reporter.say(f"{job.checkpoint.id} failed: {error}")
                failed.append(f"{job.checkpoint.id}: {error}")
        done += len(job.keys)
        shrink_cache(jobs[position:], room)
    say_kept(room)
    if failed:
        raise InputError("not scored: " + "; ".join(failed))
    return RunSummary(room.store, scored, total - scored)


def execute(job: Job, missing: Sequence[str], room: Room, *, before: int, total: int) -> None:
    """Make, load, describe and score a checkpoint, as far as cells are missing."""
    if not missing:
        return
    from kick.checkpoints import as_loaded, describe
    from kick.checkpoints.cost import measure_cost
    from kick.engines.torch import TorchEngine
    from kick.harness.work import Journals, score_cell

    checkpoint = job.checkpoint
    folder = materialise(job.source, room)
    record = room.store.checkpoint(checkpoint.id)
    assert record is not None
    weights = folder if checkpoint.recipe else job.source.origin
    again = checkpoint.id == noise_id(room.suite.reference)
    known = room.store.checkpoint(room.suite.reference) if again else record
    loaded, cost = measure_cost(
        lambda: _load(job.source, folder, room), folder, room.device, known.cost if known else None
    )
    description = describe(weights, checkpoint.recipe)
    if checkpoint.quantizer is not None:
        description = as_loaded(description, loaded.memory, loaded.linears, checkpoint.quantizer)
    found = {
        "description": description,
        "loading": loaded.loading,
        "simulated": loaded.simulated,
        "cost": cost,
    }
    room.store.write_checkpoint(record.model_copy(update=found))
    engine = TorchEngine.tested(loaded, job.batch, job.tier, room.memory)
    for offset, task in enumerate(missing, start=1):
        key, work = job.keys[task], job.work[task]
        started = time.monotonic()
        with room.reporter.stage(
            f"[{before + offset}/{total}] {checkpoint.id} · {task}", work.steps
        ) as progress:
            journals = Journals(
                Journal(room.store.journal_path(checkpoint.id, key), key),
                Journal(room.store.journal_path(checkpoint.id, key, "tokens"), key),
            )
            scored = score_cell(engine, work, journals, progress, _states(job, task, room))
        cell = Cell(
            checkpoint=checkpoint.id,
            task=work.task,
            key=key,
            identity=job.identities[task],
            scores=work.scores(scored.items),
            items=len(scored.items),
            skipped=work.skipped,
            notes=work.notes,
            seconds=round(time.monotonic() - started, 3),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            items_sha256="",
            divergence=scored.divergence,
            not_diverged=job.not_diverged.get(task),
        )
        room.store.write_cell(cell, scored.items)


def _states(job: Job, task: str, room: Room) -> "KeptStates | None":
    """The reference's states that divergence is measured by, if it is."""
    from kick.harness.work import KeptStates

    origin = job.identities[task].divergence
    if origin is None:
        return None
    own = origin == KEPT
    return KeptStates(room.store.states_path(job.keys[task] if own else origin), room.suite.reference, own)


def _record(store: Store, job: Job) -> None:
    """Name the current cells of a checkpoint; what an earlier run measured of the same weights stays."""
    old = store.checkpoint(job.checkpoint.id)
    same = old is not None and old.fingerprint == job.source.fingerprint
    store.write_checkpoint(
        CheckpointRecord(
            checkpoint=job.checkpoint,
            fingerprint=job.source.fingerprint,
            tokenizer_fingerprint=job.tokenizer_fingerprint,
            source_fingerprint=job.source.folder_fingerprint if job.checkpoint.recipe else None,
            loading=old.loading if old and same else (),
            simulated=old.simulated if old and same else (),
            description=old.description if old and same else None,
            cost=old.cost if old and same else None,
            cells={**(old.cells if old and same else {}), **job.keys},
        )
    )


def _load(source: Source, folder: Path, room: Room) -> "Loaded":
    from kick.checkpoints import load

    room.reporter.say(f"loading {source.checkpoint.id}")
    return load(
        folder,
        dtype=source.dtype,
        device=room.device,
        trust_remote_code=source.checkpoint.trust_remote_code,
        tokenizer_folder=source.tokenizer,
        adapter=source.adapter,
        quantizer=source.checkpoint.quantizer,
        loader=source.checkpoint.loader,
        kv_bits=source.checkpoint.kv_bits,
    )


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
