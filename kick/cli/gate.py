"""`kick gate`: may these candidates replace their reference? The exit code is the answer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kick.cli.options import JsonOption, JUnitOption, PolicyOption, SummaryOption, VerboseOption
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
    policy: PolicyOption = "regression",
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
    junit: JUnitOption = None,
    summary: SummaryOption = None,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
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
    from kick.gating.rendering import HEADING, ONE_LOOK, caveats, summary_line

    console = table_console()
    heading = f"{HEADING[result.outcome]}: policy {result.policy}, reference {result.reference}"
    console.print(f"[{COLOURS[result.outcome]}]{plain_text(heading)}[/]", soft_wrap=True)
    for verdict in result.verdicts:
        line = plain_text(summary_line(verdict))
        console.print(f"  [{COLOURS[verdict.outcome]}]{line}[/]", soft_wrap=True)
    for verdict in result.verdicts:
        _print_checks(verdict, result.reference, verbose=verbose)
    for remark in caveats(result):
        console.print(f"\nNote on {plain_text(remark)}", soft_wrap=True)
    if result.next_command:
        if not result.sequential:
            console.print(f"\n{ONE_LOOK}", soft_wrap=True)
        console.print("\nTo decide what is inconclusive:")
        console.print(f"  {plain_text(result.next_command)}", soft_wrap=True)


def _print_checks(verdict: "Verdict", reference: str, *, verbose: bool) -> None:
    """Print the checks of a candidate: those that do not pass or are warned of, or all of them."""
    from kick.cli.output import plain_text, table_console
    from kick.gating.early_warning import warning_in_words
    from kick.gating.rendering import numbers

    chosen = [
        check
        for check in verdict.checks
        if verbose or check.outcome != "pass" or warning_in_words(check) is not None
    ]
    if not chosen:
        return
    console = table_console()
    console.print(plain_text(f"\n{verdict.candidate} against {reference}"), soft_wrap=True)
    for check in chosen:
        console.print(f"  [{COLOURS[check.outcome]}]{plain_text(numbers(check))}[/]", soft_wrap=True)
        console.print(f"      {plain_text(f'{check.outcome}: {check.reason}')}", soft_wrap=True)
        if warning := warning_in_words(check):
            console.print(f"      {plain_text(warning)}", soft_wrap=True)
