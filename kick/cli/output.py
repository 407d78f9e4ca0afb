"""Where tables are printed."""

from rich.console import Console

WIDTH = 160  # of a log or a pipe, where rich would fold a table into 80 columns


def table_console() -> Console:
    """Standard output; as wide as the terminal, or `WIDTH` where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)
