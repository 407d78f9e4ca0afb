"""Execute one planned job: make, load and describe its checkpoint, score its missing cells, and store each whole."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kick.checkpoints import (
    Loaded,
    as_loaded,
    describe,
    load,
)
from kick.checkpoints.cost import measure_cost, measure_engine_cost
from kick.compression import check_agreement
from kick.engines.base import Capability, LoadedEngine, ModelFiles
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.execution.checkpoint_cache import checkpoint_folder
from kick.execution.jobs import KEPT, Job, RunContext, Source
from kick.harness.work import Journals, KeptStates, Scored, score_cell
from kick.metrics.signs import response_signs
from kick.store import Journal, noise_id
from kick.types import (
    Cell,
    CheckpointRecord,
    Cost,
    Description,
)


def execute(job: Job, missing: Sequence[str], context: RunContext, *, before: int, total: int) -> int:
    """Make, load, describe and score a checkpoint, as far as cells are missing.

    Returns:
        The number of cells that were scored: fewer than are missing if the engine cannot measure a task.
    """
    record = context.store.checkpoint(job.checkpoint.id)
    assert record is not None
    if not missing and (record.description is not None or job.source.server is not None):
        return 0
    checkpoint = job.checkpoint
    loaded = load_engine(job, record, context)
    engine = loaded.engine
    measurable = _measurable(job, missing, loaded, context)
    for offset, task in enumerate(measurable, start=1):
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
    return len(measurable)


def _measurable(job: Job, missing: Sequence[str], loaded: LoadedEngine, context: RunContext) -> list[str]:
    """Return the tasks that an engine can measure; the others are noted in the checkpoint's record, with the reason."""
    reasons = {}
    for task in missing:
        needed: Capability = "generate" if job.work[task].task.kind == "generation" else "score"
        if needed not in loaded.engine.capabilities:
            reasons[task] = loaded.refusals.get(
                needed, f"the engine {job.checkpoint.engine_name} cannot {needed}"
            )
    record = context.store.checkpoint(job.checkpoint.id)
    assert record is not None
    for task, reason in reasons.items():
        context.reporter.say(f"{job.checkpoint.id} · {task}: not measurable on this engine: {reason}")
    kept = {task: reason for task, reason in record.not_measured.items() if task not in missing}
    cells = {task: key for task, key in record.cells.items() if task not in reasons}
    context.store.write_checkpoint(record.model_copy(update={"not_measured": kept | reasons, "cells": cells}))
    return [task for task in missing if task not in reasons]


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


def load_engine(job: Job, record: CheckpointRecord, context: RunContext) -> LoadedEngine:
    """Load a checkpoint into its engine, and add to its record what it is and what loading took.

    Raises:
        InputError: it cannot be loaded, or not be scored as its reference is.
    """
    if job.engine is None:
        loaded = load_and_describe(job, record, context)
        engine = TorchEngine.tested(loaded, job.batch, job.tier, context.memory)
        return LoadedEngine(engine, loaded.memory)
    source, planned = job.source, job.engine
    known = _known_cost(job, record, context)
    with checkpoint_folder(source, context) as folder:
        context.reporter.say(f"loading {job.checkpoint.id} into {planned.name}")
        trusted = job.checkpoint.trust_remote_code
        files = ModelFiles(folder, source.tokenizer, source.dtype, trusted)
        loaded_engine, cost = measure_engine_cost(
            lambda: planned.kind.load(files, planned.order), folder, context.device, known
        )
        weights = folder if source.keys else source.origin
        measured = {
            "description": _description(source, weights) if source.server is None else None,
            "loading": loaded_engine.loading,
            "simulated": loaded_engine.simulated,
            "cost": cost,
        }
    context.store.write_checkpoint(record.model_copy(update=measured))
    return loaded_engine


def _known_cost(job: Job, record: CheckpointRecord, context: RunContext) -> Cost | None:
    """Return the cost that an earlier run measured, or for a noise floor that of the reference."""
    reference = context.suite.reference
    again = job.checkpoint.id == noise_id(reference)
    known = context.store.checkpoint(reference) if again else record
    return known.cost if known else None


def load_and_describe(job: Job, record: CheckpointRecord, context: RunContext) -> Loaded:
    """Load a checkpoint, which is made if need be, and add to its record what it is and what loading took."""
    source = job.source
    with checkpoint_folder(source, context) as folder:
        loaded, cost = measure_cost(
            lambda: load_source(source, folder, context),
            folder,
            context.device,
            _known_cost(job, record, context),
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
            not_measured=_still_unmeasured(old, job),
            same_weights_as=job.source.same_weights_as,
        )
    )


def _still_unmeasured(old: CheckpointRecord | None, job: Job) -> dict[str, str]:
    """Return what an earlier run could not measure and this one does not try."""
    earlier = old.not_measured if old else {}
    return {task: reason for task, reason in earlier.items() if task not in job.keys}


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


def load_source(source: Source, folder: Path, context: RunContext) -> Loaded:
    """Load the checkpoint of a source from its folder, as its loading options say.

    Raises:
        InputError: it cannot be loaded, or not with the attention implementation that the keys of its cells name.
    """
    context.reporter.say(f"loading {source.checkpoint.id}")
    loaded = load(
        folder,
        source.options,
        dtype=source.dtype,
        device=context.device,
        trust_remote_code=source.checkpoint.trust_remote_code,
        tokenizer_folder=source.tokenizer,
    )
    if loaded.attention != source.attention:
        raise InputError(
            f"{folder} was loaded with the attention implementation '{loaded.attention}', and its cells are planned "
            f"for '{source.attention}'. Give a model whose architecture transformers attends to by sdpa or eager."
        )
    return loaded
