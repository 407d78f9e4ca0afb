"""`kick gate`: may these candidates replace their reference? The exit code is the answer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kick.types import GateResult


def gate(
    results: Annotated[
        Path,
        typer.Argument(help="A results folder - or lm-eval's output (--log_samples) of the reference."),
    ],
    candidate_output: Annotated[
        Path | None, typer.Argument(help="lm-eval's output of the candidate, if RESULTS is lm-eval's.")
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
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Append the verdicts as Markdown.", envvar="GITHUB_STEP_SUMMARY"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Judge candidates by a policy: exit code 0 pass, 1 regression, 2 bad input, 3 too few items to tell."""
    from kick.gating import gate as judge
    from kick.gating.rendering import junit_xml, markdown
    from kick.store import Store

    if candidate_output is None:
        result = judge(Store(results), policy, reference=reference, candidates=candidate or [])
    else:
        result = _gate_lm_eval(results, candidate_output, policy, group_by)
    if junit:
        junit.write_text(junit_xml(result), encoding="utf-8")
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(markdown(result))
    if as_json:
        print(_document(result))
    else:
        _print(result)
    raise typer.Exit(result.exit_code)


def _gate_lm_eval(reference: Path, candidate: Path, policy: str, group_by: str | None) -> "GateResult":
    from tempfile import TemporaryDirectory

    from kick.execution.lm_eval_samples import import_lm_eval
    from kick.gating import gate as judge

    with TemporaryDirectory() as scratch:
        store, notes = import_lm_eval(reference, candidate, Path(scratch) / "results", group_by=group_by)
        for note in notes:
            print(note, file=sys.stderr)
        return judge(store, policy)


def _document(result: "GateResult") -> str:
    import json

    document = json.loads(result.model_dump_json())  # infinities become strings, which JSON has no number for
    for verdict, written in zip(result.verdicts, document["verdicts"], strict=True):
        written["outcome"] = verdict.outcome
    return json.dumps({**document, "outcome": result.outcome, "exit_code": result.exit_code})


def _print(result: "GateResult") -> None:
    from rich.markup import escape
    from rich.table import Table

    from kick.cli.output import table_console
    from kick.gating.rendering import HEADING, columns

    console = table_console()
    colours = {"pass": "green", "regression": "red", "inconclusive": "yellow"}
    for verdict in result.verdicts:
        title = (
            f"{escape(verdict.candidate)} against {escape(result.reference)}, policy {escape(result.policy)}"
        )
        table = Table(title=title, title_justify="left")
        for name in ("check", "reference", "candidate", "change (95 %)", "lost / gained", "n", "noise floor"):
            table.add_column(name, justify="left" if name == "check" else "right")
        table.add_column("verdict", ratio=1)
        for check in verdict.checks:
            *cells, answer = (escape(text) for text in columns(check))
            table.add_row(*cells, f"[{colours[check.outcome]}]{answer}[/]")
        console.print(table)
        console.print(f"[{colours[verdict.outcome]}]{HEADING[verdict.outcome]}[/]\n")
