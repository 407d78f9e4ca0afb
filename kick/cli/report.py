"""`kick report`: tables and curves of a results folder."""

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    formats: Annotated[
        str, typer.Option("--format", help="md, html, latex, csv, parquet, model-card; several as md,csv.")
    ] = "md",
    out: Annotated[Path | None, typer.Option(help="Where to write. Default: RESULTS/report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Write the report: scores side by side, degradation curves, flips, provenance."""
    from kick.reports import write
    from kick.store import Store

    folder = out or results / "report"
    paths = write(Store(results), folder, [name.strip() for name in formats.split(",") if name.strip()])
    if as_json:
        print(json.dumps({"results": str(results), "files": [str(path) for path in paths]}))
    else:
        print("\n".join(str(path) for path in paths))
