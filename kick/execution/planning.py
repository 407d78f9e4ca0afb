"""Plan what a run scores: the tier of its reference, and for each checkpoint the work and the keys of its cells."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from kick.checkpoints import (
    read_chat_template,
    read_tokenizer,
    resolve,
    resolve_tokenizer,
    tokenizer_fingerprint,
)
from kick.engines.torch.tiers import choose_tier
from kick.errors import InputError
from kick.execution.checkpoint_cache import checkpoint_folder
from kick.execution.jobs import KEPT, Job, Order, RunContext, Source, plan_engine
from kick.execution.scoring import load_source
from kick.files import digest
from kick.harness.work import Work
from kick.store import tier_key
from kick.suite import Suite
from kick.suite.model_refs import parse_folder, parse_model
from kick.types import (
    Axis,
    CellIdentity,
    Checkpoint,
    Tier,
    TierChoice,
)


def tokenizer_folder(checkpoint: Checkpoint) -> Path:
    """Return the folder of a checkpoint's tokenizer.

    Raises:
        InputError: the checkpoint or its tokenizer is not there.
    """
    try:
        model = parse_model(checkpoint.model, "model", revision=checkpoint.revision)
        tokenizer = parse_folder(checkpoint.tokenizer, "tokenizer") if checkpoint.tokenizer else None
        return resolve_tokenizer(tokenizer, resolve(model, trust_remote_code=checkpoint.trust_remote_code))
    except InputError as error:
        raise InputError(f"checkpoint '{checkpoint.id}': {error}") from None


def find_tier(context: RunContext) -> Tier:
    """Return how all checkpoints are scored: as the suite says, or as a self-test of its reference finds, once."""
    if context.suite.tier != "auto":
        return context.suite.tier
    tested = _tested_checkpoint(context.suite)
    if tested is None:
        return "plain"
    source = context.source(tested)
    key = tier_key(source.fingerprint, source.dtype, context.device, source.attention, _versions())
    choice = _stored_tier(key, context)
    if choice is None:
        with checkpoint_folder(source, context) as folder:
            choice = choose_tier(load_source(source, folder, context))
        context.store.write_tier(key, choice)
    for tier, reason in choice.refused.items():
        context.reporter.say(f"not scored by the tier '{tier}': {reason}")
    return choice.tier


def _tested_checkpoint(suite: Suite) -> Checkpoint | None:
    """Return the checkpoint whose self-test finds the tier: the reference, or else the first that torch scores."""
    reference = suite.checkpoint(suite.reference)
    return next((one for one in (reference, *suite.checkpoints) if one.engine is None), None)


def _stored_tier(key: str, context: RunContext) -> TierChoice | None:
    try:
        return context.store.tier(key)
    except InputError as error:
        context.reporter.say(f"{error} The self-test is taken again.")
        return None


def plan_jobs(orders: Sequence[Order], tier: Tier, context: RunContext) -> list[Job]:
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
    engine = plan_engine(order.checkpoint, order.batch, context.device)
    source = context.source(order.checkpoint)
    _check_template(source, context)
    words = tokenizer_fingerprint(source.tokenizer)
    work = context.tasks.work(
        words,
        source.config,
        lambda: read_tokenizer(source.tokenizer, order.checkpoint.trust_remote_code),
    )
    wanted = {
        name: cell
        for name, cell in work.items()
        if name in order.tasks and not _repeats(order, cell, tier, context.device)
    }
    batching = engine.plan.batching if engine else f"{tier}/{order.batch.tokens}x{order.batch.rows}"
    identities = {
        name: CellIdentity(
            checkpoint=source.fingerprint,
            tokenizer=words,
            task=name,
            plan=cell.info,
            dtype=(engine and engine.plan.dtype) or source.dtype,
            device=context.device,
            attention=engine.name if engine else source.attention,
            tier=batching,
            versions=_versions(),
            engine=engine.identity if engine else None,
        )
        for name, cell in wanted.items()
    }
    job = Job(source, order.batch, tier, words, wanted, identities, {}, engine)
    return _with_divergence(job, reference, context) if context.suite.divergence else job


def _check_template(source: Source, context: RunContext) -> None:
    """Refuse a checkpoint whose chat template is not the one that the suite's conversations are made by.

    Raises:
        InputError: as said, unless the suite says whose template counts.
    """
    chat = context.tasks.chat
    if chat is None or not context.tasks.in_chat or context.suite.chat_template is not None:
        return
    own = read_chat_template(source.tokenizer)
    if own != chat.template:
        theirs = "has no chat template" if own is None else f"has the chat template {digest(own)[:12]}"
        raise InputError(
            f"checkpoint '{source.checkpoint.id}' {theirs}, and the reference {digest(chat.template)[:12]}: their "
            "prompts would differ. Say whose counts with `chat_template: reference`, or name a file."
        )


def _repeats(order: Order, work: Work, tier: Tier, device: str) -> bool:
    """Return whether the batches of a noise floor are those that it must differ from."""
    if order.unlike is None:
        return False
    if order.checkpoint.engine is None:
        return work.batched_alike(order.batch, order.unlike, tier)
    engines = [plan_engine(order.checkpoint, size, device) for size in (order.batch, order.unlike)]
    return len({engine.plan.batching for engine in engines if engine}) == 1


def _with_divergence(job: Job, reference: Job | None, context: RunContext) -> Job:
    """Return the same job with the origin of its divergence, or the reason why it is not measured."""
    reasons: dict[str, str] = {}
    identities = {}
    for task, identity in job.identities.items():
        origin = KEPT
        own = job.checkpoint.id == context.suite.reference
        if (reason := job.work[task].undiverged or _unable(job, own=own)) is not None:
            reasons[task] = reason
        elif job.checkpoint.id != context.suite.reference:
            assert reference is not None
            theirs = reference.identities.get(task)
            origin = reference.keys.get(task, "")
            if (unable := _unable(reference, own=True)) is not None:
                reasons[task] = unable
            elif theirs is None or reference.tokenizer_fingerprint != job.tokenizer_fingerprint:
                reasons[task] = "its tokenizer is not that of the reference: compare bits per byte"
            elif theirs.plan.hash != identity.plan.hash:
                reasons[task] = "its prompts are not those of the reference"
        measured = None if task in reasons else origin
        identities[task] = identity.model_copy(update={"divergence": measured})
    return replace(job, identities=identities, not_diverged=reasons)


def _unable(job: Job, *, own: bool) -> str | None:
    """Return why the engine of a job cannot measure divergence, or keep what candidates need (`own`); None: it can."""
    if job.engine is None or ("states" if own else "divergence") in job.engine.plan.capabilities:
        return None
    what = (
        "keeps no states that candidates could be compared with"
        if own
        else "gives no distributions of tokens"
    )
    return f"the engine {job.engine.name} of {job.checkpoint.id} {what}"


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("llm-kick", "lm_eval", "transformers", "torch")}
