"""The report as LaTeX (booktabs): one file that pdflatex compiles; its tables can be lifted into a paper."""

from collections.abc import Mapping
from dataclasses import replace

from kick.reports.figures.gallery import CAPTIONS, SIZES, curve_caption
from kick.reports.findings import Findings
from kick.reports.glossary import LEGEND, lead
from kick.reports.tables import divergence, losses, provenance, readouts, summary
from kick.reports.tables import scores as tables
from kick.reports.tables.cost import cost, running
from kick.reports.tables.problems import problems
from kick.reports.tables.scores import Field, Table
from kick.reports.text import latex

MAX_ROWS = 24  # of a table on one page

_PREAMBLE = r"""% The tables need amssymb, booktabs, float, graphicx and textcomp.
\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp,amssymb,booktabs,float,graphicx}
\usepackage[margin=15mm,landscape]{geometry}
\setlength{\parindent}{0pt}
\setlength{\belowcaptionskip}{4pt}
\begin{document}"""


def page(findings: Findings, figures: Mapping[str, str]) -> str:
    """The whole document.

    Args:
        findings: what to report.
        figures: name, as `kick.reports.figures.gallery.draw` gives them, -> path, relative to the document, without its
            ending.
    """

    def picture(name: str, words: str = "") -> list[str]:
        return [_figure(name, figures[name], words or CAPTIONS[name])] if name in figures else []

    parts = [_PREAMBLE, rf"\section*{{What compression cost: {latex(findings.suite)}}}"]
    parts.append(latex(lead(findings), None))
    parts += picture("overview")
    for content in (
        summary.matching(findings),
        summary.warnings(findings),
        cost(findings),
        running(findings),
    ):
        parts += _tables(content)
    parts += [line for name in SIZES for line in picture(name)]
    parts += _tables(tables.checkpoints(findings))
    parts.append(latex(tables.SCORES_NOTE, None))
    for group in findings.groups:
        for scores in tables.scores(findings, group):
            parts += _tables(scores)
        parts += picture(f"curve-{group.name}", curve_caption(findings, group))
    if side_by_side := readouts.readouts(findings):
        parts.append(latex(readouts.NOTE, None))
        parts += [line for content in side_by_side for line in _tables(content)]
    if diverged := divergence.divergences(findings):
        parts.append(latex(divergence.NOTE, None))
        parts += [line for content in diverged for line in _tables(content)]
    parts += picture("flips")
    for task in findings.tasks:
        parts += _tables(tables.changes(findings, task))
    if findings.losses:
        parts.append(latex(losses.NOTE, None))
    for task in findings.tasks:
        parts += _tables(losses.categories(findings, task))
    for content in (problems(findings), provenance.checkpoints(findings), provenance.tasks(findings)):
        parts += _tables(content)
    parts.append(f"Software: {latex(provenance.versions(findings.cells()), None)}.")
    words = [rf"\item[{term.word}] {latex(term.meaning, None)}" for term in LEGEND]
    words += [rf"\item[How made] {latex(line, None)}" for line in provenance.interval_methods(findings)]
    parts.append("\n".join([r"\begin{description}", *words, r"\end{description}"]))
    return "\n\n".join([*parts, r"\end{document}"]) + "\n"


def table(content: Table) -> str:
    """A table in booktabs style; a field of several lines becomes several rows; a wide table is shrunk."""
    columns = "".join("r" if field.number else "l" for field in content.header)
    rows: list[str] = []
    for row in content.rows:
        lines = _rows(row)
        rows += [*lines, r"\addlinespace"] if len(lines) > 1 else lines
    caption = f"{latex(content.title, None)}. {latex(content.note, None)}".rstrip()
    return "\n".join(
        [
            r"\begin{table}[H]\centering\small",
            rf"\caption{{{caption}}}\label{{tab:{_label(content.label)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *_rows(content.header),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _tables(content: Table) -> list[str]:
    """The table in parts that fit a page; without rows, its note; of a table that does not apply, nothing."""
    if not content.rows:
        return [f"{latex(content.title, None)}: {latex(content.note, None)}"] if content.note else []
    starts = range(0, len(content.rows), MAX_ROWS)
    parts = [replace(content, rows=content.rows[start : start + MAX_ROWS]) for start in starts]
    return [
        table(
            replace(part, title=f"{part.title} (continued)", label=f"{part.label}-{index}") if index else part
        )
        for index, part in enumerate(parts)
    ]


def _figure(name: str, path: str, caption: str) -> str:
    return "\n".join(
        [
            r"\begin{figure}[H]\centering",
            rf"\includegraphics[width=.7\linewidth,height=.8\textheight,keepaspectratio]{{{path}.pdf}}",
            rf"\caption{{{latex(caption)}}}",
            rf"\label{{fig:{_label(name)}}}",
            r"\end{figure}",
        ]
    )


def _rows(fields: tuple[Field, ...]) -> list[str]:
    height = max(len(field.lines) for field in fields)
    return [" & ".join(_line(field, index) for field in fields) + r" \\" for index in range(height)]


def _line(field: Field, index: int) -> str:
    if index >= len(field.lines):
        return ""
    text = latex(field.lines[index])
    if field.name and index == 0:
        return rf"\texttt{{{text}}}"
    if index > 0:
        return rf"\footnotesize {text}"
    return "{}" + text if text.startswith(("[", "*")) else text  # else \\ takes it for its argument


def _label(text: str) -> str:
    return "".join(character if character.isalnum() and character.isascii() else "-" for character in text)
