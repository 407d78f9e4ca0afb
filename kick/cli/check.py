"""`kick check`: the shortest way from two models to a verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kick.cli.options import (
    ChatOption,
    EngineOption,
    JsonOption,
    JUnitOption,
    PolicyOption,
    SummaryOption,
    SystemOption,
    VerboseOption,
)
from kick.errors import InputError

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from kick.execution.check_session import Look
    from kick.progress import Reporter
    from kick.types import Check


def check(
    dense: Annotated[
        str,
        typer.Argument(help="The dense model: a folder, a .gguf file, or a hub id as owner/name@revision."),
    ],
    candidates: Annotated[list[str], typer.Argument(help="The compressed models, likewise.")],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            help="Tasks to score (names, or a comma-separated list). Default: one per family, by the kind of model."
        ),
    ] = None,
    engine: EngineOption = None,
    chat: ChatOption = "auto",
    system: SystemOption = None,
    policy: PolicyOption = "regression",
    budget: Annotated[
        str | None, typer.Option(help="The most to spend now: 10m, 2h, '2000 items'. Default: no limit.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="The results folder. Default: results/<dense>-vs-<candidate>.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="A local mirror of the data sets.", envvar="KICK_DATA_ROOT")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Padded tokens per batch.")] = 8192,
    cache: Annotated[
        Path | None,
        typer.Option(help="The folder in which converted checkpoints are kept.", envvar="KICK_CACHE"),
    ] = None,
    junit: JUnitOption = None,
    summary: SummaryOption = None,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score until the verdict is known: exit code 0 pass, 1 regression, 2 no verdict, 3 the budget ended first."""
    from kick.quiet import quiet_libraries

    quiet_libraries()
    from kick.cli.gate import deliver
    from kick.execution.check import check as run_check
    from kick.progress import Reporter

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device: '{device}' is not a device. Give cpu, cuda or auto.")
    if data_root is not None and not data_root.is_dir():
        raise InputError(
            f"--data-root: {data_root} is not a folder. Give the folder that holds <owner>__<name> folders."
        )
    reporter = Reporter()
    with _watching(reporter) as watch:
        result = run_check(
            dense,
            candidates,
            tasks=[name for given in tasks or [] for name in given.split(",") if name],
            engine=engine,
            chat=chat,
            system=system,
            policy=policy,
            budget=budget,
            results=results,
            data_root=data_root,
            cache=cache,
            device=device,
            batch_tokens=batch_tokens,
            reporter=reporter,
            watch=watch,
        )
    share = f" ({100 * result.items / result.available:.2g} %)" if result.available else ""
    reporter.say(
        f"{result.items:,} of {result.available:,} items{share} in {result.seconds:,.0f} s; kept in {result.results}"
    )
    deliver(result, junit=junit, summary=summary, as_json=as_json, verbose=verbose)


class _Watch:
    """Shows the state of a check: a live table on a terminal, a line per task and candidate in a log."""

    def __init__(self, reporter: "Reporter", live: "Live | None") -> None:
        self.reporter, self.live = reporter, live
        self._printed: set[str] = set()

    def __call__(self, look: "Look") -> None:
        if self.live is not None:
            self.live.update(_table(look), refresh=True)
            return
        for row in _rows(look):
            line = "  ".join(part for part in row if part)
            if line not in self._printed:
                self._printed.add(line)
                self.reporter.say(line)


@contextmanager
def _watching(reporter: "Reporter") -> Iterator[_Watch]:
    if not reporter.console.is_terminal:
        yield _Watch(reporter, None)
        return
    from rich.live import Live

    with Live(console=reporter.console, auto_refresh=False) as live:
        yield _Watch(reporter, live)


def _rows(look: "Look") -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield task, items so far, candidate, loss with its interval, state and warning for each task that was scored."""
    from kick.gating.rule import MARKS
    from kick.gating.wording import in_words
    from kick.printable import printable

    for state in look.tasks:
        for verdict in look.result.verdicts:
            if check := verdict.check(state.name):
                outcome = "open" if check.outcome == "inconclusive" else check.outcome
                yield (
                    state.name,
                    f"{state.limit:,} of {state.available:,}",
                    printable(verdict.candidate),
                    in_words(check),
                    f"{MARKS[check.outcome]} {outcome}",
                    _warning(check),
                )


def _warning(check: "Check") -> str:
    """Return an early warning as a cell of the table; it never stands for a verdict."""
    warning = check.early_warning
    if warning is None or not warning.warns:
        return ""
    return f"early warning: right answers lost {100 * warning.loss:.3g} % of their probability"


def _table(look: "Look") -> "Table":
    from rich.table import Table

    from kick.cli.gate import COLOURS
    from kick.cli.output import plain_text

    table = Table("task", "items", "candidate", "loss", "state", "", box=None, pad_edge=False)
    for *cells, state, warning in _rows(look):
        outcome = "inconclusive" if state.endswith("open") else state.split()[-1]
        table.add_row(*map(plain_text, cells), f"[{COLOURS[outcome]}]{state}[/]", plain_text(warning))
    table.caption = plain_text(look.doing)
    return table
