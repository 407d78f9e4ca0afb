"""The leaderboard: a static site over any number of results folders, in which every number can be checked.

`write` is the door. `board` decides who is ranked and who is refused, `tables` lays it out, `pages` makes the files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kick.errors import InputError
from kick.store import Store

if TYPE_CHECKING:
    from kick.reports.leaderboard.records import Board

_FOLDERS = ("checkpoints", "badges")  # of the site; they hold its files alone


def write(stores: Sequence[Store], out: Path) -> "Board":
    """Write the site: `index.html`, a page and a badge an entry, JSON and CSV beside each page.

    Args:
        stores: the results folders. The first that scored a task sets the plan of that task for all.
        out: the folder of the site; made if missing. Pages of an earlier leaderboard there are replaced, and those of
            entries that are gone are removed; other files stay.

    Returns:
        The board that was written.

    Raises:
        InputError: nothing can be on the board, a folder is given twice, or `out` is no place for the site.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder for the site.")

    from kick.reports.leaderboard import pages
    from kick.reports.leaderboard.board import gather

    index = out / "index.html"
    if index.exists() and pages.MARK not in index.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"{index} is a page of another site. Give a folder of its own for the leaderboard.")
    board = gather(stores)
    if not board.entries:
        reasons = "; ".join(f"{one.who} of {one.folder}: {one.reason}" for one in board.refused[:3])
        raise InputError(
            f"nothing can be on the leaderboard: {reasons or 'the folders hold no compressed checkpoint'}."
        )
    files = pages.site(board)
    for name in _FOLDERS:
        (out / name).mkdir(parents=True, exist_ok=True)
        for path in (out / name).iterdir():
            if f"{name}/{path.name}" not in files:
                path.unlink()
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8")
    return board
