"""The content of a report, gathered once from a results folder; each format only lays it out.

Scores and comparisons come from `kick.comparison`. What is missing or refused is kept, with the reason.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from kick.comparison import Pairs, compare_all, score
from kick.comparison.curves import matching_rate
from kick.comparison.divergence import divergence
from kick.comparison.families import TaskMoments, compare_family
from kick.comparison.floors import floor_of
from kick.comparison.grid import attempt, series_axis, series_members, suite_checkpoints, task_names
from kick.comparison.items import losses_by_category
from kick.comparison.paired import MARGIN
from kick.comparison.readouts import Readout, read_readouts
from kick.comparison.records import CategoryLoss, Diverged, FamilyComparison, MatchingRate
from kick.errors import InputError
from kick.store import Store
from kick.text import is_share
from kick.types import (
    Axis,
    Cell,
    Checkpoint,
    CheckpointRecord,
    Comparison,
    Curve,
    CurvePoint,
    Estimate,
    Family,
    Floor,
    Record,
    Refusal,
    TaskInfo,
)
from kick.types.recipes import DENSE_RATE, falling

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
        problem: The reason why there is no score, or no comparison.
    """

    cell: Cell | None = None
    score: Estimate | None = None
    comparison: Comparison | None = None
    problem: str | None = None

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
        """How a score that shows no knowledge is marked; "" if it shows some."""
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
        families: The means over the families of several tasks, by family and candidate.
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
    reach: dict[str, dict[str, MatchingRate | None]]
    families: dict[Family, dict[str, FamilyComparison]]
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
        """Return the tasks on which higher is better, by family, in the order of the report."""
        members: dict[Family, list[TaskInfo]] = {}
        for task in self.tasks:
            if task.higher_is_better and task.metric:
                members.setdefault(task.family, []).append(task)
        return members

    def kept(self, family: Family, candidate: str) -> FamilyComparison | Comparison | None:
        """Return the candidate against the reference on a family: its one task, or the mean of all its tasks.

        None if it was not compared on all of them.
        """
        tasks = self.families_of_tasks()[family]
        if len(tasks) == 1:
            return self.entry(tasks[0], candidate).comparison
        return self.families.get(family, {}).get(candidate)

    def cells(self) -> list[Cell]:
        """Return the cells of the report, by task and checkpoint."""
        return [entry.cell for row in self.entries.values() for entry in row.values() if entry.cell]


def gather(store: Store, see: Callable[[Pairs], object] | None = None) -> Findings:
    """Read a results folder: every checkpoint and task of its suite, whether it was scored or not.

    Args:
        store: The results.
        see: Called with the items of each comparison, which are read only once.

    Raises:
        InputError: The folder is damaged, or names no reference.
    """
    items = _Items(store, see)
    compared = compare_all(store, see=items.see)
    reference = compared.reference
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
            entries[task.name][checkpoint] = _entry(
                store, cells.get(key), comparisons.get(key), refusals.get(key)
            )
    return Findings(
        suite=str(store.suite().get("name", store.root.name)),
        reference=reference,
        checkpoints=checkpoints,
        records=records,
        tasks=tasks,
        groups=groups,
        entries=entries,
        reach={task.name: _reach(store, reference, task, groups, entries[task.name]) for task in tasks},
        families=items.families(tasks),
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
        # By candidate and task.
        self._means: dict[str, dict[str, TaskMoments]] = {}

    def see(self, pairs: Pairs) -> None:
        """Take what is needed from the items of one comparison."""
        candidate, info = pairs.candidate.checkpoint, pairs.reference.task
        if info.higher_is_better and is_share(info):
            self._means.setdefault(candidate, {})[info.name] = TaskMoments.of(pairs)
        if losses := _losses(pairs):
            self.losses.setdefault(info.name, {})[candidate] = losses
        if diverged := divergence(self._store, pairs):
            self.divergences.setdefault(info.name, {})[candidate] = diverged
        if self._see:
            self._see(pairs)

    def families(self, tasks: Sequence[TaskInfo]) -> dict[Family, dict[str, FamilyComparison]]:
        """Return the mean over each family of several tasks, for candidates that were compared on all of them."""
        members: dict[Family, list[str]] = {}
        for task in tasks:
            if task.higher_is_better and task.metric:
                members.setdefault(task.family, []).append(task.name)
        return {
            family: {
                candidate: compare_family(family, [means[name] for name in names], MARGIN)
                for candidate, means in self._means.items()
                if all(name in means for name in names)
            }
            for family, names in members.items()
            if len(names) > 1
        }


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


def _entry(store: Store, cell: Cell | None, comparison: Comparison | None, refusal: str | None) -> Entry:
    if cell is None:
        return Entry(problem="not run")
    if comparison:
        return Entry(cell=cell, score=comparison.candidate_score, comparison=comparison)
    problem = f"not compared: {refusal}" if refusal else None
    try:
        return Entry(cell=cell, score=score(cell, store.items(cell)), problem=problem)
    except InputError as error:
        return Entry(cell=cell, problem=str(error))


def _reach(
    store: Store, reference: str, task: TaskInfo, groups: Sequence[Group], entries: Mapping[str, Entry]
) -> dict[str, MatchingRate | None]:
    """Return how far each series can be compressed on a task."""
    start = attempt(store, reference, reference, task.name)
    return {
        group.name: None if isinstance(start, Refusal) else _reach_of(group, start, task, entries)
        for group in groups
        if group.axis
    }


def _reach_of(
    group: Group, start: Comparison, task: TaskInfo, entries: Mapping[str, Entry]
) -> MatchingRate | None:
    assert group.axis is not None
    points = [CurvePoint(rate=DENSE_RATE[group.axis], comparison=start)]
    for rate, candidate in zip(group.rates, group.candidates, strict=True):
        if comparison := entries[candidate].comparison:
            points.append(CurvePoint(rate=rate, comparison=comparison))
    return matching_rate(Curve(series=group.name, axis=group.axis, task=task.name, points=tuple(points)))


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
    if not any(task.family == "perplexity" for task in scored):
        datasets = (store.suite().get("perplexity") or {}).get("datasets", [])
        names += [f"perplexity_{dataset}" for dataset in datasets]
    tasks = [
        known.get(name) or TaskInfo(name=name, kind="generation", family="other", metric="", metrics=())
        for name in names
    ]
    return tuple(sorted(tasks, key=lambda task: task.family == "perplexity"))
