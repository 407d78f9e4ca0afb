"""A document as one page of Markdown (GitHub's dialect), with its figures beside it."""

from collections.abc import Iterator, Mapping

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
from kick.text import markdown, markdown_code


def page(document: Document, figures: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        document: What to write.
        figures: The path of each figure that was drawn, relative to the page and without its ending.
    """
    parts = [f"# {markdown(document.title)}", markdown(document.lead, None)]
    for content in applicable(document.sections, figures):
        parts += section(content, figures)
    return "\n\n".join(parts) + "\n"


def section(content: Section, figures: Mapping[str, str]) -> Iterator[str]:
    """Yield the heading of a section and its blocks; nothing if it has no block that Markdown can hold."""
    blocks = [line for block in content.blocks for line in _block(block, content.title, figures)]
    if not blocks:
        return
    if content.title:
        yield f"## {markdown(content.title)}"
    if content.intro:
        yield markdown(content.intro, None)
    yield from blocks


def table(content: Table) -> str:
    """Return a table, numbers aligned to the right."""
    lines = [
        _row(content.header),
        "|" + "|".join(" ---: " if field.number else " --- " for field in content.header) + "|",
        *(_row(row) for row in content.rows),
    ]
    return "\n".join(lines)


def _block(block: Block, heading: str, figures: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Table():
            if block.title != heading:
                yield f"### {markdown(block.title)}"
            if block.rows:
                yield table(block)
            if block.note:
                yield markdown(block.note, None)
        case Figure():
            yield f"![{markdown(block.caption.removesuffix('.'))}]({figures[block.name]}.png)"
        case Paragraph():
            yield markdown(block.text, None)
        case Terms():
            yield "\n".join(f"- **{term.word}**: {markdown(term.meaning, None)}" for term in block.terms)
        case Bullets():
            yield "\n".join(f"- {markdown(line, None)}" for line in block.lines)


def _row(fields: Row) -> str:
    return "| " + " | ".join(_field(field) for field in fields) + " |"


def _field(field: Field) -> str:
    first, *rest = field.lines
    lines = [markdown_code(first) if field.name else markdown(first), *(markdown(line) for line in rest)]
    return "<br>".join(lines)
