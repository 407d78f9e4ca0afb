"""`kick gate`: may these candidates replace their reference? The exit code is the answer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kick.errors import InputError

if TYPE_CHECKING:
    from kick.types import GateResult, Verdict


def gate(
    results: Annotated[
        Path,
        typer.Argument(help="A results folder - or lm-eval's output (--log_samples) of the reference."),
    ],
    candidate_output: Annotated[
        list[Path] | None,
        typer.Argument(help="lm-eval's output of the candidates, if RESULTS is lm-eval's."),
    ] = None,
    policy: Annotated[
        str, typer.Option(help="A policy file, or the name of a packaged policy.")
    ] = "regression",
    reference: Annotated[str | None, typer.Option(help="Checkpoint. Default: the suite's reference.")] = None,
    candidate: Annotated[
        list[str] | None, typer.Option(help="Checkpoint to judge; may be repeated. Default: all.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="lm-eval's output: the field of a document whose equal values make items dependent."
        ),
    ] = None,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential",
            help="Judge a folder that grows: by evidence about the full run that holds at every look, as `kick check`.",
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Append the verdicts as Markdown.", envvar="GITHUB_STEP_SUMMARY"),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every check, and not only those that do not pass.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Judge candidates by a policy: exit code 0 pass, 1 regression, 2 no verdict, 3 too few items to tell."""
    from kick.gating import gate as judge
    from kick.store import Store

    if not candidate_output:
        result = judge(
            Store(results), policy, reference=reference, candidates=candidate or [], sequential=sequential
        )
    elif sequential:
        raise InputError("--sequential judges a results folder of kick: lm-eval's output does not grow.")
    else:
        result = _gate_lm_eval([results, *candidate_output], policy, group_by)
    deliver(result, junit=junit, summary=summary, as_json=as_json, verbose=verbose)


def deliver(
    result: "GateResult", *, junit: Path | None, summary: Path | None, as_json: bool, verbose: bool
) -> None:
    """Write and print verdicts as the options ask, and end with their exit code."""
    from kick.files import write_atomically
    from kick.gating.rendering import junit_xml, markdown

    if junit:
        write_atomically(junit, junit_xml(result))
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(markdown(result))
    if as_json:
        print(_document(result))
    else:
        print_result(result, verbose=verbose)
    raise typer.Exit(result.exit_code)


def _gate_lm_eval(folders: list[Path], policy: str, group_by: str | None) -> "GateResult":
    from tempfile import TemporaryDirectory

    from kick.execution.lm_eval_import import import_lm_eval
    from kick.gating import gate as judge
    from kick.printable import printable

    with TemporaryDirectory() as scratch:
        imported = import_lm_eval(folders, Path(scratch) / "results", group_by=group_by)
        for note in imported.notes:
            print(printable(note), file=sys.stderr)
        return judge(imported.store, policy)


def _document(result: "GateResult") -> str:
    import json

    # Pydantic writes infinities as strings, since JSON has no number for them.
    document = json.loads(result.model_dump_json())
    for verdict, written in zip(result.verdicts, document["verdicts"], strict=True):
        written["outcome"] = verdict.outcome
    return json.dumps({**document, "outcome": result.outcome, "exit_code": result.exit_code})


COLOURS = {"pass": "green", "regression": "red", "inconclusive": "yellow"}


def print_result(result: "GateResult", *, verbose: bool = False) -> None:
    """Print a line per candidate, the checks that do not pass (or all), and the next command."""
    from kick.cli.output import plain_text, table_console
    from kick.gating.rendering import HEADING, summary_line

    console = table_console()
    heading = f"{HEADING[result.outcome]}: policy {result.policy}, reference {result.reference}"
    console.print(f"[{COLOURS[result.outcome]}]{plain_text(heading)}[/]", soft_wrap=True)
    for verdict in result.verdicts:
        line = plain_text(summary_line(verdict))
        console.print(f"  [{COLOURS[verdict.outcome]}]{line}[/]", soft_wrap=True)
    for verdict in result.verdicts:
        _print_checks(verdict, result.reference, verbose=verbose)
    if result.next_command:
        console.print("\nTo decide what is inconclusive:")
        console.print(f"  {plain_text(result.next_command)}", soft_wrap=True)


def _print_checks(verdict: "Verdict", reference: str, *, verbose: bool) -> None:
    """Print the checks of a candidate, two lines each: those that do not pass, or all of them."""
    from kick.cli.output import plain_text, table_console
    from kick.gating.rendering import numbers

    chosen = [check for check in verdict.checks if verbose or check.outcome != "pass"]
    if not chosen:
        return
    console = table_console()
    console.print(plain_text(f"\n{verdict.candidate} against {reference}"), soft_wrap=True)
    for check in chosen:
        console.print(f"  [{COLOURS[check.outcome]}]{plain_text(numbers(check))}[/]", soft_wrap=True)
        console.print(f"      {plain_text(f'{check.outcome}: {check.reason}')}", soft_wrap=True)
