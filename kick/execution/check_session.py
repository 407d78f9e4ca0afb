"""The session of a check: which block comes next, when the verdict is known, and what is told meanwhile."""

import functools
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from kick.checkpoints import read_chat_template, read_tokenizer, tokenizer_fingerprint
from kick.execution.budget import Budget
from kick.execution.check_answers import same_measurement, score_block
from kick.execution.check_models import Models
from kick.execution.jobs import Job, Order, RunContext
from kick.execution.planning import find_tier, plan_job, tokenizer_folder
from kick.execution.scoring import make_cell, write_record
from kick.gating import Policy, gate, sequential_verdicts
from kick.gating.sequential import fewest_items
from kick.harness.suite_tasks import SuiteTasks
from kick.harness.tasks import LoadedTask
from kick.progress import clock
from kick.store import Store
from kick.suite.catalog import read_catalog
from kick.types import BatchSize, GateResult, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIRST_BLOCK = 32
# A remainder below this share of the items so far is scored together with them.
_REMAINDER = 0.25
# A block that is cut to what would decide has at least this share of the items so far, and this share more than that.
_SMALLEST = 0.25
_SLACK = 0.1
# A budget is not spent on a block of fewer items.
_FEWEST = 8
# Items after which a task is set aside if the reference is still not shown to know anything of it.
_FLOOR_ITEMS = 512


@dataclass
class TaskState:
    """The progress of a task.

    Attributes:
        name: the task.
        available: the items of the task.
        limit: the items that every model was scored on.
        seconds_per_item: the time that all models together took per item of the last block; None: not measured.
    """

    name: str
    available: int
    limit: int = 0
    seconds_per_item: float | None = None

    def next_limit(self, needed: int | None = None) -> int:
        """Return the limit after the next block: the first block, then twice as many items, or fewer if they decide.

        Args:
            needed: items in all that would decide the task if the rest are like those so far; None: not known.
        """
        limit = max(FIRST_BLOCK, 2 * self.limit)
        if needed is not None:
            fewest = ceil((1 + _SMALLEST) * self.limit)
            limit = min(limit, max(fewest, ceil((1 + _SLACK) * needed), FIRST_BLOCK))
        return self.available if limit * (1 + _REMAINDER) >= self.available else limit


@dataclass(frozen=True)
class Look:
    """The state of a check, for whoever watches it."""

    tasks: tuple[TaskState, ...]
    result: GateResult
    # The block that is scored next, as a phrase; empty at the end.
    doing: str = ""


class CheckResult(GateResult):
    """The verdicts of a check, and what they took."""

    # The results folder.
    results: str
    # Items that were scored by every model, and the items that there are.
    items: int
    available: int
    # Seconds of this call.
    seconds: float
    # Whether the budget ended before the verdict was known.
    budget_ended: bool = False


@dataclass
class Session:
    """One call of `check`, with the results folder held."""

    context: RunContext
    policy: Policy
    budget: Budget
    batch: BatchSize
    watch: Callable[[Look], object] | None
    states: dict[str, TaskState] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    loaded: dict[str, LoadedTask] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    budget_ended: bool = False

    @property
    def store(self) -> Store:
        """The results folder."""
        return self.context.store

    # --- before the first block ---

    def run(self, data_root: Path | None) -> None:
        """Score until the verdict is known, or the budget is spent."""
        suite, say = self.context.suite, self.context.reporter.say
        bare = {checkpoint.id: self._bare_job(checkpoint.id) for checkpoint in suite.checkpoints}
        self._write_suite()
        for job in bare.values():
            write_record(self.context, job)
        copies = [verdict.candidate for verdict in self._judge().verdicts if verdict.identical]
        for copy in copies:
            say(
                f"{copy}: its weights and tokenizer are those of {suite.reference}, so it passes without being scored"
            )
        if len(copies) == len(suite.checkpoints) - 1:
            return
        self._say_template(bare[suite.reference])
        say("loading data")
        catalog = read_catalog([Path(folder) for folder in suite.include_path])
        tasks = SuiteTasks.load(
            suite, suite.tasks, catalog, data_root, tokenizer_folder(suite.checkpoint(suite.reference))
        )
        self.context = replace(self.context, tasks=tasks)
        self.loaded = {loaded.info.name: loaded for loaded in tasks.tasks}
        tier = find_tier(self.context)
        for checkpoint in suite.checkpoints:
            if checkpoint.id not in copies:
                order = Order(checkpoint, suite.tasks, self.batch)
                self.jobs[checkpoint.id] = plan_job(order, tier, self.context)
        self.states = {
            name: TaskState(name, len(loaded.task.eval_docs)) for name, loaded in self.loaded.items()
        }
        self._say_plan()
        self._score()

    def _bare_job(self, checkpoint: str) -> Job:
        source = self.context.source(self.context.suite.checkpoint(checkpoint))
        return Job(source, self.batch, "plain", tokenizer_fingerprint(source.tokenizer), {}, {}, {})

    def _say_template(self, reference: Job) -> None:
        if self.context.suite.chat == "off" and read_chat_template(reference.source.tokenizer):
            self.context.reporter.say(
                f"{reference.checkpoint.id} has a chat template, and is asked in plain text: --chat auto asks by it"
            )

    def _say_plan(self) -> None:
        policy, suite = self.policy, self.context.suite
        candidates = ", ".join(c.id for c in suite.checkpoints if c.id != suite.reference)
        items = ", ".join(f"{state.name} ({state.available:,} items)" for state in self.states.values())
        say = self.context.reporter.say
        say(f"{candidates} against {suite.reference}, in blocks from {FIRST_BLOCK} items on: {items}")
        margin, tolerated = 100 * policy.margin, 100 * policy.tolerated_part * policy.margin
        own = f"; {len(policy.tasks)} tasks have rules of their own" if policy.tasks else ""
        say(
            f"policy {policy.name}: a pass shows that less than {margin:g} % is lost, a regression that more than "
            f"{tolerated:g} % is, each at {policy.alpha:g} whenever it is looked at{own}"
        )

    # --- block after block ---

    def _score(self) -> None:
        models = Models(self.jobs, self.context)
        for state in self.states.values():
            self._resume(state, models)
        self._write_suite()
        result = self._judge()
        estimates = 0
        while round_ := self._open(result):
            # Models that do not fit together change places once per round.
            size = 1 if models.fit is not False else len(round_)
            for start in range(0, len(round_), size):
                still_open = self._open(result)
                blocks = [state for state in round_[start : start + size] if state in still_open]
                goals = self._affordable(blocks, result)
                if not goals:
                    self.budget_ended = bool(blocks)
                    if self.budget_ended:
                        return
                    continue
                self._look(result, goals)
                self._score_blocks(goals, models)
                result = self._judge()
                self._look(result)
                # Told after the first block, and when every task was measured.
                measured = all(state.seconds_per_item is not None for state in self.states.values())
                if estimates == 0 or (estimates == 1 and measured and len(self.states) > 1):
                    estimates += 1
                    self._say_estimate(result)

    def _open(self, result: GateResult) -> list[TaskState]:
        """Return the tasks on which a verdict still depends, the least decided first."""
        undecided = [verdict for verdict in result.verdicts if verdict.outcome == "inconclusive"]
        progress = {
            name: min((_progress(verdict, name, self.policy.alpha) for verdict in undecided), default=1.0)
            for name in self.states
        }
        waiting = [
            state
            for name, state in self.states.items()
            if progress[name] < 1 and state.limit < state.available and not self._at_floor(state, undecided)
        ]
        return sorted(waiting, key=lambda state: (state.limit > 0, progress[state.name]))

    def _at_floor(self, state: TaskState, undecided: Sequence[Verdict]) -> bool:
        """Return whether more items would be of no use: nothing is lost, and the reference has nothing to lose."""
        checks = [check for verdict in undecided if (check := verdict.check(state.name))]
        open_ = [check for check in checks if check.outcome == "inconclusive"]
        return state.limit >= _FLOOR_ITEMS and all(check.p_within <= self.policy.alpha for check in open_)

    def _affordable(self, blocks: Sequence[TaskState], result: GateResult) -> dict[str, int]:
        """Return the limits to score some tasks up to, as far as the budget goes; empty if it goes no further."""
        goals: dict[str, int] = {}
        planned = 0
        for state in blocks:
            wanted = state.next_limit(_needed(result, state.name)) - state.limit
            most = self.budget.affordable(wanted + planned, state.seconds_per_item) - planned
            if most >= min(wanted, _FEWEST):
                goals[state.name] = state.limit + min(wanted, most)
                planned += min(wanted, most)
        return goals

    def _score_blocks(self, goals: Mapping[str, int], models: Models) -> None:
        """Score every model on some tasks up to a limit each, and name the new cells in the records."""
        jobs = {name: self._jobs_at(name, limit) for name, limit in goals.items()}
        seconds = dict.fromkeys(goals, 0.0)
        for checkpoint in models.order():
            for name in goals:
                job = jobs[name][checkpoint]
                if not self.store.has(checkpoint, name, job.keys[name]):
                    engine = models.engine(checkpoint)
                    started = time.monotonic()
                    scored = score_block(engine, job, name, self.store, earlier=self.states[name].limit)
                    took = time.monotonic() - started
                    self.store.write_cell(make_cell(job, name, scored, took), scored.items)
                    seconds[name] += took
        for name, limit in goals.items():
            state = self.states[name]
            for job in jobs[name].values():
                self._name_cell(job)
            self.budget.used += limit - state.limit
            if seconds[name]:
                state.seconds_per_item = seconds[name] / (limit - state.limit)
            state.limit = limit
        self._write_suite()

    def _name_cell(self, job: Job) -> None:
        record = self.store.checkpoint(job.checkpoint.id)
        assert record is not None
        self.store.write_checkpoint(record.model_copy(update={"cells": {**record.cells, **job.keys}}))

    def _jobs_at(self, name: str, limit: int) -> dict[str, Job]:
        """Return the jobs of all models for one task with a limit of items."""
        tasks = SuiteTasks(
            self.context.suite.with_limit(limit), [self.loaded[name]], [], self.context.tasks.chat
        )
        jobs = {}
        for checkpoint, job in self.jobs.items():
            tokenizer = functools.partial(self._tokenizer, job)
            work = tasks.work(job.tokenizer_fingerprint, job.source.config, tokenizer)[name]
            identity = job.identities[name].model_copy(update={"plan": work.info})
            jobs[checkpoint] = replace(job, work={name: work}, identities={name: identity})
        return jobs

    def _tokenizer(self, job: Job) -> "PreTrainedTokenizerBase":
        return read_tokenizer(job.source.tokenizer, job.checkpoint.trust_remote_code)

    def _resume(self, state: TaskState, models: Models) -> None:
        """Take over what an earlier check scored; a block that it did not finish for all models is finished."""
        limits = {checkpoint: self._stored_limit(job, state) for checkpoint, job in self.jobs.items()}
        state.limit = min(limits.values())
        if max(limits.values()) > state.limit:
            self._score_blocks({state.name: max(limits.values())}, models)

    def _stored_limit(self, job: Job, state: TaskState) -> int:
        cell = self.store.cell(job.checkpoint.id, state.name)
        if cell is None or not same_measurement(cell.identity, job.identities[state.name]):
            return 0
        limit = cell.identity.plan.limit
        return state.available if limit is None else min(limit, state.available)

    # --- looks and results ---

    def _judge(self) -> GateResult:
        return sequential_verdicts(self.store, self.policy)

    def _look(self, result: GateResult, goals: Mapping[str, int] | None = None) -> None:
        if self.watch is None:
            return
        parts = [
            f"{name}: items {self.states[name].limit + 1} to {limit}" for name, limit in (goals or {}).items()
        ]
        states = tuple(replace(state) for state in self.states.values())
        self.watch(Look(states, result, "; ".join(parts)))

    def _say_estimate(self, result: GateResult) -> None:
        """Say how long the verdict takes at least, if nothing is lost, and at most, if every item is needed."""
        speeds = [state.seconds_per_item for state in self.states.values() if state.seconds_per_item]
        if not speeds:
            return
        least = most = 0.0
        for state in self._open(result):
            speed = state.seconds_per_item or max(speeds)
            score = max(_reference_scores(result, state.name), default=1.0)
            margin = self.policy.rule(state.name).margin or self.policy.margin
            fewest = fewest_items(score, margin, self.policy.alpha, state.available)
            least += speed * max(0, max(fewest, self.policy.minimum_items) - state.limit)
            most += speed * (state.available - state.limit)
        if most == 0:
            return
        most, end = min((most, "if every item is needed"), (self.budget.seconds_left, "when the budget ends"))
        self.context.reporter.say(
            f"about {clock(min(least, most))} at least if nothing is lost (a broken model is found earlier), "
            f"{clock(most)} at most {end}"
        )

    def _write_suite(self) -> None:
        """Keep the suite with the largest limit so far, so a later `kick run` takes the other tasks that far."""
        earlier = self.store.suite().get("limit") or 0
        largest = max((state.limit for state in self.states.values()), default=int(earlier))
        suite = self.context.suite.with_limit(max(largest, FIRST_BLOCK))
        Store.create(self.store.root, suite.dump())

    def result(self, again: Sequence[str]) -> CheckResult:
        """Return the verdicts on intact cells, and what they took.

        Args:
            again: this command, without its budget.
        """
        judged = gate(self.store, self.policy, sequential=True)
        self._look(judged)
        command = None
        if self.budget_ended and judged.outcome == "inconclusive":
            command = shlex.join([*again, "--budget", self.budget.doubled()])
        return CheckResult(
            **{**dict(judged), "next_command": command},
            results=str(self.store.root),
            items=sum(state.limit for state in self.states.values()),
            available=sum(state.available for state in self.states.values()),
            seconds=round(time.monotonic() - self.started, 1),
            budget_ended=self.budget_ended,
        )


def _progress(verdict: Verdict, task: str, alpha: float) -> float:
    """Return how far a task is decided for one candidate: from 0, where it has no evidence, to 1."""
    check = verdict.check(task)
    if check is None:
        return 0.0
    if check.outcome != "inconclusive":
        return 1.0
    strongest = min(check.p_within, check.p_loss)
    return min(0.99, alpha / strongest) if strongest > 0 else 0.99


def _needed(result: GateResult, task: str) -> int | None:
    """Return the items in all that would decide a task for every candidate; None if it is not known for one."""
    checks = [check for verdict in result.verdicts if (check := verdict.check(task))]
    numbers = [check.items_needed for check in checks if check.outcome == "inconclusive"]
    known = [number for number in numbers if number is not None]
    return max(known) if known and len(known) == len(numbers) else None


def _reference_scores(result: GateResult, task: str) -> list[float]:
    checks = [verdict.check(task) for verdict in result.verdicts]
    return [check.reference_score.value for check in checks if check and check.reference_score]
