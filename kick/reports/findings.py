"""The content of a report, gathered once from a results folder; each format only lays it out.

Scores and comparisons come from `kick.comparison`. What is missing or refused is kept, with the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kick.comparison import Pairs, score
from kick.comparison.divergence import divergence
from kick.comparison.floors import floor_of
from kick.comparison.grid import (
    PairReader,
    attempt,
    collected,
    series_axis,
    series_members,
    suite_checkpoints,
    task_names,
)
from kick.comparison.items import losses_by_category
from kick.comparison.readouts import Readout, read_readouts
from kick.comparison.records import CategoryLoss, Diverged
from kick.errors import InputError
from kick.gating import Judging, Policy, family_members
from kick.reports.reach import Reach, reach
from kick.store import Store
from kick.types import (
    Axis,
    Cell,
    Check,
    Checkpoint,
    CheckpointRecord,
    Comparison,
    Estimate,
    Family,
    FamilyScore,
    Floor,
    GateResult,
    Outcome,
    Record,
    Refusal,
    TaskInfo,
    Verdict,
)
from kick.types.recipes import falling

# Smaller categories are not looked at.
FEWEST_ITEMS = 8
# Categories listed for each comparison.
HARDEST_HIT = 3


class Entry(Record):
    """One checkpoint on one task.

    Attributes:
        cell: Its cell; None: not scored.
        score: Its score.
        comparison: Its comparison with the reference; None for the reference itself.
        check: The answer of the policy, by the metric of the comparison; None: not judged.
        problem: The reason why there is no score, or no comparison.
    """

    cell: Cell | None = None
    score: Estimate | None = None
    comparison: Comparison | None = None
    check: Check | None = None
    problem: str | None = None

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of its check, if it was judged."""
        return self.check.outcome if self.check else None

    @property
    def floor(self) -> Floor | None:
        """The best answerer without knowledge on the same items; None: not measured."""
        return floor_of(self.cell, self.cell.task.metric) if self.cell else None

    @property
    def at_floor(self) -> bool:
        """True if the interval of the score reaches down to the floor: the score then shows no knowledge.

        Where the floor was not measured it is blind guessing.
        """
        chance = self.cell.task.chance if self.cell else None
        level = self.floor.score if self.floor else chance
        return level is not None and self.score is not None and self.score.low <= level

    @property
    def no_knowledge(self) -> str:
        """The mark of a score that shows no knowledge; "" if it shows some."""
        if not self.at_floor:
            return ""
        return "not above the floor" if self.floor else "not above chance"


class Group(Record):
    """Checkpoints side by side: a series from light to heavy compression, or those that belong to no series.

    Attributes:
        name: The name of the series.
        axis: What its rates measure; None: no series.
        candidates: The ids of its checkpoints.
        rates: The rate of each checkpoint of a series.
    """

    name: str
    axis: Axis | None
    candidates: tuple[str, ...]
    rates: tuple[float, ...] = ()


class Losses(Record):
    """The losses of a candidate on a task, by category.

    Attributes:
        tested: The number of categories of `FEWEST_ITEMS` items or more.
        small: The number of smaller ones, which are not looked at.
        hardest_hit: The tested categories with the largest losses, largest first.
    """

    tested: int
    small: int
    hardest_hit: tuple[CategoryLoss, ...]


class Findings(Record):
    """The content of a report.

    Attributes:
        suite: The name of the suite.
        reference: The id of the reference.
        checkpoints: All ids: the reference, then group by group.
        records: The records of the checkpoints that were loaded, by id.
        tasks: The tasks, perplexity last.
        groups: The candidates, by series.
        entries: Every task and checkpoint, by task and id.
        reach: How far each series can be compressed, by task and series.
        verdicts: The answer of the policy for each candidate: every mark, colour and verdict of the report.
        losses: The losses by category, by task and candidate; only right-or-wrong tasks that keep categories.
        divergences: The divergences that were measured, by task and candidate.
        readouts: The scores of knowledge that was read in several ways.
    """

    suite: str
    reference: str
    checkpoints: tuple[str, ...]
    records: dict[str, CheckpointRecord]
    tasks: tuple[TaskInfo, ...]
    groups: tuple[Group, ...]
    entries: dict[str, dict[str, Entry]]
    reach: dict[str, dict[str, Reach | None]]
    verdicts: GateResult
    losses: dict[str, dict[str, Losses]]
    divergences: dict[str, dict[str, Diverged]]
    readouts: tuple[Readout, ...] = ()

    def entry(self, task: TaskInfo, checkpoint: str) -> Entry:
        """Return the entry of a checkpoint on a task."""
        return self.entries[task.name][checkpoint]

    def floor(self, task: TaskInfo) -> Floor | None:
        """Return the best answerer without knowledge on a task, by the items of the reference; None: not measured."""
        return self.entry(task, self.reference).floor

    def not_measurable(self, task: str) -> str | None:
        """Return why the reference is not shown to be above its floor on a task; None if it is."""
        comparisons = (entry.comparison for entry in self.entries[task].values())
        return next((one.not_measurable for one in comparisons if one and one.not_measurable), None)

    def diverged(self, task: TaskInfo, candidate: str) -> Diverged | None:
        """Return how far a candidate's distributions are from the reference's on a task, if that was measured."""
        return self.divergences.get(task.name, {}).get(candidate)

    def curves(self) -> list[Group]:
        """Return the series of which something was compared."""
        return [
            group
            for group in self.groups
            if group.axis
            and any(self.entry(task, c).comparison for task in self.tasks for c in group.candidates)
        ]

    def families_of_tasks(self) -> dict[Family, list[TaskInfo]]:
        """Return the tasks of each family that were scored, in the order of the report."""
        tasks = {task.name: task for task in self.tasks if task.metric}
        return {
            family: [tasks[name] for name in members]
            for family, members in family_members(list(tasks.values())).items()
        }

    def verdict(self, candidate: str) -> Verdict:
        """Return the verdict on a candidate."""
        return self.verdicts.verdict(candidate) or Verdict(candidate=candidate, checks=())

    def kept(self, family: Family, candidate: str) -> FamilyScore | None:
        """Return what a candidate keeps of a family; None if it was not compared on all of its tasks."""
        return self.verdict(candidate).family(family)

    def cells(self) -> list[Cell]:
        """Return the cells of the report, by task and checkpoint."""
        return [entry.cell for row in self.entries.values() for entry in row.values() if entry.cell]


def gather(
    store: Store,
    see: Callable[[Pairs], object] | None = None,
    *,
    policy: Policy | str | Path = "regression",
) -> Findings:
    """Read a results folder: every checkpoint and task of its suite, whether it was scored or not.

    Args:
        store: The results.
        see: Called with the items of each comparison, which are read only once.
        policy: The policy that judges the candidates: as for `kick.gating.verdicts`.

    Raises:
        InputError: The folder is damaged, or names no reference; or the policy is not valid.
    """
    reader = PairReader(store)
    store, reference = reader.store, reader.reference
    items, judging = _Items(store, see), Judging(reader, policy)
    results: list[Comparison | Refusal] = []
    for candidate in reader.candidates:
        judging.add(candidate)
        for name in task_names(store):
            result = attempt(reader, candidate, name)
            results.append(result)
            if isinstance(result, Comparison):
                items.see(reader.read(candidate, name))
    judged, compared = judging.result(), collected(reference, results)
    records = {record.checkpoint.id: record for record in store.checkpoints()}
    candidates = [checkpoint for checkpoint in suite_checkpoints(store) if checkpoint.id != reference]
    groups = _groups(candidates, records)
    checkpoints = (reference, *(candidate for group in groups for candidate in group.candidates))
    comparisons = {(pair.task, pair.candidate): pair for pair in compared.comparisons}
    refusals = {(pair.task, pair.candidate): pair.reason for pair in compared.refusals}
    cells = {
        (task, checkpoint): cell
        for checkpoint in checkpoints
        if checkpoint in records
        for task in records[checkpoint].cells
        if (cell := store.cell(checkpoint, task)) is not None
    }
    tasks = _tasks(store, [cell.task for cell in cells.values()])
    entries: dict[str, dict[str, Entry]] = {task.name: {} for task in tasks}
    for task in tasks:
        for checkpoint in checkpoints:
            key = (task.name, checkpoint)
            verdict = judged.verdict(checkpoint)
            check = verdict.check(task.name) if verdict else None
            entries[task.name][checkpoint] = _entry(
                store,
                cells.get(key),
                comparisons.get(key),
                check,
                refusals.get(key),
                _unmeasured(records.get(checkpoint), task.name),
            )
    return Findings(
        suite=str(store.suite().get("name", store.root.name)),
        reference=reference,
        checkpoints=checkpoints,
        records=records,
        tasks=tasks,
        groups=groups,
        entries=entries,
        reach={task.name: _reach(groups, entries[task.name]) for task in tasks},
        verdicts=judged,
        losses=items.losses,
        divergences=items.divergences,
        readouts=read_readouts(store, checkpoints),
    )


class _Items:
    """The results that a report takes from the items of each comparison, while they are in memory."""

    def __init__(self, store: Store, see: Callable[[Pairs], object] | None) -> None:
        self._store, self._see = store, see
        self.divergences: dict[str, dict[str, Diverged]] = {}
        self.losses: dict[str, dict[str, Losses]] = {}

    def see(self, pairs: Pairs) -> None:
        """Take what is needed from the items of one comparison."""
        candidate, info = pairs.candidate.checkpoint, pairs.reference.task
        if losses := _losses(pairs):
            self.losses.setdefault(info.name, {})[candidate] = losses
        if diverged := divergence(self._store, pairs):
            self.divergences.setdefault(info.name, {})[candidate] = diverged
        if self._see:
            self._see(pairs)


def _losses(pairs: Pairs) -> Losses | None:
    """Return the hardest hit categories of a right-or-wrong task; None if it does not keep two large enough."""
    if not pairs.sample.is_binary:
        return None
    codes, _ = pd.factorize(pairs.reference_items["group"])
    sizes = np.bincount(codes[codes >= 0])
    tested = int((sizes >= FEWEST_ITEMS).sum())
    if tested < 2:
        return None
    hit = losses_by_category(pairs, fewest=FEWEST_ITEMS, most=HARDEST_HIT)
    return Losses(tested=tested, small=len(sizes) - tested, hardest_hit=tuple(hit))


def _unmeasured(record: CheckpointRecord | None, task: str) -> str | None:
    """Return why the engine of a checkpoint could not measure a task; None: it was not tried, or could."""
    reason = record.not_measured.get(task) if record else None
    return f"not measurable on its engine: {reason}" if reason else None


def _entry(
    store: Store,
    cell: Cell | None,
    comparison: Comparison | None,
    check: Check | None,
    refusal: str | None,
    unmeasured: str | None,
) -> Entry:
    if cell is None:
        return Entry(problem=unmeasured or "not run")
    if comparison:
        # A policy may judge another metric than the one that is shown.
        judged = check if check and check.metric == comparison.metric else None
        return Entry(cell=cell, score=comparison.candidate_score, comparison=comparison, check=judged)
    problem = f"not compared: {refusal}" if refusal else None
    try:
        return Entry(cell=cell, score=score(cell, store.items(cell)), problem=problem)
    except InputError as error:
        return Entry(cell=cell, problem=str(error))


def _reach(groups: Sequence[Group], entries: Mapping[str, Entry]) -> dict[str, Reach | None]:
    """Return how far each series can be compressed on a task."""
    checks = {name: entry.check for name, entry in entries.items() if entry.check}
    return {
        group.name: reach(group.axis, group.rates, group.candidates, checks) for group in groups if group.axis
    }


def _groups(candidates: Sequence[Checkpoint], records: Mapping[str, CheckpointRecord]) -> tuple[Group, ...]:
    """Return the checkpoints that are on no curve, then every series from light to heavy compression."""
    series: list[Group] = []
    for name, steps in series_members(candidates, records).items():
        if axis := series_axis(steps):
            points = [(step.rate, one) for one, step in steps.items() if step and step.axis == axis]
            points.sort(key=lambda point: point[0], reverse=falling(axis))
            ids, rates = tuple(one for _, one in points), tuple(rate for rate, _ in points)
            series.append(Group(name=name, axis=axis, candidates=ids, rates=rates))
    on_curves = {one for group in series for one in group.candidates}
    alone = tuple(checkpoint.id for checkpoint in candidates if checkpoint.id not in on_curves)
    return (*([Group(name="checkpoints", axis=None, candidates=alone)] if alone else []), *series)


def _tasks(store: Store, scored: Sequence[TaskInfo]) -> tuple[TaskInfo, ...]:
    """Return the tasks of the suite in its order, then those that are stored only; perplexity last."""
    known = {task.name: task for task in scored}
    names = task_names(store)
    if not any(task.kind == "text" for task in scored):
        datasets = (store.suite().get("perplexity") or {}).get("datasets", [])
        names += [f"perplexity_{dataset}" for dataset in datasets]
    tasks = [
        known.get(name) or TaskInfo(name=name, kind="generation", family="other", metric="", metrics=())
        for name in names
    ]
    return tuple(sorted(tasks, key=lambda task: task.kind == "text"))
