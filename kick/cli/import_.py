"""`kick import`: runs of another tool become a results folder, which report, compare and gate read."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Source(StrEnum):
    """The sources of runs."""

    LM_EVAL = "lm-eval"


def import_(
    source: Annotated[Source, typer.Argument(help="The tool that made the runs.")],
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="One folder per model (--output_path), the reference first."),
    ],
    out: Annotated[Path, typer.Option(metavar="RESULTS", help="The new results folder.")],
    group_by: Annotated[
        str | None, typer.Option(help="The field of a document whose equal values make items dependent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Turn the output of `lm_eval --log_samples` into a results folder. The first DIR is the reference."""
    from kick.execution.lm_eval_import import import_lm_eval
    from kick.printable import printable

    imported = import_lm_eval(folders, out, group_by=group_by)
    for note in imported.notes:
        print(printable(note), file=sys.stderr)
    if as_json:
        document = {"results": str(out), "checkpoints": imported.checkpoints, "cells": imported.cells}
        print(json.dumps({**document, "notes": imported.notes}))
    else:
        names = ", ".join(imported.checkpoints)
        print(printable(f"{imported.cells} cells of {names} imported from {source.value} into {out}"))
