"""A suite becomes cells: plan them, execute those that are missing, store each one whole.

Every checkpoint is an independent job over a results folder that may be shared, so another executor can take the jobs
without a change to what they do.
"""

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from kick.checkpoints import (
    fingerprint,
    read_chat_template,
)
from kick.compression import read_samples
from kick.engines.torch.memory import Memory
from kick.errors import InputError
from kick.execution.checkpoint_cache import clear_up, report_cache, shrink_cache
from kick.execution.jobs import Job, Order, RunContext, plan_engine
from kick.execution.planning import find_tier, plan_jobs, tokenizer_folder
from kick.execution.scoring import execute, write_record
from kick.harness.suite_tasks import SuiteTasks
from kick.progress import Reporter
from kick.store import Store, noise_id
from kick.suite import Suite
from kick.suite.catalog import read_catalog
from kick.types import (
    BatchSize,
    Checkpoint,
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
    # Cells that an engine cannot measure.
    unmeasured: int = 0


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
    for checkpoint in checkpoints:
        plan_engine(checkpoint, batch, device_name(device))
    reporter.say("loading data")
    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    tokenizer = tokenizer_folder(suite.checkpoint(suite.reference))
    suite_tasks = SuiteTasks.load(suite, names, catalog, data_root, tokenizer)
    if suite.chat == "off" and suite_tasks.tasks and read_chat_template(tokenizer) is not None:
        reporter.say(
            "the reference has a chat template; its prompts are raw. `chat: auto` asks by the template"
        )
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
    jobs = plan_jobs(orders, find_tier(context), context)
    for job in jobs:
        with contextlib.suppress(_LockedError), _held(job, store):
            write_record(context, job)
    return _execute_all(jobs, context)


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


def _execute_all(jobs: Sequence[Job], context: RunContext) -> RunSummary:
    """Execute job after job; one that fails, or that another run holds, does not keep the others from being scored."""
    clear_up(context.checkpoints)
    total = sum(len(job.keys) for job in jobs)
    scored = unmeasured = done = 0
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
                measured = execute(
                    job, missing, context, before=done + len(job.keys) - len(missing), total=total
                )
                scored += measured
                unmeasured += len(missing) - measured
        except (InputError, _LockedError) as error:
            context.reporter.say(f"{job.checkpoint.id} failed: {error}")
            failures.append(f"{job.checkpoint.id}: {error}")
        done += len(job.keys)
        shrink_cache(jobs[position:], context)
    report_cache(context)
    if failures:
        raise InputError("not scored: " + "; ".join(failures))
    return RunSummary(context.store, scored, total - scored - unmeasured, unmeasured)


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
