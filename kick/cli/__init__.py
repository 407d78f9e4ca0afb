"""The command line: one file a command, each parses, calls the API and prints. Nothing heavy loads for --help."""

import importlib
import sys
from importlib.util import find_spec

import typer

from kick.errors import InputError

app = typer.Typer(
    name="kick",
    help="What knowledge did this model lose when it was compressed?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in ("run", "report", "compare", "gate", "power", "compress", "describe", "tasks", "verify"):
    if find_spec(f"kick.cli.{_command}"):
        app.command(_command)(getattr(importlib.import_module(f"kick.cli.{_command}"), _command))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the answer is no, 2 bad input, 3 cannot tell, 130 interrupted."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
