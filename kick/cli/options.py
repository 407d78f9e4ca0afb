"""The options that several commands share, each written once: what a verdict is judged by, and where it goes."""

from pathlib import Path
from typing import Annotated

import typer

PolicyOption = Annotated[str, typer.Option(help="A policy file, or the name of a packaged policy.")]
JUnitOption = Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")]
SummaryOption = Annotated[
    Path | None, typer.Option(help="Append the verdicts as Markdown.", envvar="GITHUB_STEP_SUMMARY")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show every check, and not only those that do not pass.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
