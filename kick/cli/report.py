"""`kick report`: tables and curves of a results folder."""

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[Path], typer.Argument(help="A results folder, or several for one report over all.")
    ],
    formats: Annotated[
        str, typer.Option("--format", help="md, html, latex, csv, parquet, model-card; several: md,csv.")
    ] = "md",
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write to. Default: RESULTS/report; required for several folders."),
    ] = None,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff", help="Write what changed between two folders, OLD and NEW, for a release note."
        ),
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Draw published values of the same methods over the curves.")
    ] = False,
    policy: Annotated[
        str, typer.Option(help="The policy of the verdicts: a file, or the name of a packaged one.")
    ] = "regression",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Write the report: verdicts, scores side by side, degradation curves, flips, provenance."""
    from kick.errors import InputError
    from kick.reports import write, write_diff
    from kick.store import Store

    if out is None and len(results) > 1:
        raise InputError("several results folders are given. Name the folder of their report with --out.")
    stores = [Store(path) for path in results]
    folder = out or results[0] / "report"
    if out is None and folder.is_symlink():
        raise InputError(
            f"{folder} is a link to {folder.readlink()}. Name the folder of the report with --out."
        )
    requested = [name.strip() for name in formats.split(",") if name.strip()]
    if diff:
        if len(stores) != 2:
            raise InputError(f"--diff compares two results folders, OLD and NEW; {len(stores)} given.")
        paths = write_diff(stores[0], stores[1], folder, requested, policy=policy)
    else:
        paths = write(stores, folder, requested, published=published, policy=policy)
    if as_json:
        given = [str(path) for path in results]
        print(
            json.dumps(
                {"results": given if len(given) > 1 else given[0], "files": [str(path) for path in paths]}
            )
        )
    else:
        print("\n".join(str(path) for path in paths))
