"""Item by item: the paired difference of each candidate on a task, and the items that flipped."""

from kick import text
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import Findings
from kick.types import Comparison, TaskInfo


def changes(findings: Findings, task: TaskInfo) -> Table:
    """Return one row per candidate on a task: the paired difference, and the flips of right-or-wrong items."""
    entries = [(checkpoint, findings.entry(task, checkpoint)) for checkpoint in findings.checkpoints[1:]]
    flips = any(entry.comparison and entry.comparison.flips for _, entry in entries)
    header = [
        plain("candidate"),
        number("n"),
        number("delta" + (", points" if text.is_share(task) else "")),
        number("noise floor"),
        number("p", "(adjusted)"),
    ]
    if flips:
        header += [
            number("right in both"),
            number("right to wrong"),
            number("wrong to right"),
            number("wrong in both", "(with another answer)"),
            number("knowledge loss"),
        ]
    rows = []
    for checkpoint, entry in entries:
        if entry.comparison is None:
            # The reason is among the problems.
            why = "not compared" if entry.score else "not run"
            fields = [plain(NOTHING), plain(why), *[plain(NOTHING)] * (len(header) - 3)]
        else:
            fields = _change(entry.comparison, task) + (_flips(entry.comparison) if flips else [])
        rows.append((name(checkpoint), *fields))
    title = f"{task.name}: candidate against {findings.reference}"
    return Table(f"changes-{task.name}", title, tuple(header), tuple(rows), sortable=True, task=task.name)


def _change(comparison: Comparison, task: TaskInfo) -> list[Field]:
    return [
        number(str(comparison.n), sort=comparison.n),
        number(text.delta(comparison.delta, task), sort=comparison.delta.value),
        _noise_floor(comparison, task),
        number(
            text.p_value(comparison.p_value),
            *([f"({text.p_value(comparison.p_holm)})"] if comparison.p_holm is not None else []),
            sort=comparison.p_value,
        ),
    ]


def _flips(comparison: Comparison) -> list[Field]:
    flips, loss = comparison.flips, comparison.knowledge_loss
    if flips is None:
        return [plain(NOTHING)] * 5
    return [
        number(str(flips.both_right), sort=flips.both_right),
        number(str(flips.lost), sort=flips.lost),
        number(str(flips.gained), sort=flips.gained),
        number(f"{flips.both_wrong} ({flips.other_wrong})", sort=flips.both_wrong),
        number(f"{text.percent(loss)}, n = {loss.n}", sort=loss.value) if loss else plain("nothing known"),
    ]


def _noise_floor(comparison: Comparison, task: TaskInfo) -> Field:
    floor = comparison.noise_floor
    if floor is None:
        return number("not measured")
    flips = f"{floor.flips.lost + floor.flips.gained} flips of {floor.flips.n}" if floor.flips else ""
    return number(text.delta(floor.delta, task), *([flips] if flips else []))
