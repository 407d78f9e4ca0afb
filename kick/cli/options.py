"""The options that several commands share, each written once."""

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
ChatOption = Annotated[
    str | None,
    typer.Option(help="Ask by the reference's chat template: auto (tasks with generated answers), on, off."),
]
SystemOption = Annotated[str | None, typer.Option(help="The system message of conversations.")]
EngineOption = Annotated[
    str | None,
    typer.Option(help="Without a suite: what computes: torch, llama-cpp, openai, or a package's own engine."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
