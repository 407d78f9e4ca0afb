"""The report as one page of Markdown (GitHub's dialect), with its figures beside it."""

from collections.abc import Mapping

from kick.reports import provenance, summary, tables
from kick.reports.findings import Findings
from kick.reports.legend import LEGEND, lead
from kick.reports.tables import Field, Table
from kick.reports.text import markdown, markdown_code


def page(findings: Findings, figures: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        findings: what to report.
        figures: `overview` and `curve-<series>` -> path, relative to the page and without its ending.
    """
    parts = [f"# What compression cost: {markdown(findings.suite)}", markdown(lead(findings), None)]
    if overview := figures.get("overview"):
        parts.append(f"![What each checkpoint keeps of each task]({overview}.png)")
    parts += _section(summary.matching(findings), 2)
    parts += _section(summary.warnings(findings), 2)
    parts += _section(tables.checkpoints(findings), 2)
    parts += ["## Scores side by side", tables.SCORES_NOTE]
    for group in findings.groups:
        for scores in tables.scores(findings, group):
            parts += _section(scores, 3)
        if path := figures.get(f"curve-{group.name}"):
            parts.append(f"![Curves of {markdown(group.name)}: recovery and perplexity]({path}.png)")
    parts.append("## Item by item: differences, flips, knowledge loss")
    for task in findings.tasks:
        parts += _section(tables.changes(findings, task), 3)
    parts += _section(tables.problems(findings), 2)
    parts += ["## Provenance", f"Software: {markdown(provenance.versions(findings.cells()), None)}."]
    parts += _section(provenance.checkpoints(findings), 3)
    parts += _section(provenance.tasks(findings), 3)
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


def _section(content: Table, level: int) -> list[str]:
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
