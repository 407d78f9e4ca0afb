"""The command line: one file per command, which parses, calls the API and prints. Nothing heavy loads for --help."""

import importlib
import os
import sys
import traceback

import typer

from kick.errors import InputError
from kick.printable import printable

# The name of each command, and its module where a keyword of Python bars the name.
COMMANDS = (
    "demo",
    "check",
    "run",
    "import",
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
MODULES = {"import": "import_"}

# Exit codes beside 0 and the verdicts 1 and 3.
BAD_INPUT = 2
# An error inside kick: EX_SOFTWARE of sysexits.h, which no verdict uses.
INTERNAL = 70
# The shell's code for a program that Ctrl-C ended.
INTERRUPTED = 130
INTERRUPTION = "interrupted; the same command goes on from here"

app = typer.Typer(
    name="kick",
    help="What knowledge did this model lose when it was compressed?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in COMMANDS:
    _name = MODULES.get(_command, _command)
    app.command(_command)(getattr(importlib.import_module(f"kick.cli.{_name}"), _name))


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 the answer is no, 2 bad input, 3 cannot tell, 70 an error inside kick, 130 interrupted.
    """
    try:
        app()
    except InputError as error:
        _stop(f"error: {error}", BAD_INPUT)
    except OSError as error:
        _stop(f"error: {error.filename or 'input or output'}: {error.strerror or error}", BAD_INPUT)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _stop(INTERRUPTION, INTERRUPTED)
        raise
    except KeyboardInterrupt:
        _stop(INTERRUPTION, INTERRUPTED)
    # Python would end with 1, which CI reads as a regression.
    except Exception as error:  # noqa: BLE001
        _stop(_internal(error), INTERNAL)


def _internal(error: Exception) -> str:
    """Return an error inside kick as one line that says how to report it; as a traceback if KICK_DEBUG asks for one."""
    from importlib.metadata import version

    if os.environ.get("KICK_DEBUG"):
        traceback.print_exc()
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"internal error: {said[:300]} (kick {version('llm-kick')}). This is a mistake in kick, and no verdict. Please "
        "report it to the maintainers of llm-kick with the command and the traceback that KICK_DEBUG=1 shows."
    )


def _stop(message: str, code: int) -> None:
    print(printable(message), file=sys.stderr)
    sys.exit(code)
