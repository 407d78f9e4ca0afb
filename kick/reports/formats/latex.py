"""A document as LaTeX (booktabs): one file that pdflatex compiles; its tables can be lifted into a paper."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from kick.reports.blocks import (
    Block,
    Bullets,
    Document,
    Field,
    Figure,
    Paragraph,
    Row,
    Section,
    Table,
    Terms,
    applicable,
)
from kick.text import latex

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


def page(document: Document, figures: Mapping[str, str]) -> str:
    """Return the whole file.

    Args:
        document: What to write.
        figures: The path of each figure that was drawn, relative to the file and without its ending.
    """
    parts = [_PREAMBLE, rf"\section*{{{latex(document.title)}}}", latex(document.lead, None)]
    for content in applicable(document.sections, figures):
        parts += section(content, figures)
    return "\n\n".join([*parts, r"\end{document}"]) + "\n"


def section(content: Section, figures: Mapping[str, str]) -> Iterator[str]:
    """Yield the heading of a section and its blocks; nothing if it has no block that LaTeX can hold."""
    blocks = [line for block in content.blocks for line in _block(block, content.title, figures)]
    if not blocks:
        return
    if content.title:
        yield rf"\subsection*{{{latex(content.title)}}}"
    if content.intro:
        yield latex(content.intro, None)
    yield from blocks


def _block(block: Block, heading: str, figures: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Table():
            if block.rows:
                yield from _tables(block)
            else:
                yield latex(block.note if block.title == heading else f"{block.title}: {block.note}", None)
        case Figure():
            yield _figure(block.name, figures[block.name], block.caption)
        case Paragraph():
            yield latex(block.text, None)
        case Terms():
            words = (rf"\item[{latex(term.word)}] {latex(term.meaning, None)}" for term in block.terms)
            yield "\n".join([r"\begin{description}", *words, r"\end{description}"])
        case Bullets():
            lines = (rf"\item {latex(line, None)}" for line in block.lines)
            yield "\n".join([r"\begin{itemize}", *lines, r"\end{itemize}"])


def table(content: Table) -> str:
    """Return a table in booktabs style; a field of several lines becomes several rows; a wide table is shrunk."""
    columns = "".join("r" if field.number else "l" for field in content.header)
    rows: list[str] = []
    for row in content.rows:
        lines = _rows(row)
        rows += [*lines, r"\addlinespace"] if len(lines) > 1 else lines
    stop = "" if content.title.endswith("?") else "."
    caption = f"{latex(content.title, None)}{stop} {latex(content.note, None)}".rstrip()
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
    """Return the table in parts that fit a page."""
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


def _rows(fields: Row) -> list[str]:
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
    # A row ends in a double backslash, which would take a bracket or a star for its argument.
    return "{}" + text if text.startswith(("[", "*")) else text


def _label(text: str) -> str:
    return "".join(character if character.isalnum() and character.isascii() else "-" for character in text)
