"""Scores side by side, with the recovery of each candidate."""

import math
from collections.abc import Sequence

from kick import text
from kick.comparison.factuality import ENTAILED
from kick.gating import in_words, mark
from kick.reports.blocks import NOTHING, Field, Table, column, name, number, plain
from kick.reports.findings import Entry, Findings, Group
from kick.types import TaskInfo

# Candidates side by side in one table.
MAX_CANDIDATES = 6
SCORES_NOTE = (
    "In each field: the score [95 % interval], and below it the share of the reference's score that is left, "
    "on the same items, first of the whole score, then of what is above the floor. Then the verdict of the policy with "
    "the loss that it rests on, in the bracket of its tests. ✓: the loss is shown to be below the margin; ✗: it is "
    "shown to be more than is tolerated; ?: neither is shown."
)


def scores(findings: Findings, group: Group) -> list[Table]:
    """Return tasks as rows, the reference and the checkpoints of a group as columns; recovery below each score.

    A group of many checkpoints is split, and the reference comes first in each part.
    """
    parts = math.ceil(len(group.candidates) / MAX_CANDIDATES)
    width = math.ceil(len(group.candidates) / parts)
    title = "Scores" if group.axis is None else f"Scores: {group.name}"
    return [
        _scores(
            findings,
            group.candidates[part * width : (part + 1) * width],
            f"scores-{group.name}" + (f"-{part + 1}" if part else ""),
            title + (f" ({part + 1} of {parts})" if parts > 1 else ""),
        )
        for part in range(parts)
    ]


def _scores(findings: Findings, candidates: Sequence[str], label: str, title: str) -> Table:
    columns = (findings.reference, *candidates)
    header = (
        plain("task"),
        column(findings.reference, "reference"),
        *(column(candidate) for candidate in candidates),
    )
    rows = tuple(
        (
            _task_header(findings, task, columns),
            *(_score_field(findings, task, checkpoint, columns) for checkpoint in columns),
        )
        for task in findings.tasks
    )
    return Table(label, title, header, rows)


def _task_header(findings: Findings, task: TaskInfo, columns: Sequence[str]) -> Field:
    sizes = _sizes(findings, task, columns)
    facts = [metric(task)]
    if len(sizes) == 1:
        facts.append(f"n = {sizes.pop()}" + (" windows" if task.kind == "text" else ""))
    floor = findings.floor(task)
    if floor is None and task.chance is not None:
        facts.append(f"chance {_level(task, task.chance)}")
    if floor is not None:
        facts.append(f"floor {_level(task, floor.score)} ({floor.answerer})")
    elif task.metric and task.higher_is_better:
        facts.append("floor not measured")
    if task.family == "summarization" and task.metric and ENTAILED not in task.metrics:
        facts.append("factuality not measured")
    return name(task.name, ", ".join(fact for fact in facts if fact))


def _level(task: TaskInfo, score: float) -> str:
    return f"{100 * score:.1f}" if text.is_share(task) else f"{score:g}"


def metric(task: TaskInfo) -> str:
    """Return the metric of a task with its unit and direction: `em, %` or `perplexity, lower is better`."""
    if not task.metric:
        return ""
    if task.kind == "text":
        return "perplexity, lower is better"
    unit = ", %" if text.is_share(task) else ""
    return f"{task.metric}{unit}" + ("" if task.higher_is_better else ", lower is better")


def _sizes(findings: Findings, task: TaskInfo, columns: Sequence[str]) -> set[int]:
    entries = [findings.entry(task, checkpoint) for checkpoint in columns]
    return {entry.score.n for entry in entries if entry.score}


def _score_field(findings: Findings, task: TaskInfo, checkpoint: str, columns: Sequence[str]) -> Field:
    entry = findings.entry(task, checkpoint)
    if entry.score is None:
        return plain(entry.problem or NOTHING)
    lines = [text.score(entry.score, task)]
    if len(_sizes(findings, task, columns)) > 1:
        lines.append(f"n = {entry.score.n}")
    if checkpoint != findings.reference:
        lines += [relative(entry, task), *above_floor(entry), *verdict(entry)]
    notes = (entry.no_knowledge, objection(entry), bits_per_byte(entry), factuality(entry))
    lines += [line for line in notes if line]
    return number(*lines, outcome=entry.outcome)


def curve_data(findings: Findings, group: Group) -> Table:
    """Return the numbers that the curve of a series draws."""
    header = (plain("task"), *(column(candidate) for candidate in group.candidates))
    rows = []
    for task in findings.tasks:
        fields = [_curve_field(findings, task, candidate) for candidate in group.candidates]
        rows.append((name(task.name), *fields))
    return Table(f"curve-{group.name}", f"The data of the curve of {group.name}", header, tuple(rows))


def _curve_field(findings: Findings, task: TaskInfo, candidate: str) -> Field:
    entry, diverged = findings.entry(task, candidate), findings.diverged(task, candidate)
    if entry.score is None:
        return plain(entry.problem or NOTHING)
    kl = [f"KL {text.divergence(diverged.kl)}"] if diverged else []
    kept = f"{relative(entry, task)} {mark(entry)}".rstrip()
    return number(kept, *kl, f"n = {entry.score.n}", outcome=entry.outcome)


def relative(entry: Entry, task: TaskInfo) -> str:
    """Return the recovery or the perplexity ratio, or why there is none."""
    if entry.comparison is None:
        return "not compared" if entry.problem else NOTHING
    if not entry.comparison.measurable:
        return "not measurable here"
    if entry.comparison.ratio is None:
        return "no recovery: the reference scores 0"
    kind = "recovery" if task.higher_is_better else "ratio"
    show = text.percent if task.higher_is_better else text.ratio
    return f"{kind} {show(entry.comparison.ratio)}"


def verdict(entry: Entry) -> list[str]:
    """Return the mark with the loss that it rests on, as one line; none if it was not judged or is not measurable."""
    if entry.check is None or (entry.comparison and not entry.comparison.measurable):
        return []
    return [f"{mark(entry)} {in_words(entry.check)}"]


def above_floor(entry: Entry) -> list[str]:
    """Return the recovery above the floor as a line; no line where there is none."""
    recovery = entry.comparison.recovery_above_floor if entry.comparison else None
    return [f"above the floor {text.percent(recovery)}"] if recovery else []


def objection(entry: Entry) -> str | None:
    """Return how many answers are empty, repeated or alike, if that forbids to call the score kept."""
    return entry.comparison.objection if entry.comparison else None


def bits_per_byte(entry: Entry) -> str | None:
    """Return the bits per byte of a text, for a candidate with the paired difference; None for other tasks."""
    bits = entry.comparison.bits_per_byte if entry.comparison else None
    if bits is not None:
        delta = bits.delta
        ends = ", ".join(f"{end:+.3f}" for end in (delta.low, delta.high))
        return f"bits per byte {bits.candidate.value:.3f}, {delta.value:+.3f} [{ends}]".replace(
            "-", text.MINUS
        )
    own = entry.cell.scores.get("bits_per_byte") if entry.cell else None
    return None if own is None else f"bits per byte {own:.3f}"


def factuality(entry: Entry) -> str | None:
    """Return the share of a summary's sentences that follow from the article, with the paired change in points."""
    both = entry.comparison.factuality if entry.comparison else None
    if both is None:
        return None
    return f"entailed {text.percent(both.candidate)}, {text.points(both.delta)}"
