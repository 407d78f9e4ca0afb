"""Everything that was skipped, not run or not compared, each with its reason."""

import re
from collections.abc import Iterable
from itertools import zip_longest

from kick import text
from kick.reports.blocks import Table, name, plain
from kick.reports.findings import Entry, Findings

# Whole numbers on their own, not part of a name, a version or a fraction.
_NUMBER = re.compile(r"(?<![\w.,/-])(?:0|[1-9]\d{0,14})(?!\w|[.,/-]\w)")


def problems(findings: Findings) -> Table:
    """Return one row per task and reason; checkpoints with the same reason share a row."""
    rows = []
    for task in findings.tasks:
        by_reason: dict[str, list[str]] = {}
        for checkpoint in findings.checkpoints:
            for reason in _reasons(findings.entry(task, checkpoint)):
                by_reason.setdefault(reason, []).append(checkpoint)
        rows += [
            (name(task.name), plain(", ".join(checkpoints)), plain(reason))
            for reason, checkpoints in by_reason.items()
        ]
    header = (plain("task"), plain("checkpoint"), plain("what happened"))
    note = "" if rows else "Nothing: every checkpoint was scored on every item of every task."
    return Table("problems", "Skipped, not run, not compared", header, tuple(rows), note, sortable=True)


def _reasons(entry: Entry) -> list[str]:
    reasons = [entry.problem] if entry.problem else []
    if entry.cell:
        reasons += _skipped(item.reason for item in entry.cell.skipped)
        reasons += entry.cell.notes
        if entry.cell.not_diverged:
            reasons.append(f"divergence not measured: {entry.cell.not_diverged}")
    if entry.comparison:
        reasons += [f"compared, although: {caveat}" for caveat in entry.comparison.caveats]
    return reasons


def _skipped(reasons: Iterable[str]) -> list[str]:
    """Return how many items were skipped, by reason: `1 item skipped: it is empty`.

    Reasons that differ in a number only are one, with the range of that number: `2 items skipped: needs 2,101 to 3,077
    tokens, the model's window is 2,048`.
    """
    kinds: dict[tuple[str, ...], list[list[int]]] = {}
    for reason in reasons:
        words = tuple(_NUMBER.split(reason))
        kinds.setdefault(words, []).append([int(digits) for digits in _NUMBER.findall(reason)])
    lines = []
    for words, numbers in kinds.items():
        ranges = [text.number_range(column) for column in zip(*numbers, strict=True)]
        reason = "".join(part for pair in zip_longest(words, ranges, fillvalue="") for part in pair)
        lines.append(f"{text.count(len(numbers), 'item')} skipped: {reason}")
    return lines
