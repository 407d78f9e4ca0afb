"""The command line: one file a command, each parses, calls the API and prints. Nothing heavy loads for --help."""

import importlib
import sys

import typer

from kick.errors import InputError

COMMANDS = (
    "demo",
    "run",
    "report",
    "leaderboard",
    "compare",
    "gate",
    "power",
    "compress",
    "describe",
    "tasks",
    "data",
    "verify",
)
INTERRUPTED = 130  # the shell's code for a program that Ctrl-C ended

app = typer.Typer(
    name="kick",
    help="What knowledge did this model lose when it was compressed?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in COMMANDS:
    app.command(_command)(getattr(importlib.import_module(f"kick.cli.{_command}"), _command))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the answer is no, 2 bad input, 3 cannot tell, 130 interrupted."""
    try:
        app()
    except InputError as error:
        _stop(f"error: {error}", 2)
    except OSError as error:
        _stop(f"error: {error.filename or 'input or output'}: {error.strerror or error}", 2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _stop("interrupted; the same command goes on from here", INTERRUPTED)
        raise
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on from here", INTERRUPTED)


def _stop(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(code)
