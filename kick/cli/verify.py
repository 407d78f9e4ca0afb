"""`kick verify`: every stored cell's checksum and key."""

import json
from pathlib import Path
from typing import Annotated

import typer


def verify(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check that the results are what was written: checksums, keys, item counts. Exit code 1 if not."""
    from kick.store import Store

    store = Store(results)
    problems = store.verify()
    cells = len(store.cells()) if not problems else None
    if as_json:
        print(json.dumps({"results": str(results), "cells": cells, "problems": problems}))
    else:
        print("\n".join(problems) if problems else f"{cells} cells are what was written")
    if problems:
        raise typer.Exit(1)
