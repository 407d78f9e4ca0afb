"""The parts of a document, whatever its format: sections with paragraphs, tables, figures and terms.

Nothing here is escaped: names and messages are still data. Each format in `kick.reports.formats` renders these
records in its own way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kick.types import Outcome

NOTHING = "–"


@dataclass(frozen=True)
class Field:
    """The content of one cell of a table.

    Attributes:
        lines: Lines of text.
        name: Whether the first line is a name, which is set in a typewriter face.
        number: Whether the field is aligned to the right.
        sort: The value that a sortable table goes by; None: the text.
        outcome: The outcome of what the field shows, for formats that can colour it.
    """

    lines: tuple[str, ...]
    name: bool = False
    number: bool = False
    sort: float | None = None
    outcome: Outcome | None = None


Row = tuple[Field, ...]


class Link(NamedTuple):
    """The address that the name of a row leads to, and the facts that a form filters rows by."""

    address: str
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        label: The name of its anchor.
        title: What it shows.
        header: The heads of the columns.
        rows: Rows of as many fields as the header has.
        note: How to read it.
        sortable: Whether every column holds values of one kind.
        task: The task whose items the rows count, one candidate per row; an item explorer links to them.
        links: One link per row, for pages that have them.
    """

    label: str
    title: str
    header: Row
    rows: tuple[Row, ...]
    note: str = ""
    sortable: bool = False
    task: str = ""
    links: tuple[Link, ...] = ()

    @property
    def empty(self) -> bool:
        """True if the table does not apply: it has neither rows nor a note that says why."""
        return not self.rows and not self.note


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: Its key in `kick.reports.figures.gallery.draw`.
        caption: What it shows, as a sentence.
        where: A sentence that says where its numbers are, for readers who cannot see it.
        data: Its numbers, for formats that can fold them away.
        shades: Whether it shows a scale of shades, which a dark page must not invert.
    """

    name: str
    caption: str
    where: str = ""
    data: Table | None = None
    shades: bool = False


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str


class Term(NamedTuple):
    """A word and its meaning."""

    word: str
    meaning: str


@dataclass(frozen=True)
class Terms:
    """A list of words and their meanings."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class ItemExplorer:
    """The place of the item explorer, in a format that has one."""


Block = Table | Figure | Paragraph | Terms | Bullets | ItemExplorer


@dataclass(frozen=True)
class Section:
    """A section of a document.

    Attributes:
        key: The name of its anchor.
        title: Its heading; empty: none.
        intro: How to read what follows.
        blocks: Its content, in order. A table with the title of its section needs no heading of its own.
        link: Its entry in a table of contents; empty: the title.
    """

    key: str
    title: str
    intro: str = ""
    blocks: tuple[Block, ...] = field(default=())
    link: str = ""


@dataclass(frozen=True)
class Document:
    """A document: its title, the sentence that opens it, and its sections in order."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def applicable(sections: Sequence[Section], figures: Mapping[str, object]) -> Iterator[Section]:
    """Yield the sections that have content, without the tables that do not apply and the figures that were not drawn.

    Args:
        sections: All sections of a document.
        figures: The figures that were drawn, by name.
    """
    for section in sections:
        blocks = tuple(
            block
            for block in section.blocks
            if not (isinstance(block, Table) and block.empty)
            and not (isinstance(block, Figure) and block.name not in figures)
        )
        if blocks:
            yield Section(section.key, section.title, section.intro, blocks, section.link)


def plain(*lines: str) -> Field:
    """Return a field of text."""
    return Field(lines)


def number(*lines: str, sort: float | None = None, outcome: Outcome | None = None) -> Field:
    """Return a field that is aligned to the right."""
    return Field(lines, number=True, sort=sort, outcome=outcome)


def name(title: str, *lines: str) -> Field:
    """Return a field that opens with a name."""
    return Field((title, *lines), name=True)


def column(title: str, *lines: str) -> Field:
    """Return the head of a column of numbers that is named for a checkpoint or a task."""
    return Field((title, *lines), name=True, number=True)
