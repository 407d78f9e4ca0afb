"""Several results folders as one report: every candidate against the reference of its own folder, in one table.

The folders must have scored the same reference weights on the same requests in the same way; others are refused.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kick.comparison.grid import adjusted
from kick.comparison.pairing import refuse_unlike
from kick.comparison.records import Diverged
from kick.errors import InputError
from kick.reports.findings import Entry, Findings, Group, Losses
from kick.reports.reach import Reach
from kick.types import CheckpointRecord, Comparison, Family, GateResult, TaskInfo, Verdict


def merge(folders: Sequence[tuple[Path, Findings]]) -> Findings:
    """Return the findings of several folders as those of one.

    A checkpoint or a series whose id several folders use gets the name of its folder before it. Scores of the
    reference are those of the first folder that has them; deltas and recoveries are to the folder's own reference.
    p-values are adjusted anew, over all comparisons; a verdict is that of the candidate's own folder.

    Raises:
        InputError: The references have different weights, or a task was scored on other requests or in another way.
    """
    names = _names([path for path, _ in folders])
    parts = [findings for _, findings in folders]
    _refuse(names, parts)
    ids = Counter(name for part in parts for name in part.checkpoints[1:])
    series = Counter(group.name for part in parts for group in part.groups if group.axis)
    reference = parts[0].reference
    renamed = [
        _renamed(
            part,
            {part.reference: reference}
            | {
                one: f"{name}:{one}" if ids[one] > 1 or one == reference else one
                for one in part.checkpoints[1:]
            },
            {
                group.name: f"{name}:{group.name}" if series[group.name] > 1 else group.name
                for group in part.groups
                if group.axis
            },
        )
        for name, part in zip(names, parts, strict=True)
    ]
    return _joined(renamed, names)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the last names of the folders, numbered if two have the same."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a results folder is given twice. Give each once.")
    last = [path.resolve().name for path in paths]
    return [
        name if last.index(name) == index else f"{name}-{last[: index + 1].count(name)}"
        for index, name in enumerate(last)
    ]


def _refuse(names: Sequence[str], parts: Sequence[Findings]) -> None:
    """Refuse folders whose numbers cannot share one table."""
    first: dict[str, tuple[str, Entry]] = {}
    weights: dict[str, str] = {}
    for name, part in zip(names, parts, strict=True):
        record = part.records.get(part.reference)
        if record is None:
            raise InputError(f"{name}: the reference {part.reference} was not scored. Run its suite first.")
        weights[name] = record.fingerprint
        for task in part.tasks:
            entry = part.entry(task, part.reference)
            if entry.cell is None:
                continue
            if task.name not in first:
                first[task.name] = (name, entry)
                continue
            other, known = first[task.name]
            assert known.cell is not None
            refuse_unlike(
                known.cell.model_copy(update={"checkpoint": f"{part.reference} of {other}"}),
                entry.cell.model_copy(update={"checkpoint": f"{part.reference} of {name}"}),
                any_tokenizer=False,
            )
    if len(set(weights.values())) > 1:
        listed = ", ".join(f"{name} {fingerprint[:12]}" for name, fingerprint in weights.items())
        raise InputError(
            f"the references of these folders are not the same weights: {listed}. Report the folders one by one, or "
            "see what changed from one to the other with --diff."
        )


def _renamed(part: Findings, ids: dict[str, str], series: dict[str, str]) -> Findings:
    """Return the findings with checkpoints and series under other names."""

    def record(old: CheckpointRecord) -> CheckpointRecord:
        checkpoint = old.checkpoint
        return old.model_copy(update={"checkpoint": checkpoint.model_copy(update={"id": ids[checkpoint.id]})})

    def comparison(old: Comparison) -> Comparison:
        return old.model_copy(update={"reference": ids[old.reference], "candidate": ids[old.candidate]})

    def entry(old: Entry) -> Entry:
        cell = old.cell and old.cell.model_copy(update={"checkpoint": ids[old.cell.checkpoint]})
        return old.model_copy(
            update={"cell": cell, "comparison": old.comparison and comparison(old.comparison)}
        )

    return part.model_copy(
        update={
            "reference": ids[part.reference],
            "checkpoints": tuple(ids[one] for one in part.checkpoints),
            "records": {ids[one]: record(old) for one, old in part.records.items() if one in ids},
            "groups": tuple(
                group.model_copy(
                    update={
                        "name": series.get(group.name, group.name) if group.axis else group.name,
                        "candidates": tuple(ids[one] for one in group.candidates),
                    }
                )
                for group in part.groups
            ),
            "entries": {
                task: {ids[one]: entry(old) for one, old in row.items()} for task, row in part.entries.items()
            },
            "reach": {
                task: {series[name]: rate for name, rate in row.items()} for task, row in part.reach.items()
            },
            "verdicts": part.verdicts.model_copy(
                update={
                    "reference": ids[part.reference],
                    "verdicts": tuple(
                        verdict.model_copy(update={"candidate": ids[verdict.candidate]})
                        for verdict in part.verdicts.verdicts
                    ),
                }
            ),
            "losses": {
                task: {ids[one]: lost for one, lost in row.items()} for task, row in part.losses.items()
            },
            "divergences": {
                task: {ids[one]: diverged for one, diverged in row.items()}
                for task, row in part.divergences.items()
            },
            "readouts": tuple(
                each.model_copy(update={"checkpoint": ids[each.checkpoint]}) for each in part.readouts
            ),
        }
    )


def _joined(parts: Sequence[Findings], names: Sequence[str]) -> Findings:
    tasks = {task.name: task for part in parts for task in part.tasks}
    tasks |= {task.name: task for part in reversed(parts) for task in part.tasks if task.metric}
    ordered = tuple(sorted(tasks.values(), key=lambda task: task.kind == "text"))
    entries: dict[str, dict[str, Entry]] = {}
    reach: dict[str, dict[str, Reach | None]] = {}
    losses: dict[str, dict[str, Losses]] = {}
    divergences: dict[str, dict[str, Diverged]] = {}
    for name, part in zip(names, parts, strict=True):
        for task in ordered:
            row, own = entries.setdefault(task.name, {}), part.entries.get(task.name, {})
            absent = Entry(problem=f"not in the suite of {name}")
            for checkpoint in part.checkpoints:
                entry = own.get(checkpoint, absent)
                if checkpoint not in row or row[checkpoint].score is None:
                    row[checkpoint] = entry
            rates = part.reach.get(task.name, {})
            for group in part.groups:
                if group.axis:
                    reach.setdefault(task.name, {})[group.name] = rates.get(group.name)
        for task_name, lost in part.losses.items():
            losses.setdefault(task_name, {}).update(lost)
        for task_name, diverged in part.divergences.items():
            divergences.setdefault(task_name, {}).update(diverged)
    groups = _groups(parts)
    reference = parts[0].reference
    return Findings(
        suite=" + ".join(dict.fromkeys(part.suite for part in parts)),
        reference=reference,
        checkpoints=(reference, *(one for group in groups for one in group.candidates)),
        records={one: record for part in reversed(parts) for one, record in part.records.items()},
        tasks=ordered,
        groups=groups,
        entries=_adjusted(entries),
        reach=reach,
        verdicts=_verdicts(parts),
        losses=losses,
        divergences=divergences,
        readouts=tuple(each for part in parts for each in part.readouts),
    )


def _verdicts(parts: Sequence[Findings]) -> GateResult:
    """Return the verdicts of all folders, without what is kept of families whose tasks differ between them."""

    def shared(verdict: Verdict) -> Verdict:
        families = tuple(family for family in verdict.families if _same_tasks(parts, family.name))
        return verdict.model_copy(update={"families": families})

    verdicts = tuple(shared(verdict) for part in parts for verdict in part.verdicts.verdicts)
    return parts[0].verdicts.model_copy(update={"verdicts": verdicts})


def _groups(parts: Sequence[Findings]) -> tuple[Group, ...]:
    """Return the checkpoints of no series of all folders, then the series of each."""
    alone = [group for part in parts for group in part.groups if not group.axis]
    series = [group for part in parts for group in part.groups if group.axis]
    if not alone:
        return tuple(series)
    candidates = tuple(one for group in alone for one in group.candidates)
    return (alone[0].model_copy(update={"candidates": candidates}), *series)


def _adjusted(entries: dict[str, dict[str, Entry]]) -> dict[str, dict[str, Entry]]:
    keys = [(task, one) for task, row in entries.items() for one, entry in row.items() if entry.comparison]
    comparisons = [entries[task][one].comparison for task, one in keys]
    for (task, one), comparison in zip(keys, adjusted([each for each in comparisons if each]), strict=True):
        entries[task][one] = entries[task][one].model_copy(update={"comparison": comparison})
    return entries


def _same_tasks(parts: Sequence[Findings], family: Family) -> bool:
    """Return whether every folder has the same tasks of a family, so their means can be compared."""

    def members(part: Findings) -> set[str]:
        tasks: list[TaskInfo] = part.families_of_tasks().get(family, [])
        return {task.name for task in tasks}

    return len({frozenset(members(part)) for part in parts}) == 1
