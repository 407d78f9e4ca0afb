"""`kick data`: a local mirror of a suite's data, for machines without a network."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def data(
    action: Annotated[
        Literal["pull", "check"],
        typer.Argument(help="pull: fetch what the mirror lacks; check: prove it complete and unchanged."),
    ],
    suite: Annotated[str, typer.Argument(help="A suite file, or the name of a packaged suite.")],
    data_root: Annotated[Path, typer.Option(envvar="KICK_DATA_ROOT", help="The folder of the mirror.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Fill a mirror of the data that a suite needs, at the pinned commits, or check one.

    Exit code 0 if the mirror is complete and every file is the one that was published; 1 if a file is missing, changed
    or from another commit; 3 if the origin of a file is unknown.
    """
    from kick.errors import InputError
    from kick.suite import Suite

    if action == "check" and not data_root.is_dir():
        raise InputError(f"--data-root: {data_root} is not a folder. `kick data pull` makes one.")
    if data_root.exists() and not data_root.is_dir():
        raise InputError(f"--data-root: {data_root} is a file. Give a folder.")
    read = Suite.read(suite)

    from kick.data import mirror
    from kick.execution.data_sets import needs

    needed = needs(read)
    if action == "pull":
        states = mirror.pull(needed, data_root, lambda line: print(line, file=sys.stderr))
    else:
        states = mirror.check(needed, data_root)
    wrong = [state for state in states if state.state not in mirror.GOOD]
    if as_json:
        print(json.dumps([state.model_dump(mode="json") for state in states]))
    else:
        for state in states:
            print(f"{state.file}: {state.state}: {state.detail}")
        print(f"{len(states) - len(wrong)} of {len(states)} files are as published")
    if wrong:
        raise typer.Exit(3 if all(state.state == "unknown" for state in wrong) else 1)
