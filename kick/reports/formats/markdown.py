"""The report as one page of Markdown (GitHub's dialect), with its figures beside it."""

from collections.abc import Mapping

from kick.reports.figures.gallery import CAPTIONS, SIZES, curve_caption
from kick.reports.findings import Findings
from kick.reports.glossary import LEGEND, lead
from kick.reports.tables import divergence, losses, provenance, readouts, summary
from kick.reports.tables import scores as tables
from kick.reports.tables.cost import cost, running
from kick.reports.tables.problems import problems
from kick.reports.tables.scores import Field, Table
from kick.reports.text import markdown, markdown_code


def page(findings: Findings, figures: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        findings: what to report.
        figures: name, as `kick.reports.figures.gallery.draw` gives them, -> path, relative to the page and without its
            ending.
    """

    def picture(name: str, words: str = "") -> list[str]:
        words = (words or CAPTIONS[name]).removesuffix(".")
        return [f"![{markdown(words)}]({figures[name]}.png)"] if name in figures else []

    parts = [f"# What compression cost: {markdown(findings.suite)}", markdown(lead(findings), None)]
    parts += picture("overview")
    parts += section(summary.matching(findings), 2)
    parts += section(summary.warnings(findings), 2)
    parts += section(cost(findings), 2)
    if (taken := running(findings)).rows:
        parts += section(taken, 3)
    parts += [line for name in SIZES for line in picture(name)]
    parts += section(tables.checkpoints(findings), 2)
    parts += ["## Scores side by side", tables.SCORES_NOTE]
    for group in findings.groups:
        for scores in tables.scores(findings, group):
            parts += section(scores, 3)
        parts += picture(f"curve-{group.name}", curve_caption(findings, group))
    if side_by_side := readouts.readouts(findings):
        parts += ["## The same knowledge, read in several ways", readouts.NOTE]
        parts += [line for content in side_by_side for line in section(content, 3)]
    if diverged := divergence.divergences(findings):
        parts += [f"## {divergence.TITLE}", divergence.NOTE]
        parts += [line for content in diverged for line in section(content, 3)]
    parts.append("## Item by item: differences, flips, knowledge loss")
    parts += picture("flips")
    for task in findings.tasks:
        parts += section(tables.changes(findings, task), 3)
    if findings.losses:
        parts += ["## What was lost by category", losses.NOTE]
        for task in findings.tasks:
            if (table_of := losses.categories(findings, task)).rows:
                parts += section(table_of, 3)
    parts += section(problems(findings), 2)
    parts += ["## Provenance", f"Software: {markdown(provenance.versions(findings.cells()), None)}."]
    parts += section(provenance.checkpoints(findings), 3)
    parts += section(provenance.tasks(findings), 3)
    parts += ["## How to read this", "\n".join(f"- **{term.word}**: {term.meaning}" for term in LEGEND)]
    methods = [f"- {markdown(line, None)}" for line in provenance.interval_methods(findings)]
    parts += ["How the intervals were made:", "\n".join(methods)]
    return "\n\n".join(parts) + "\n"


def table(content: Table) -> str:
    """A table, numbers aligned to the right."""
    lines = [
        _row(content.header),
        "|" + "|".join(" ---: " if field.number else " --- " for field in content.header) + "|",
        *(_row(row) for row in content.rows),
    ]
    return "\n".join(lines)


def section(content: Table, level: int) -> list[str]:
    """A heading, the table and its note; of a table that does not apply, nothing."""
    parts = [f"{'#' * level} {markdown(content.title)}"] if content.title else []
    if content.rows:
        parts.append(table(content))
    return [*parts, markdown(content.note, None)] if content.note else parts


def _row(fields: tuple[Field, ...]) -> str:
    return "| " + " | ".join(_field(field) for field in fields) + " |"


def _field(field: Field) -> str:
    first, *rest = field.lines
    lines = [markdown_code(first) if field.name else markdown(first), *(markdown(line) for line in rest)]
    return "<br>".join(lines)
