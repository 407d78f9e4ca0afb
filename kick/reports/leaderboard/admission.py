"""The entry rules of a leaderboard: stored results are whole, and were scored on the plan of the board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from kick.comparison import load_pairs
from kick.comparison.sample import PairedSample
from kick.gating import family_members
from kick.reports.findings import Findings
from kick.reports.leaderboard.folders import without_place
from kick.reports.leaderboard.plans import BoardPlan
from kick.reports.leaderboard.records import NOT_STATED, BoardEntry
from kick.reports.output import slug
from kick.reports.tables.checkpoints import made_by
from kick.store import Store
from kick.types import Cell, TaskInfo


@dataclass(frozen=True)
class Admitted:
    """A checkpoint that was let in.

    Attributes:
        entry: Its entry, without ranks.
        samples: The paired scores of reference and candidate, by task.
        unknown: The tasks that do not count for it.
    """

    entry: BoardEntry
    samples: dict[str, PairedSample]
    unknown: tuple[str, ...]


def damage(store: Store, checkpoint: str) -> str | None:
    """Return what `kick verify` would say of a checkpoint, or None."""
    problems = Store(store.root).damage(checkpoint)
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"failed verification: {without_place(problems[0], store)}{more}"


def cells(findings: Findings, checkpoint: str) -> list[Cell]:
    """Return the cells of a checkpoint."""
    return [cell for row in findings.entries.values() if (cell := row[checkpoint].cell)]


def objection(store: Store, findings: Findings, checkpoint: str, plan: BoardPlan) -> str | None:
    """Return why a checkpoint cannot be on the board, or None."""
    if problem := damage(store, checkpoint):
        return problem
    scored = cells(findings, checkpoint)
    if not scored:
        return "it was not scored on any task"
    if findings.reference not in findings.records:
        return f"its reference {findings.reference} was not scored"
    differences = {cell.task.name: difference for cell in scored if (difference := plan.objection(cell))}
    if not differences:
        return None
    task, difference = next(iter(differences.items()))
    return (
        f"scored on another plan than the board's: {', '.join(differences)}. "
        f"On {task} (board | this entry): {difference}"
    )


def entry_of(folder: str, findings: Findings, checkpoint: str, names: Mapping[str, str]) -> BoardEntry:
    """Return the entry of a checkpoint, without ranks.

    Args:
        folder: The label of its results folder.
        findings: The findings of the folder.
        checkpoint: Its id.
        names: The names of the base models by fingerprint.
    """
    record, reference = findings.records[checkpoint], findings.records[findings.reference]
    base = names[reference.fingerprint]
    recipe, measured = record.recipe, record.description
    quantizer = measured.quant_method if measured else None
    phrases = [*([quantizer] if quantizer and not recipe else []), *made_by(record)]
    step = recipe.step_by("bits") if recipe else None
    bits = float(step.bits) if step and step.bits else measured.bits_per_weight if measured else None
    compared = {task.name: findings.entry(task, checkpoint).comparison for task in findings.tasks}
    verdict = findings.verdict(checkpoint)
    return BoardEntry(
        page=f"{slug(base)}-{slug(checkpoint)}-{slug(record.fingerprint[:8])}",
        folder=folder,
        suite=findings.suite,
        base=base,
        base_fingerprint=reference.fingerprint,
        reference=findings.reference,
        checkpoint=checkpoint,
        fingerprint=record.fingerprint,
        method=record.step.method if record.step else quantizer or ("kv_bits" if phrases else NOT_STATED),
        made_by=", ".join(phrases) or f"method {NOT_STATED}",
        bits=bits,
        record=record,
        standings={},
        comparisons={task: comparison for task, comparison in compared.items() if comparison},
        verdict=verdict,
        outcome=verdict.outcome,
        missing={},
    )


def admit(store: Store, entry: BoardEntry, findings: Findings, items: dict[str, pd.Series]) -> Admitted:
    """Return the paired scores of an entry on the tasks that ranks are based on, and why some are missing.

    Args:
        store: The folder.
        entry: The entry.
        findings: The findings of the folder.
        items: The documents of the board by task, in order; those of tasks that are new to it are added.
    """
    samples: dict[str, PairedSample] = {}
    missing: dict[str, str] = {}
    for task in findings.tasks:
        comparison = entry.comparisons.get(task.name)
        if comparison is None:
            missing[task.name] = findings.entry(task, entry.checkpoint).problem or "not compared"
        elif comparison.unpaired:
            missing[task.name] = f"{comparison.unpaired} items are not shared with the reference"
        elif findings.entry(task, entry.checkpoint).check is None:
            missing[task.name] = "its verdict could not be evaluated: " + " ".join(entry.verdict.missing)
        elif is_ranked(task):
            pairs = load_pairs(store, entry.reference, entry.checkpoint, task.name)
            documents = pairs.reference_items["doc_hash"]
            if not pairs.sample.finite:
                missing[task.name] = "a score is not a number"
            elif items.setdefault(task.name, documents).equals(documents):
                samples[task.name] = pairs.sample
            else:
                missing[task.name] = "its items are not in the order of the board's"
    return Admitted(entry.model_copy(update={"missing": missing}), samples, unknown_tasks(findings))


def unknown_tasks(findings: Findings) -> tuple[str, ...]:
    """Return the tasks on which the reference shows no knowledge."""
    scored = {task.name: findings.entry(task, findings.reference) for task in ranked_tasks(findings.tasks)}
    return tuple(
        task
        for task, entry in scored.items()
        if (entry.score is not None and entry.score.value <= 0)
        or (entry.at_floor if entry.floor is None else findings.not_measurable(task) is not None)
    )


def is_ranked(task: TaskInfo) -> bool:
    """Return whether ranks are based on a task: it belongs to a family."""
    return bool(family_members([task]))


def ranked_tasks(tasks: Sequence[TaskInfo]) -> list[TaskInfo]:
    """Return the tasks that ranks are based on."""
    return [task for task in tasks if is_ranked(task)]
