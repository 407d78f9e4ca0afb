"""`kick verify`: every file of a results folder is the one that was written."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer


def verify(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Move what is broken into RESULTS/broken; nothing is deleted.")
    ] = False,
    manifest: Annotated[
        Literal["write", "check"] | None,
        typer.Option(
            help="write: list every file in manifest.json; check: compare the folder with that list."
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            help="Write manifest.json, and sign it by minisign with this secret key.", metavar="KEY"
        ),
    ] = None,
    signed_by: Annotated[
        list[str] | None,
        typer.Option(
            help="Check that manifest.json is signed by this public key of minisign (a file or the key itself), and "
            "compare the folder with it. May be given several times: one of them has to fit.",
            metavar="KEY",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check that every file is the one that was written, and that no cell is missing.

    Exit code 0 if so, 1 if not. After --repair it is 0: the same `kick run` makes again what was moved aside.
    """
    from kick.printable import printable
    from kick.store import Store
    from kick.store.manifest import differences, read_manifest, write_manifest
    from kick.store.repair import repair as move_aside
    from kick.store.signatures import check_signature, read_public_key, sign_manifest
    from kick.store.verification import inspect

    store = Store(results)
    keys = [read_public_key(key) for key in signed_by or ()]
    moved = move_aside(store) if repair else []
    # Without its suite.yaml, which was moved aside, a folder cannot be read until the next run.
    whole = (results / "suite.yaml").is_file()
    findings = inspect(store) if whole else []
    problems = [finding.problem for finding in findings if finding.is_problem]
    notes = [finding.problem for finding in findings if not finding.is_problem]
    if sign is not None:
        sign_manifest(store, sign)
    elif manifest == "write":
        write_manifest(store)
    changes, signer = [], None
    if keys:
        listed, signer = check_signature(store, keys)
        unsigned = f"{results / 'manifest.json'} is not signed by a key that was given."
        changes = [*([] if signer else [unsigned]), *differences(store, listed)]
    elif manifest == "check":
        changes = differences(store, read_manifest(store))
    cells = len(store.cell_folders())
    if as_json:
        document = {
            "results": str(results),
            "cells": cells if not problems else None,
            "problems": [*problems, *changes],
            "notes": notes,
            "moved": [one.model_dump() for one in moved],
            "signed_by": signer.id if signer else None,
        }
        print(json.dumps(document))
    else:
        for one in moved:
            print(printable(f"{one.problem}\n  moved to {results / one.to}; {one.next_run}"))
        whole_folder = f"{cells} cells, and every other file, are what was written"
        if signer and not changes:
            whole_folder += f", and signed by {signer.id}"
        print(printable("\n".join([*problems, *changes, *notes])) or whole_folder)
    if changes or (problems and not repair):
        raise typer.Exit(1)
