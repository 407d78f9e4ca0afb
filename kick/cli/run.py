"""`kick run`: score a suite, or an ad-hoc one given by options."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kick.cli.options import ChatOption, EngineOption, SystemOption
from kick.errors import InputError

if TYPE_CHECKING:
    from kick.store import Store
    from kick.suite import Suite
    from kick.types import CellScore, GateResult


def run(
    suite: Annotated[
        str | None, typer.Argument(help="A suite file, or the name of a packaged suite.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Without a file: the dense model: MODEL[,key=value ...] as in a suite, hub ids with @revision."
        ),
    ] = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(help="Without a file: a compressed model, as --reference; may be repeated."),
    ] = None,
    engine: EngineOption = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="Tasks to score (names, or a comma-separated list).")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="The results folder. Default: results/<suite name>.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="Score this checkpoint alone.")
    ] = None,
    chat: ChatOption = None,
    system: SystemOption = None,
    limit: Annotated[int | None, typer.Option(help="Items per task, drawn by the suite's seed.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="A local mirror of the data sets.", envvar="KICK_DATA_ROOT")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    batch_tokens: Annotated[int, typer.Option(min=1, help="Padded tokens per batch.")] = 8192,
    cache: Annotated[
        Path | None, typer.Option(help="The folder in which made checkpoints are kept.", envvar="KICK_CACHE")
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="GB",
            help="Keep at most so many GB of made checkpoints, those used last. Default: all.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Score dense and compressed checkpoints on the same items. Continues an earlier run."""
    from kick.quiet import quiet_libraries

    quiet_libraries()
    from kick.execution.runner import run as run_suite
    from kick.gating import next_command, verdicts
    from kick.suite import Suite

    names = [name for given in tasks or [] for name in given.split(",") if name]
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device: '{device}' is not a device. Give cpu, cuda or auto.")
    if data_root is not None and not data_root.is_dir():
        raise InputError(
            f"--data-root: {data_root} is not a folder. Give the folder that holds <owner>__<name> folders."
        )
    if suite is not None:
        if reference or candidate:
            raise InputError("give either a suite file, or --reference and --candidate, not both.")
        if engine:
            raise InputError("--engine: a suite file names its engines itself, by the key `engine`.")
        loaded = Suite.read(suite)
        if limit is not None:
            loaded = loaded.with_limit(limit)
    else:
        if not reference or not candidate or not names:
            raise InputError("give a suite file, or --reference MODEL --candidate MODEL --tasks TASK.")
        loaded = Suite.ad_hoc(reference, candidate, names, limit, engine)
        names = []
    loaded = loaded.with_chat(chat, system)
    folder = results or Path("results") / loaded.name
    summary = run_suite(
        loaded,
        folder,
        only=only,
        tasks=names,
        data_root=data_root,
        cache=cache,
        device=device,
        batch_tokens=batch_tokens,
        keep=None if keep is None else int(keep * 1e9),
    )
    scores = list(_scores(loaded, summary.store, only, names))
    judged = verdicts(summary.store)
    command = next_command(summary.store, judged)
    if as_json:
        document = {
            "results": str(folder),
            "scored": summary.scored,
            "reused": summary.reused,
            "scores": [json.loads(line.model_dump_json()) for line in scores],
            "policy": judged.policy,
            "verdicts": [
                {**json.loads(verdict.model_dump_json()), "outcome": verdict.outcome}
                for verdict in judged.verdicts
            ],
            "next_command": command,
        }
        print(json.dumps(document))
    else:
        _print_scores(scores)
        if summary.unmeasured:
            print(f"{summary.unmeasured} cells cannot be measured on their engine; `kick report` says why.")
        print(
            f"{summary.scored} cells scored, {summary.reused} there already. The report: kick report {folder}"
        )
        _print_verdicts(judged, command)


def _scores(suite: "Suite", store: "Store", only: str | None, names: list[str]) -> Iterator["CellScore"]:
    """Yield the score of each checkpoint on each task of the run, in the order of the suite."""
    from kick.comparison import score
    from kick.types import CellScore

    for checkpoint in suite.select_checkpoints(only):
        for task in suite.select_tasks(names):
            if cell := store.cell(checkpoint.id, task):
                items = store.items(cell, without=("prompt", "response"))
                try:
                    estimate = score(cell, items)
                except InputError:
                    estimate = None
                yield CellScore(checkpoint=checkpoint.id, task=cell.task, score=estimate)


def _print_scores(scores: list["CellScore"]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from kick import text
    from kick.cli.output import table_console

    table = Table("checkpoint", "task", "metric", "score [95 % interval]", "items", box=None, pad_edge=False)
    for line in scores:
        names = (line.checkpoint, escape(line.task.name), escape(line.task.metric))
        if line.score is None:
            table.add_row(*names, "not a number", "")
        else:
            unit = " %" if text.is_share(line.task) else ""
            table.add_row(*names, f"{text.score(line.score, line.task)}{unit}", f"{line.score.n:,}")
    table_console().print(table)


def _print_verdicts(judged: "GateResult", command: str | None) -> None:
    """Print one line per candidate, and the command that would decide what is inconclusive."""
    from kick.cli.gate import COLOURS
    from kick.cli.output import plain_text, table_console
    from kick.gating.rendering import ONE_LOOK, summary_line

    if not judged.verdicts:
        return
    console = table_console()
    console.print(plain_text(f"\nVerdict by the policy {judged.policy}:"), soft_wrap=True)
    for verdict in judged.verdicts:
        line = plain_text(summary_line(verdict))
        console.print(f"  [{COLOURS[verdict.outcome]}]{line}[/]", soft_wrap=True)
    if command:
        console.print(f"\n{ONE_LOOK}", soft_wrap=True)
        console.print("\nTo decide what is inconclusive:")
        console.print(f"  {plain_text(command)}", soft_wrap=True)
