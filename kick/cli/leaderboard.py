"""`kick leaderboard`: a static site over results folders."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    results: Annotated[
        list[Path], typer.Argument(help="Results folders; the first sets the plan of a task.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the site.")],
    signed_by: Annotated[
        list[str] | None,
        typer.Option(
            help="A public key of minisign (a file or the key itself): results folders whose manifest it signed are "
            "shown as signed. May be given several times.",
            metavar="KEY",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Write a leaderboard: ranks with their uncertainty, one page and one badge per checkpoint, JSON and CSV."""
    from kick.reports.leaderboard import write
    from kick.store import Store
    from kick.store.signatures import read_public_key
    from kick.text import one_line

    keys = [read_public_key(key) for key in signed_by or ()]
    board = write([Store(folder) for folder in results], out, keys)
    for one in board.refused:
        print(one_line(f"refused: {one.who} of {one.folder}: {one.reason}"), file=sys.stderr)
    if as_json:
        counts = {
            "ranked": len(board.ranked),
            "incomplete": len(board.incomplete),
            "refused": [one.model_dump() for one in board.refused],
        }
        print(json.dumps({"page": str(out / "index.html"), **counts}))
    else:
        print(
            f"{out / 'index.html'}: {len(board.ranked)} ranked, {len(board.incomplete)} incomplete, "
            f"{board.refusals} refused"
        )
