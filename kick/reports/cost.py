"""Cost beside quality: what each checkpoint takes to keep, and what it keeps of each task family."""

from kick.reports import text
from kick.reports.findings import Findings
from kick.reports.sizes import Size, size
from kick.reports.tables import MARKS, NOTHING, Field, Table, column, mark, name, number, outcome, plain
from kick.types import Family, TaskInfo

NOTE = (
    "Stored: the weight files as they lie on the disk. Smallest: what a format made for the zeros or the bits could "
    "reach, marked * where no such file was made; the decoder's linears without their zeros under a mask of one bit a "
    "weight, or at their bits with a 16-bit scale a group, or as low-rank factors, all else as stored. Effective bits: "
    "8 × smallest / parameters. Memory while running, speed and energy are not measured. Recovery: of a family of "
    "several tasks, the ratio of the mean scores."
)


def cost(findings: Findings) -> Table:
    """A row a checkpoint: sizes, compression ratio, recovery on each family, rise of each perplexity.

    Without rows where no weights were measured.
    """
    sizes = {checkpoint: size(findings.records.get(checkpoint)) for checkpoint in findings.checkpoints}
    families = findings.families_of_tasks()
    texts = [task for task in findings.tasks if not task.higher_is_better]
    header = (
        plain("checkpoint"),
        number("stored"),
        number("smallest"),
        number("effective bits"),
        number("times smaller", "than the reference"),
        number("non-zero parameters"),
        *(number(family.replace("_", " "), "recovery") for family in families),
        *(column(task.name, "ratio to the reference") for task in texts),
    )
    reference = sizes[findings.reference]
    rows = tuple(
        (
            name(checkpoint),
            *_sizes(sizes[checkpoint], reference),
            *(_kept(findings, family, checkpoint) for family in families),
            *(_rise(findings, task, checkpoint) for task in texts),
        )
        for checkpoint in findings.checkpoints
    )
    measured = any(sizes.values())
    return Table(
        "cost", "Cost beside quality", header, rows if measured else (), NOTE if measured else "", True
    )


def _sizes(found: Size | None, reference: Size | None) -> list[Field]:
    if found is None:
        return [plain("not measured"), *[plain(NOTHING)] * 4]
    ratio = reference.smallest / found.smallest if reference and found.smallest else None
    return [
        number(text.bytes_(found.stored), sort=found.stored),
        number(text.bytes_(found.smallest) + (" *" if found.ideal else ""), sort=found.smallest),
        number(f"{found.bits:.2f}", sort=found.bits),
        number(NOTHING) if ratio is None else number(f"{text.TIMES}{ratio:.2f}", sort=ratio),
        number(text.size(found.nonzero), sort=found.nonzero),
    ]


def _kept(findings: Findings, family: Family, checkpoint: str) -> Field:
    if checkpoint == findings.reference:
        return number("100 %", sort=1.0)
    kept = findings.kept(family, checkpoint)
    if kept is None or kept.ratio is None:
        return plain(NOTHING)
    shown = kept.matching.outcome if kept.matching else None
    return number(
        f"{text.percent(kept.ratio)} {MARKS[shown] if shown else ''}".rstrip(),
        f"n = {kept.n}",
        sort=kept.ratio.value,
        outcome=shown,
    )


def _rise(findings: Findings, task: TaskInfo, checkpoint: str) -> Field:
    if checkpoint == findings.reference:
        return number(f"{text.TIMES}1", sort=1.0)
    comparison = findings.entry(task, checkpoint).comparison
    if comparison is None or comparison.ratio is None:
        return plain(NOTHING)
    return number(
        f"{text.ratio(comparison.ratio)} {mark(comparison)}".rstrip(),
        f"n = {comparison.n}",
        sort=comparison.ratio.value,
        outcome=outcome(comparison),
    )
