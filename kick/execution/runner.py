"""A suite becomes cells: plan them, execute those that are missing, store each one whole.

Every checkpoint is an independent job over a results folder that may be shared, so another executor can take the jobs
without a change to what they do.
"""

import contextlib
import functools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from kick.checkpoints import (
    Loaded,
    as_loaded,
    describe,
    fingerprint,
    load,
    read_tokenizer,
    resolve,
    resolve_tokenizer,
    tokenizer_fingerprint,
)
from kick.checkpoints.cost import measure_cost
from kick.compression import check_agreement, read_samples
from kick.engines.torch import TorchEngine
from kick.engines.torch.memory import Memory
from kick.engines.torch.tiers import choose_tier
from kick.errors import InputError
from kick.execution.checkpoint_cache import checkpoint_folder, report_cache, shrink_cache
from kick.execution.jobs import KEPT, Job, Order, RunContext, Source
from kick.harness.suite_tasks import SuiteTasks
from kick.harness.work import Journals, KeptStates, Scored, score_cell
from kick.metrics.signs import response_signs
from kick.progress import Reporter
from kick.store import Journal, Store, noise_id, tier_key
from kick.suite import Suite
from kick.suite.catalog import read_catalog
from kick.suite.model_refs import parse_folder, parse_model
from kick.types import (
    Axis,
    BatchSize,
    Cell,
    CellIdentity,
    Checkpoint,
    CheckpointRecord,
    Description,
    Tier,
    TierChoice,
)

# Completions that are decoded together.
GENERATED_ROWS = 16
# The noise floor's batches are smaller by this.
NOISE_DIVISOR = 4


@dataclass(frozen=True)
class RunSummary:
    """The results folder of a run, and the numbers of cells that were scored and that were there."""

    store: Store
    # Cells that were scored now.
    scored: int
    # Cells that were there already.
    reused: int


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
    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    suite_tasks = SuiteTasks.load(suite, names, catalog, data_root, reference_tokenizer(suite))
    store = Store.create(results, suite.dump())
    context = RunContext(
        suite=suite,
        tasks=suite_tasks,
        store=store,
        cache=cache or default_cache(),
        device=device_name(device),
        reporter=reporter,
        fingerprint=functools.cache(fingerprint),
        read_samples=functools.cache(functools.partial(read_samples, data_root=data_root)),
        keep=keep,
        memory=Memory(),
    )
    jobs = _plan_jobs(orders, find_tier(context), context)
    for job in jobs:
        with contextlib.suppress(_LockedError), _held(job, store):
            write_record(context, job)
    return _execute_all(jobs, context)


def reference_tokenizer(suite: Suite) -> Path:
    """Return the folder of the reference's tokenizer.

    Raises:
        InputError: the reference or its tokenizer is not there.
    """
    reference = suite.checkpoint(suite.reference)
    try:
        model = parse_model(reference.model, "model", revision=reference.revision)
        tokenizer = parse_folder(reference.tokenizer, "tokenizer") if reference.tokenizer else None
        return resolve_tokenizer(tokenizer, resolve(model, trust_remote_code=reference.trust_remote_code))
    except InputError as error:
        raise InputError(f"checkpoint '{reference.id}': {error}") from None


def _orders(checkpoint: Checkpoint, suite: Suite, names: Sequence[str], batch: BatchSize) -> list[Order]:
    """Return a checkpoint's order, and for the reference also its noise floor: the same in batches of another size."""
    orders = [Order(checkpoint, tuple(names), batch)]
    # Windows of perplexity go one by one.
    again = tuple(name for name in names if name in suite.tasks)
    if suite.noise_floor and checkpoint.id == suite.reference and again:
        noise = checkpoint.model_copy(update={"id": noise_id(checkpoint.id)})
        smaller = BatchSize(tokens=max(1, batch.tokens // NOISE_DIVISOR), rows=batch.rows // NOISE_DIVISOR)
        orders.append(Order(noise, again, smaller, unlike=batch))
    return orders


def find_tier(context: RunContext) -> Tier:
    """Return how all checkpoints are scored: as the suite says, or as a self-test of its reference finds, once."""
    if context.suite.tier != "auto":
        return context.suite.tier
    source = context.source(context.suite.checkpoint(context.suite.reference))
    key = tier_key(source.fingerprint, source.dtype, context.device, _versions())
    choice = _stored_tier(key, context)
    if choice is None:
        with checkpoint_folder(source, context) as folder:
            choice = choose_tier(_load(source, folder, context))
        context.store.write_tier(key, choice)
    for tier, reason in choice.refused.items():
        context.reporter.say(f"not scored by the tier '{tier}': {reason}")
    return choice.tier


def _stored_tier(key: str, context: RunContext) -> TierChoice | None:
    try:
        return context.store.tier(key)
    except InputError as error:
        context.reporter.say(f"{error} The self-test is taken again.")
        return None


def _plan_jobs(orders: Sequence[Order], tier: Tier, context: RunContext) -> list[Job]:
    """Plan everything before anything is scored, so whatever cannot work is known at once."""
    jobs = []
    with context.reporter.stage("reading checkpoints and planning", len(orders)) as progress:
        reference = (
            plan_job(_reference_order(orders, context), tier, context) if context.suite.divergence else None
        )
        for order in orders:
            jobs.append(plan_job(order, tier, context, reference))
            progress(1)
    _check_series(jobs)
    return sorted(jobs, key=lambda job: job.checkpoint.id != context.suite.reference)


def _check_series(jobs: Sequence[Job]) -> None:
    """Refuse a point of a series whose rate is unknown, or of another kind than that of the other points."""
    axes: dict[str, Axis] = {}
    for job in jobs:
        checkpoint, step = job.checkpoint, job.source.step
        if checkpoint.series is None:
            continue
        if step is None:
            raise InputError(
                f"checkpoint '{checkpoint.id}' is in the series '{checkpoint.series}', and none of its files tells its "
                "rate. Add it to the checkpoint, as in `declared: {method: wanda, sparsity: 0.5}`, or remove `series`."
            )
        axis = axes.setdefault(checkpoint.series, step.axis)
        if axis != step.axis:
            raise InputError(
                f"checkpoint '{checkpoint.id}' is in the series '{checkpoint.series}', whose other points are at rates "
                f"of {axis}, but it is made by {step.method}, at a rate of {step.axis}. Give it another `series`."
            )


def _reference_order(orders: Sequence[Order], context: RunContext) -> Order:
    """Return the reference's order for all tasks: divergence is measured from it."""
    reference = context.suite.checkpoint(context.suite.reference)
    tasks = {task for order in orders for task in order.tasks}
    return Order(reference, tuple(tasks), next(order.batch for order in orders if order.unlike is None))


def plan_job(order: Order, tier: Tier, context: RunContext, reference: Job | None = None) -> Job:
    """Return the plans and keys of a checkpoint's cells, from its files alone.

    Args:
        order: the checkpoint and its tasks.
        tier: how all checkpoints of the suite are scored.
        context: what the jobs of a run share.
        reference: the job of the checkpoint that divergence is measured from; None: divergence is not measured.
    """
    source = context.source(order.checkpoint)
    words = tokenizer_fingerprint(source.tokenizer)
    work = context.tasks.work(
        words,
        source.config,
        lambda: read_tokenizer(source.tokenizer, order.checkpoint.trust_remote_code),
    )
    wanted = {
        name: cell
        for name, cell in work.items()
        if name in order.tasks and not (order.unlike and cell.batched_alike(order.batch, order.unlike, tier))
    }
    identities = {
        name: CellIdentity(
            checkpoint=source.fingerprint,
            tokenizer=words,
            task=name,
            plan=cell.info,
            dtype=source.dtype,
            device=context.device,
            tier=f"{tier}/{order.batch.tokens}x{order.batch.rows}",
            versions=_versions(),
        )
        for name, cell in wanted.items()
    }
    job = Job(source, order.batch, tier, words, wanted, identities, {})
    return _with_divergence(job, reference, context) if context.suite.divergence else job


def _with_divergence(job: Job, reference: Job | None, context: RunContext) -> Job:
    """Return the same job with the origin of its divergence, or the reason why it is not measured."""
    reasons: dict[str, str] = {}
    identities = {}
    for task, identity in job.identities.items():
        origin = KEPT
        if (reason := job.work[task].undiverged) is not None:
            reasons[task] = reason
        elif job.checkpoint.id != context.suite.reference:
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


def _execute_all(jobs: Sequence[Job], context: RunContext) -> RunSummary:
    """Execute job after job; one that fails, or that another run holds, does not keep the others from being scored."""
    total = sum(len(job.keys) for job in jobs)
    scored = done = 0
    failures: list[str] = []
    needed = {
        task
        for job in jobs
        if job.checkpoint.id != context.suite.reference
        for task in job.missing(context.store)
    }
    for position, job in enumerate(jobs, start=1):
        try:
            with _held(job, context.store):
                write_record(context, job)
                missing = job.missing(context.store)
                scored_before = [task for task in job.keys if task in needed and task not in missing]
                missing += job.without_states(context.store, scored_before)
                execute(job, missing, context, before=done + len(job.keys) - len(missing), total=total)
                scored += len(missing)
        except (InputError, _LockedError) as error:
            context.reporter.say(f"{job.checkpoint.id} failed: {error}")
            failures.append(f"{job.checkpoint.id}: {error}")
        done += len(job.keys)
        shrink_cache(jobs[position:], context)
    report_cache(context)
    if failures:
        raise InputError("not scored: " + "; ".join(failures))
    return RunSummary(context.store, scored, total - scored)


class _LockedError(Exception):
    """Another run holds a checkpoint of the results folder."""


@contextlib.contextmanager
def _held(job: Job, store: Store) -> Iterator[None]:
    """Hold a job's checkpoint against other runs.

    Raises:
        _LockedError: another run holds it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.lock(job.checkpoint.id))
        except InputError as error:
            raise _LockedError(str(error)) from None
        yield


def execute(job: Job, missing: Sequence[str], context: RunContext, *, before: int, total: int) -> None:
    """Make, load, describe and score a checkpoint, as far as cells are missing."""
    record = context.store.checkpoint(job.checkpoint.id)
    assert record is not None
    if not missing and record.description is not None:
        return
    checkpoint = job.checkpoint
    loaded = load_and_describe(job, record, context)
    engine = TorchEngine.tested(loaded, job.batch, job.tier, context.memory)
    for offset, task in enumerate(missing, start=1):
        key, work = job.keys[task], job.work[task]
        started = time.monotonic()
        with context.reporter.stage(
            f"[{before + offset}/{total}] {checkpoint.id} · {task}", work.steps
        ) as progress:
            journals = Journals(
                Journal(context.store.journal_path(checkpoint.id, key), key),
                Journal(context.store.journal_path(checkpoint.id, key, "tokens"), key),
            )
            scored = score_cell(engine, work, journals, progress, _states(job, task, context))
        context.store.write_cell(make_cell(job, task, scored, time.monotonic() - started), scored.items)


def make_cell(job: Job, task: str, scored: Scored, seconds: float) -> Cell:
    """Return the cell of a checkpoint's items of one task, which took `seconds` to score."""
    work = job.work[task]
    return Cell(
        checkpoint=job.checkpoint.id,
        task=work.task,
        key=job.keys[task],
        identity=job.identities[task],
        scores=work.scores(scored.items),
        items=len(scored.items),
        skipped=work.skipped,
        available=work.available,
        notes=work.notes,
        seconds=round(seconds, 3),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        items_sha256="",
        floors=work.floors,
        signs=response_signs(list(scored.items["response"])) if work.task.kind == "generation" else None,
        divergence=scored.divergence,
        not_diverged=job.not_diverged.get(task),
    )


def load_and_describe(job: Job, record: CheckpointRecord, context: RunContext) -> Loaded:
    """Load a checkpoint, which is made if need be, and add to its record what it is and what loading took."""
    source, reference = job.source, context.suite.reference
    again = job.checkpoint.id == noise_id(reference)
    known = context.store.checkpoint(reference) if again else record
    with checkpoint_folder(source, context) as folder:
        loaded, cost = measure_cost(
            lambda: _load(source, folder, context), folder, context.device, known.cost if known else None
        )
        description = _description(source, folder if source.keys else source.origin)
    if source.options.quantizer is not None:
        description = as_loaded(description, loaded.memory, loaded.linears, source.options.quantizer)
    measured = {
        "description": description,
        "loading": loaded.loading,
        "simulated": loaded.simulated,
        "cost": cost,
    }
    context.store.write_checkpoint(record.model_copy(update=measured))
    return loaded


def _description(source: Source, weights: Path) -> Description:
    """Measure the weights of a checkpoint, and hold those that kick made now against their recipe."""
    steps = source.made.steps if source.made else (source.step,)
    pattern = next((step for step in reversed(steps) if step and step.pattern), None)
    description = describe(weights, pattern)
    if source.keys and source.made is not None:
        check_agreement(weights, source.made, description)
    return description


def _states(job: Job, task: str, context: RunContext) -> KeptStates | None:
    """Return the reference's states that divergence is measured by, if it is measured."""
    origin = job.identities[task].divergence
    if origin is None:
        return None
    own = origin == KEPT
    path = context.store.states_path(job.keys[task] if own else origin)
    return KeptStates(path, context.suite.reference, own)


def write_record(context: RunContext, job: Job) -> None:
    """Name the current cells of a checkpoint; what an earlier run measured of the same weights stays."""
    old = _earlier_record(context, job.checkpoint.id)
    if old is not None and old.fingerprint != job.source.fingerprint:
        old = None
    context.store.write_checkpoint(
        CheckpointRecord(
            checkpoint=job.checkpoint,
            fingerprint=job.source.fingerprint,
            tokenizer_fingerprint=job.tokenizer_fingerprint,
            source_fingerprint=job.source.origin_fingerprint if job.checkpoint.recipe else None,
            made=job.source.made,
            stated=job.source.stated,
            loading=old.loading if old else (),
            simulated=old.simulated if old else (),
            description=old.description if old else None,
            cost=old.cost if old else None,
            cells={**(old.cells if old else {}), **job.keys},
        )
    )


def _earlier_record(context: RunContext, checkpoint: str) -> CheckpointRecord | None:
    """Return the record of an earlier run; a damaged one is moved aside, since its cells can be named again."""
    try:
        return context.store.checkpoint(checkpoint)
    except InputError as error:
        path = context.store.root / "checkpoints" / f"{checkpoint}.json"
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        context.reporter.say(
            f"{error} It is moved to {aside.name} and written anew; cells of tasks that are not scored now are named "
            "in it again when they are."
        )
        return None


def _load(source: Source, folder: Path, context: RunContext) -> Loaded:
    context.reporter.say(f"loading {source.checkpoint.id}")
    return load(
        folder,
        source.options,
        dtype=source.dtype,
        device=context.device,
        trust_remote_code=source.checkpoint.trust_remote_code,
        tokenizer_folder=source.tokenizer,
    )


def default_cache() -> Path:
    """Return the folder of made checkpoints: $KICK_CACHE, or ~/.cache/kick."""
    return Path(os.environ.get("KICK_CACHE") or Path("~/.cache/kick").expanduser())


def device_name(name: str) -> str:
    """Return the device that `cpu`, `cuda` or `auto` names.

    Raises:
        InputError: there is no CUDA device.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name == "cuda" and not available:
        raise InputError(
            "--device cuda: torch sees no CUDA device. Use --device cpu, or install a CUDA build of torch."
        )
    return name
