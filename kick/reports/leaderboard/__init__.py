"""The leaderboard: a static site over any number of results folders, in which every number can be checked.

`write` is the door. `board` decides who is ranked and who is refused, `tables` lays it out, `pages` makes the files,
and `site` puts them on the disk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kick.errors import InputError
from kick.store import Store
from kick.store.signatures import PublicKey

if TYPE_CHECKING:
    from kick.reports.leaderboard.records import Board


def write(stores: Sequence[Store], out: Path, keys: Sequence[PublicKey] = ()) -> "Board":
    """Write the site: `index.html`, one page and one badge per entry, JSON and CSV next to each page.

    Args:
        stores: The results folders. The first that scored a task sets the plan of that task for all.
        out: The folder of the site; made if missing. Pages of an earlier leaderboard there are replaced, and those of
            entries that are gone are removed; other files stay.
        keys: The keys that are trusted: a folder whose manifest one of them signed is shown as signed.

    Returns:
        The board that was written.

    Raises:
        InputError: Nothing can be on the board, a folder is given twice, or `out` holds files that kick did not write.
    """
    from kick.reports.leaderboard import pages
    from kick.reports.leaderboard.board import gather
    from kick.reports.leaderboard.site import Site

    site = Site(out)
    board = gather(stores, keys)
    if not board.entries:
        reasons = "; ".join(f"{one.who} of {one.folder}: {one.reason}" for one in board.refused[:3])
        raise InputError(
            f"nothing can be on the leaderboard: {reasons or 'the folders hold no compressed checkpoint'}."
        )
    site.replace(pages.site(board))
    return board
