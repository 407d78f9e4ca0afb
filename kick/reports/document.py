"""The sections of a report, written once: every format renders this list.

A new section is a function here and its place in `SECTIONS`.
"""

from collections.abc import Callable

from kick import text
from kick.reports.blocks import (
    Block,
    Bullets,
    Document,
    Figure,
    ItemExplorer,
    Paragraph,
    Section,
    Table,
    Terms,
)
from kick.reports.figures.gallery import CAPTIONS, SIZES, curve_caption
from kick.reports.findings import Findings
from kick.reports.glossary import REPORT
from kick.reports.tables import (
    calibration,
    changes,
    checkpoints,
    cost,
    divergence,
    losses,
    problems,
    provenance,
    readouts,
    scores,
    summary,
    verdicts,
)


def document(findings: Findings) -> Document:
    """Return the report of a results folder, as records that every format renders."""
    return Document(
        title=f"What compression cost: {text.one_line(findings.suite, 200)}",
        lead=lead(findings),
        sections=tuple(section(findings) for section in SECTIONS),
    )


def lead(findings: Findings) -> str:
    """Return the sentence that opens a report: what was compared with what, and on how much."""
    scored = [task for task in findings.tasks if task.kind != "text"]
    sizes = {cell.items for cell in findings.cells() if cell.task.kind != "text"}
    parts = [text.count(len(scored), "task")] if scored else []
    if parts and sizes:
        parts[0] += f" of {text.number_range(sizes)} items"
    if len(scored) < len(findings.tasks):
        parts.append("perplexity")
    return (
        f"{text.count(len(findings.checkpoints) - 1, 'compressed checkpoint')} compared with the reference "
        f"{text.one_line(findings.reference, 200)}, item by item, on {' and '.join(parts)}."
    )


def overview(findings: Findings) -> Section:
    """Return the heat map of everything that each checkpoint keeps."""
    where = "The numbers are in the tables of scores."
    return Section(
        key="glance",
        title="",
        blocks=(Figure("overview", CAPTIONS["overview"], where, shades=True),),
        link="At a glance",
    )


def judged(findings: Findings) -> Section:
    """Return the verdict on each candidate."""
    return _of_table("verdicts", verdicts.verdicts(findings), link="Verdicts")


def matching(findings: Findings) -> Section:
    """Return how far each series can be compressed."""
    return _of_table("matching", summary.matching(findings), link="How far")


def warnings(findings: Findings) -> Section:
    """Return whether perplexity announced what the tasks lost."""
    return _of_table("warnings", summary.warnings(findings), link="Perplexity")


def costs(findings: Findings) -> Section:
    """Return the sizes and the running costs beside what is kept."""
    where = "The numbers are in the table of costs."
    figures = (Figure(name, CAPTIONS[name], where) for name in SIZES)
    return Section(
        key="cost",
        title=cost.TITLE,
        blocks=(cost.cost(findings), cost.running(findings), *figures),
        link="Cost",
    )


def measured(findings: Findings) -> Section:
    """Return the checkpoints and what was measured on their weights."""
    return _of_table("checkpoints", checkpoints.checkpoints(findings))


def side_by_side(findings: Findings) -> Section:
    """Return the scores of every group of checkpoints, with the curve of every series."""
    blocks: list[Block] = []
    for group in findings.groups:
        blocks += scores.scores(findings, group)
        caption, data = curve_caption(findings, group), scores.curve_data(findings, group)
        blocks.append(Figure(f"curve-{group.name}", caption, "The numbers follow.", data))
    return Section("scores", "Scores side by side", scores.SCORES_NOTE, tuple(blocks), "Scores")


def read_in_several_ways(findings: Findings) -> Section:
    """Return the readouts of the same knowledge."""
    tables = tuple(readouts.readouts(findings))
    return Section("readouts", readouts.TITLE, readouts.NOTE, tables, "Readouts")


def calibrated(findings: Findings) -> Section:
    """Return how far the probabilities of choices can be trusted."""
    table = calibration.calibration(findings)
    return Section("calibration", table.title, calibration.NOTE, (table,), "Calibration")


def diverged(findings: Findings) -> Section:
    """Return how far distributions are from the reference's."""
    tables = tuple(divergence.divergences(findings))
    return Section("divergence", divergence.TITLE, divergence.NOTE, tables, "Divergence")


def item_by_item(findings: Findings) -> Section:
    """Return paired differences, flips and knowledge loss on each task."""
    figure = Figure("flips", CAPTIONS["flips"], "The numbers are in the tables below.")
    tables = (changes.changes(findings, task) for task in findings.tasks)
    title = "Item by item: differences, flips, knowledge loss"
    return Section("items", title, blocks=(figure, *tables), link="Item by item")


def by_category(findings: Findings) -> Section:
    """Return the categories that were hit hardest on each task."""
    tables = (losses.categories(findings, task) for task in findings.tasks)
    return Section("categories", losses.TITLE, losses.NOTE, tuple(tables), "Categories")


def explorer(findings: Findings) -> Section:
    """Return the place of the item explorer, which web pages have."""
    note = (
        "The items whose answer changed, with both responses. What models wrote is shown as text, never run."
    )
    return Section("explorer", "Item explorer", note, (ItemExplorer(),))


def left_out(findings: Findings) -> Section:
    """Return what was skipped, not run or not compared."""
    return _of_table("problems", problems.problems(findings), link="Left out")


def origins(findings: Findings) -> Section:
    """Return where the numbers come from."""
    software = f"Software: {text.one_line(provenance.versions(findings.cells()), 600)}."
    tables = (provenance.checkpoints(findings), provenance.tasks(findings))
    return Section("provenance", "Provenance", blocks=(Paragraph(software), *tables))


def legend(findings: Findings) -> Section:
    """Return the words of the report and how its intervals were made."""
    blocks: list[Block] = [Terms(REPORT)]
    if methods := provenance.interval_methods(findings):
        blocks += [Paragraph("How the intervals were made:"), Bullets(tuple(methods))]
    return Section("legend", "How to read this", blocks=tuple(blocks))


def _of_table(key: str, table: Table, link: str = "") -> Section:
    """Return a section that is one table."""
    return Section(key, table.title, blocks=(table,), link=link)


# The order of the report.
SECTIONS: tuple[Callable[[Findings], Section], ...] = (
    judged,
    overview,
    matching,
    warnings,
    costs,
    measured,
    side_by_side,
    read_in_several_ways,
    calibrated,
    diverged,
    item_by_item,
    by_category,
    explorer,
    left_out,
    origins,
    legend,
)
