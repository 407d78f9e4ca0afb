"""The content of a leaderboard, gathered from results folders: who is ranked, who is not, and why.

An entry is ranked by recovery: what it keeps of its own reference on the items of the board. A family's is the mean
over its tasks, the overall one the mean over the families. A task on which a reference is not above chance, or scores
0, does not count for its candidates: what it does not know cannot be lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import pandas as pd

from kick.comparison import load_pairs
from kick.comparison.ranking import Standing, standings
from kick.comparison.sample import PairedSample
from kick.errors import InputError
from kick.reports.findings import Findings
from kick.reports.findings import gather as read_findings
from kick.reports.formats.web import slug
from kick.reports.leaderboard.plans import BoardPlan
from kick.reports.leaderboard.records import NOT_STATED, OVERALL, Base, Board, BoardEntry, Refused
from kick.reports.tables.scores import made_by
from kick.store import Store
from kick.store.snapshot import Snapshot
from kick.types import Cell, TaskInfo


@dataclass(frozen=True)
class _Admitted:
    """A checkpoint that was let in, with its paired scores."""

    entry: BoardEntry
    samples: dict[str, PairedSample]  # task -> reference and candidate
    unknown: tuple[str, ...]  # tasks that do not count for it


def gather(stores: Sequence[Store]) -> Board:
    """Read results folders into one board; what cannot be on it is refused with the reason.

    Args:
        stores: the folders. The first that scored a task sets its plan, and of equal weights the first stands.

    Raises:
        InputError: no folder, or one twice.
    """
    given = _labelled(stores)
    sources: dict[str, Snapshot] = {}
    refused: dict[tuple[str, str], list[str]] = {}  # folder and reason -> checkpoints
    findings: dict[str, Findings] = {}
    for folder, store in given.items():
        try:
            sources[folder] = Snapshot(store)
            findings[folder] = _published(read_findings(sources[folder]), store)
        except InputError as error:
            refused[folder, _public(error, store)] = []
    plan = BoardPlan()
    sound: list[str] = []
    for folder, found in findings.items():
        if problem := _damage(sources[folder], found.reference):
            refused[folder, f"its reference {problem}"] = []
            continue
        sound.append(folder)
        for cell in _cells(found, found.reference):
            plan.adopt(cell)
    bases = _base_names([findings[folder] for folder in sound])
    admitted: list[_Admitted] = []
    twins: dict[tuple[str, str], BoardEntry] = {}
    items: dict[str, pd.Series] = {}  # task -> the documents of the board, in order
    for folder in sound:
        found = findings[folder]
        for checkpoint in found.checkpoints[1:]:
            reason = _objection(sources[folder], found, checkpoint, plan)
            entry = None if reason else _entry(folder, found, checkpoint, bases)
            if entry is not None:
                twin = twins.setdefault((entry.base_fingerprint, entry.fingerprint), entry)
                if twin is not entry:
                    reason = f"the board has the same weights already: {twin.checkpoint} of {twin.folder}"
            if reason:
                refused.setdefault((folder, reason), []).append(checkpoint)
            elif entry is not None:
                admitted.append(_admit(sources[folder], entry, found, items))
    tasks = _tasks(plan)
    families = _families(tasks)
    entries = _ranked(admitted, families)
    return Board(
        entries=tuple(entries),
        refused=tuple(
            Refused(folder=folder, checkpoints=tuple(names), reason=reason)
            for (folder, reason), names in refused.items()
        ),
        bases=tuple(
            _base(folder, findings[folder], bases, entries)
            for folder in sound
            if any(entry.folder == folder for entry in entries)
        ),
        tasks=tasks,
        families=families,
        plan_cells=plan.cells,
        findings={folder: findings[folder] for folder in sound},
    )


def _labelled(stores: Sequence[Store]) -> dict[str, Store]:
    """Each folder under the shortest end of its path that tells it from the others."""
    if not stores:
        raise InputError("no results folder is given. Name one or more that `kick run` wrote to.")
    paths = [store.root.resolve() for store in stores]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{path} is given twice. Name each results folder once.")
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    return {"/".join(path.parts[-length:]): store for path, store in zip(paths, stores, strict=True)}


def _published(found: Findings, store: Store) -> Findings:
    """Findings that say nothing of where models and results lie on this machine."""
    records = {
        name: record.model_copy(
            update={
                "checkpoint": record.checkpoint.model_copy(update={"model": _model(record.checkpoint.model)})
            }
        )
        for name, record in found.records.items()
    }
    entries = {
        task: {
            name: entry.model_copy(update={"problem": _public(entry.problem, store)})
            if entry.problem
            else entry
            for name, entry in row.items()
        }
        for task, row in found.entries.items()
    }
    return found.model_copy(update={"records": records, "entries": entries})


def _model(model: str) -> str:
    """A hub id as it is, of a folder its name."""
    path = PurePath(model)
    local = path.is_absolute() or len(path.parts) != 2 or path.parts[0] in (".", "..", "~")
    return path.name if local else model


def _public(message: object, store: Store) -> str:
    """A message without the place of the folder on this machine."""
    return str(message).replace(f"{store.root}/", "").replace(str(store.root), store.root.name)


def _damage(store: Store, checkpoint: str) -> str | None:
    """What `kick verify` would say of a checkpoint."""
    problems = Store(store.root).damage(checkpoint)
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"failed verification: {_public(problems[0], store)}{more}"


def _cells(found: Findings, checkpoint: str) -> list[Cell]:
    return [cell for row in found.entries.values() if (cell := row[checkpoint].cell)]


def _objection(store: Store, found: Findings, checkpoint: str, plan: BoardPlan) -> str | None:
    """Why a checkpoint cannot be on the board, or None."""
    cells = _cells(found, checkpoint)
    if problem := _damage(store, checkpoint):
        return problem
    if not cells:
        return "it was not scored on any task"
    if found.reference not in found.records:
        return f"its reference {found.reference} was not scored"
    differences = {cell.task.name: difference for cell in cells if (difference := plan.objection(cell))}
    if not differences:
        return None
    task, difference = next(iter(differences.items()))
    return (
        f"scored on another plan than the board's: {', '.join(differences)}. "
        f"On {task} (board | this entry): {difference}"
    )


def _entry(folder: str, found: Findings, checkpoint: str, names: Mapping[str, str]) -> BoardEntry:
    record, reference = found.records[checkpoint], found.records[found.reference]
    base = names[reference.fingerprint]
    made, measured = record.recipe, record.description
    quantizer = measured.quant_method if measured else None
    phrases = [*([quantizer] if quantizer and not made else []), *made_by(record)]
    step = made.step_by("bits") if made else None
    bits = float(step.bits) if step and step.bits else measured.bits_per_weight if measured else None
    compared = {task.name: found.entry(task, checkpoint).comparison for task in found.tasks}
    return BoardEntry(
        page=f"{slug(base)}-{slug(checkpoint)}-{record.fingerprint[:8]}",
        folder=folder,
        suite=found.suite,
        base=base,
        base_fingerprint=reference.fingerprint,
        reference=found.reference,
        checkpoint=checkpoint,
        fingerprint=record.fingerprint,
        method=record.step.method if record.step else quantizer or ("kv_bits" if phrases else NOT_STATED),
        made_by=", ".join(phrases) or f"method {NOT_STATED}",
        bits=bits,
        record=record,
        standings={},
        comparisons={task: comparison for task, comparison in compared.items() if comparison},
        missing={},
    )


def _admit(store: Store, entry: BoardEntry, found: Findings, items: dict[str, pd.Series]) -> _Admitted:
    """The paired scores of an entry on the tasks that ranks rest on, and why some are missing."""
    samples: dict[str, PairedSample] = {}
    missing: dict[str, str] = {}
    for task in found.tasks:
        comparison = entry.comparisons.get(task.name)
        if comparison is None:
            missing[task.name] = found.entry(task, entry.checkpoint).problem or "not compared"
        elif comparison.unpaired:
            missing[task.name] = f"{comparison.unpaired} items are not shared with the reference"
        elif _counts(task):
            pairs = load_pairs(store, entry.reference, entry.checkpoint, task.name)
            documents = pairs.reference_items["doc_hash"]
            if items.setdefault(task.name, documents).equals(documents):
                samples[task.name] = pairs.sample
            else:
                missing[task.name] = "its items are not in the order of the board's"
    return _Admitted(entry.model_copy(update={"missing": missing}), samples, _unknown(found))


def _unknown(found: Findings) -> tuple[str, ...]:
    """The tasks on which the reference shows no knowledge."""
    entries = {task.name: found.entry(task, found.reference) for task in found.tasks if _counts(task)}
    return tuple(
        task
        for task, entry in entries.items()
        if entry.at_chance or (entry.score is not None and entry.score.value <= 0)
    )


def _counts(task: TaskInfo) -> bool:
    """Whether ranks rest on a task."""
    return task.higher_is_better and task.family != "perplexity"


def _tasks(plan: BoardPlan) -> tuple[TaskInfo, ...]:
    tasks = [cell.task for cell in plan.cells.values()]
    return tuple(sorted(tasks, key=lambda task: not _counts(task)))


def _families(tasks: Sequence[TaskInfo]) -> dict[str, tuple[str, ...]]:
    families: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        if _counts(task):
            families[task.family] = (*families.get(task.family, ()), task.name)
    return families


def _ranked(admitted: Sequence[_Admitted], families: Mapping[str, Sequence[str]]) -> list[BoardEntry]:
    """The entries with where they stand, best first; each column ranks those that have all of its tasks."""
    columns = {OVERALL: families} | {family: {family: tasks} for family, tasks in families.items()}
    found: dict[str, dict[str, Standing]] = {one.entry.page: {} for one in admitted}
    for column, below in columns.items():
        tasks = [task for members in below.values() for task in members]
        shares = {one.entry.page: _weights(below, one.unknown) for one in admitted}
        members = [one for one in admitted if set(tasks) <= one.samples.keys() and shares[one.entry.page]]
        if not members:
            continue
        samples = [[one.samples[task] for one in members] for task in tasks]
        weights = np.array([[shares[one.entry.page].get(task, 0.0) for one in members] for task in tasks])
        ranked = standings([one.entry.page for one in members], samples, weights)
        for one in members:
            page = one.entry.page
            found[page][column] = _as_compared(ranked[page], one.entry, shares[page])
    everywhere = [task for members in families.values() for task in members]
    return sorted(
        (
            one.entry.model_copy(
                update={"standings": found[one.entry.page], "missing": _missing(one.entry, everywhere)}
            )
            for one in admitted
        ),
        key=_place,
    )


def _weights(families: Mapping[str, Sequence[str]], unknown: Sequence[str]) -> dict[str, float]:
    """What each task counts where the reference knows something; empty where it knows nothing."""
    known = {
        family: counted
        for family, tasks in families.items()
        if (counted := [task for task in tasks if task not in unknown])
    }
    return {task: 1 / (len(known) * len(tasks)) for tasks in known.values() for task in tasks}


def _as_compared(standing: Standing, entry: BoardEntry, tasks: Mapping[str, float]) -> Standing:
    """Where one task counts, the recovery is that of the comparison: the number of the reports."""
    comparison = entry.comparisons[next(iter(tasks))]
    if len(tasks) > 1:
        return standing
    return standing.model_copy(update={"kept": comparison.ratio, "matching": comparison.matching})


def _missing(entry: BoardEntry, tasks: Sequence[str]) -> dict[str, str]:
    """Why tasks do not count; those that the folder of the entry knows nothing of are among them."""
    unknown = {task: "not in its suite" for task in tasks if task not in entry.comparisons}
    return unknown | entry.missing


def _place(entry: BoardEntry) -> tuple[bool, float, str]:
    overall = entry.standings.get(OVERALL)
    if overall is None:
        return True, -len(entry.standings), entry.page
    return False, -overall.kept.value, entry.page


def _base_names(findings: Sequence[Findings]) -> dict[str, str]:
    """Fingerprint of a reference -> its model's name; where two models share one, with their fingerprints."""
    named: dict[str, str] = {}
    for found in findings:
        if record := found.records.get(found.reference):
            named.setdefault(record.fingerprint, record.checkpoint.model)
    names = list(named.values())
    return {
        fingerprint: name if names.count(name) == 1 else f"{name} ({fingerprint[:8]})"
        for fingerprint, name in named.items()
    }


def _base(folder: str, found: Findings, names: Mapping[str, str], entries: Sequence[BoardEntry]) -> Base:
    record = found.records.get(found.reference)
    return Base(
        name=names[record.fingerprint] if record else found.reference,
        folder=folder,
        checkpoint=found.reference,
        entries=sum(entry.folder == folder for entry in entries),
        unknown=_unknown(found),
    )
