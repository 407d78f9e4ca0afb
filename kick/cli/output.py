"""The printing of tables: their console and its width."""

import os

from rich.console import Console
from rich.markup import escape

from kick.printable import printable

# The width of a log or a pipe, where rich would fold a table into 80 columns.
WIDTH = 160


def table_console() -> Console:
    """Return standard output: as wide as the terminal or as COLUMNS says, and `WIDTH` for a pipe without either."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=WIDTH)


def plain_text(value: object) -> str:
    """Return a value as text that rich and the terminal print as it is: neither markup nor control characters act."""
    return escape(printable("" if value is None else str(value)))
