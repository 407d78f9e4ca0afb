"""The readouts of the same knowledge side by side: was a format lost, or the knowledge that it asks for?"""

from kick import text
from kick.comparison.readouts import LEFT_OUT, READOUTS, Readout
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import Findings
from kick.reports.tables.scores import above_floor, objection, relative, verdict
from kick.types import TaskInfo

TITLE = "The same knowledge, read in several ways"
NOTE = (
    "The same items, read in several ways; a column says if some are left out. A checkpoint that falls in one and not "
    "in the others has lost a format; one that falls in all of them has lost the knowledge. Scores can be compared "
    "down a column and with the chance line, not across columns. Named: items whose question holds their answer, "
    "which an echo of the question gets right; the first line of a field includes them, and the lines below give both "
    "kinds apart."
)


def readouts(findings: Findings) -> list[Table]:
    """Return one table per subject that was read in several ways: checkpoints as rows, ways as columns."""
    tables = []
    for subject, ways in READOUTS.items():
        read = {(each.way, each.checkpoint): each for each in findings.readouts if each.subject == subject}
        columns = [way for way in ways if any(at == way for at, _ in read)]
        if columns:
            tasks = {task.name: task for task in findings.tasks}
            tables.append(_table(findings, subject, {way: tasks[ways[way]] for way in columns}, read))
    return tables


def _table(
    findings: Findings,
    subject: str,
    tasks: dict[str, TaskInfo],
    read: dict[tuple[str, str], Readout],
) -> Table:
    header = (
        plain("checkpoint"),
        *(
            number(way, f"{task.name}: {task.metric}, %", *filter(None, [LEFT_OUT.get(task.name)]))
            for way, task in tasks.items()
        ),
    )
    rows = [
        (
            name(checkpoint),
            *(_field(findings, checkpoint, task, read.get((way, checkpoint))) for way, task in tasks.items()),
        )
        for checkpoint in findings.checkpoints
    ]
    chance = tuple(
        plain("none: any answer") if task.chance is None else number(f"{100 * task.chance:.1f}")
        for task in tasks.values()
    )
    rows.append((plain("chance"), *chance))
    return Table(f"readouts-{subject.lower()}", f"{subject}, read in {len(tasks)} ways", header, tuple(rows))


def _field(findings: Findings, checkpoint: str, task: TaskInfo, readout: Readout | None) -> Field:
    entry = findings.entry(task, checkpoint)
    if readout is None:
        return plain(entry.problem or NOTHING)
    lines = [f"{text.score(readout.score, task)}, n = {readout.score.n}"]
    if checkpoint != findings.reference:
        lines += [relative(entry, task), *above_floor(entry), *verdict(entry)]
    lines += [line for line in (entry.no_knowledge, objection(entry)) if line]
    if readout.format_failures:
        lines.append(f"no letter: {text.score(readout.format_failures, task)}")
    if readout.named and readout.others:
        lines.append(f"named: {text.score(readout.named, task)}, n = {readout.named.n}")
        lines.append(f"others: {text.score(readout.others, task)}, n = {readout.others.n}")
    return number(*lines, sort=readout.score.value, outcome=entry.outcome)
