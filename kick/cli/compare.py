"""`kick compare`: a candidate against its reference, item by item."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from kick.comparison import Pairs
    from kick.comparison.records import CategoryLoss, ReplicateComparison
    from kick.store import Store
    from kick.types import Comparison, Estimate, Record, Verdict

RESAMPLES = 2_000
# Rows of a long table that are shown.
SHOWN = 20


def compare(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    reference: Annotated[str, typer.Argument(help="Id of the reference checkpoint.")],
    candidate: Annotated[str, typer.Argument(help="Id of the candidate checkpoint.")],
    task: Annotated[str | None, typer.Option(help="One task. Default: all that both were scored on.")] = None,
    metric: Annotated[str | None, typer.Option(help="A metric of --task. Default: its own.")] = None,
    policy: Annotated[
        str, typer.Option(help="The policy of the verdict: a file, or the name of a packaged one.")
    ] = "regression",
    items: Annotated[bool, typer.Option("--items", help="Show the items that flipped.")] = False,
    by: Annotated[
        str | None, typer.Option(help="Show what was lost by category: `group`, or a column of the items.")
    ] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the items that flipped.")] = None,
    replicate: Annotated[
        list[str] | None,
        typer.Option(
            help="A further candidate that differs only in seed or calibration set; may be repeated."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every interval and test, the bootstrap among them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Paired differences with 95 % intervals, and the verdict of `kick gate` on each task.

    On request also the items that flipped, and what each category lost.
    """
    import json

    import pandas as pd

    from kick.cli.output import table_console
    from kick.comparison import compare_pairs, load_pairs
    from kick.comparison.grid import adjusted, task_names
    from kick.comparison.items import changed_items, losses_by_category
    from kick.comparison.paired import noise_floor
    from kick.comparison.replicates import compare_replicates
    from kick.errors import InputError
    from kick.files import write_atomically
    from kick.store import Store

    if metric is not None and task is None:
        raise InputError("--metric: name the task that it belongs to with --task.")
    store = Store(results)
    tasks = [task] if task else task_names(store)
    pairs = [load_pairs(store, reference, candidate, name, metric) for name in tasks]
    resamples = RESAMPLES if verbose or as_json else 0
    comparisons = adjusted(
        [compare_pairs(part, noise_floor=noise_floor(store, part), resamples=resamples) for part in pairs]
    )
    verdict = _verdict(store, policy, reference, candidate)
    replicates = [
        compare_replicates(
            [part, *(load_pairs(store, reference, other, part.task, metric) for other in replicate)]
        )
        for part in pairs
        if replicate and not part.sample.perplexity
    ]
    categories = {
        part.task: losses_by_category(part, by) for part in pairs if by and _has_categories(part, by, task)
    }
    changed = pd.concat([changed_items(part) for part in pairs], ignore_index=True)
    if parquet:
        write_atomically(parquet, changed.to_parquet(index=False))
    if as_json:
        document: dict[str, object] = {
            "comparisons": _plain(comparisons),
            "verdict": None if verdict is None else _judged(verdict),
            "replicates": _plain(replicates),
            "categories": {name: _plain(records) for name, records in categories.items()},
        }
        if items:
            document["items"] = json.loads(changed.to_json(orient="records"))
        print(json.dumps(document))
        return
    console = table_console()
    _print_comparisons(console, comparisons, verdict, verbose=verbose)
    _print_replicates(console, replicates)
    for name, records in categories.items():
        _print_categories(console, name, by or "", records)
    if items:
        _print_items(console, changed)


def _verdict(store: "Store", policy: str, reference: str, candidate: str) -> "Verdict | None":
    """Return what `kick gate` says of the candidate; None for a checkpoint that is not judged.

    All candidates of the folder are judged, since tests are corrected over them.
    """
    from kick.comparison.grid import candidate_ids
    from kick.gating import verdicts

    if candidate not in candidate_ids(store, reference):
        return None
    return verdicts(store, policy, reference=reference).verdict(candidate)


def _judged(verdict: "Verdict") -> object:
    """Return a verdict as JSON has it, with its outcome."""
    (document,) = _plain([verdict])
    assert isinstance(document, dict)
    return {**document, "outcome": verdict.outcome}


def _plain(records: "Sequence[Record]") -> list[object]:
    """Return records as JSON has them: infinities become strings."""
    import json

    return [json.loads(record.model_dump_json()) for record in records]


def _has_categories(pairs: "Pairs", by: str, task: str | None) -> bool:
    """Return whether a task has the column of categories; a task that was named must have it."""
    frame = pairs.reference_items
    return task is not None or (
        by in frame and bool(frame[by].notna().any()) and frame[by].nunique() < len(frame)
    )


def _print_comparisons(
    console: "Console", comparisons: "list[Comparison]", verdict: "Verdict | None", *, verbose: bool
) -> None:
    from rich.table import Table

    from kick.cli.output import plain_text
    from kick.gating.rendering import summary_line

    first = comparisons[0]
    if verdict is not None:
        console.print(plain_text(summary_line(verdict)), soft_wrap=True)
    title = f"{first.candidate} against {first.reference}"
    table = Table(title=plain_text(title), title_justify="left")
    rows = [_columns(row, verdict, verbose=verbose) for row in comparisons]
    for name in rows[0]:
        left = name in ("task", "verdict")
        # A task is asked for by its name, so the name is not broken.
        table.add_column(name, justify="left" if left else "right", no_wrap=name == "task")
    for row in rows:
        table.add_row(*map(plain_text, row.values()))
    console.print(table)
    for sentence in dict.fromkeys(f"{row.task}: {part}" for row in comparisons for part in _sentences(row)):
        console.print(plain_text(sentence))


def _sentences(row: "Comparison") -> list[str]:
    """Return what a reader has to know beside the numbers of a comparison."""
    bits = row.bits_per_byte
    parts = [f"not measurable here: {row.not_measurable}" if row.not_measurable else None, row.objection]
    if bits:
        parts.append(f"bits per byte {bits.candidate.value:.4g}, change {_interval(bits.delta, '+')}")
    if row.calibration:
        brier, error = row.calibration.brier, row.calibration.error
        parts.append(f"Brier score {brier.candidate.value:.3g}, change {_interval(brier.delta, '+')}")
        parts.append(
            f"calibration error {error.candidate.value:.3g}, change {_interval(error.delta, '+')}; "
            f"{row.calibration.candidate_if_calibrated:.3g} by chance"
        )
    if row.factuality:
        both = row.factuality
        parts.append(f"sentences entailed {both.candidate.value:.3g}, change {_interval(both.delta, '+')}")
    return [*filter(None, parts), *row.caveats]


def _above_floor(row: "Comparison") -> str:
    if row.not_measurable:
        return "not measurable here"
    if row.floor is None and row.higher_is_better:
        return "floor not measured"
    return _interval(row.recovery_above_floor)


def _columns(row: "Comparison", verdict: "Verdict | None", *, verbose: bool) -> Mapping[str, str]:
    """Return a comparison as a row of the table, by the names of its columns."""
    flips = row.flips
    columns = {
        "task": f"{row.task}\n{row.metric}, n = {row.n:,}"
        + (f"\nin {row.groups} groups" if row.groups else ""),
        "score": f"{row.reference_score.value:.3g} -> {row.candidate_score.value:.3g}",
        "change (95 %)": _interval(row.delta, "+"),
        "lost / gained / other wrong": f"{flips.lost} / {flips.gained} / {flips.other_wrong}"
        if flips
        else "",
    }
    if row.engine_floor:
        columns["engine alone (95 %)"] = _interval(row.engine_floor.delta, "+")
    if verbose:
        columns |= {
            "bootstrap": _bounds(row.delta_bootstrap),
            "ratio (95 %)": _interval(row.ratio),
            "above the floor (95 %)": _above_floor(row),
            "noise floor": f"±{row.noise_floor.bound:.4g}" if row.noise_floor else "not measured",
            "knowledge loss": _interval(row.knowledge_loss),
            "p (Holm)": "" if row.p_holm is None else f"{row.p_holm:.3g}",
        }
    return columns | {"verdict": _mark(row, verdict)}


def _mark(row: "Comparison", verdict: "Verdict | None") -> str:
    """Return the mark of the gate with the loss and the bracket that it rests on."""
    from kick.gating import in_words, mark

    check = verdict.check(row.task) if verdict else None
    if check is None or check.metric != row.metric:
        return "not judged"
    return f"{mark(check)} {in_words(check)}"


def _print_replicates(console: "Console", replicates: "list[ReplicateComparison]") -> None:
    from kick.cli.output import plain_text

    for record in replicates:
        console.print(
            plain_text(
                f"{record.task}, mean of {', '.join(record.candidates)}: {_interval(record.delta, '+')}; "
                f"standard deviation between them {record.spread:.4g}"
            )
        )


def _print_categories(console: "Console", task: str, by: str, records: "list[CategoryLoss]") -> None:
    from rich.table import Table

    from kick.cli.output import plain_text

    title = f"{plain_text(task)} by {plain_text(by)}: the {min(SHOWN, len(records))} largest losses of {len(records)}"
    table = Table(title=title, title_justify="left")
    for name in ("category", "n", "change (95 %)", "knowledge loss", "p", "p (false discovery rate)"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for record in records[:SHOWN]:
        table.add_row(
            plain_text(record.category),
            str(record.n),
            _interval(record.delta, "+"),
            _interval(record.knowledge_loss),
            f"{record.p_value:.3g}",
            f"{record.p_fdr:.3g}",
        )
    console.print(table)


def _print_items(console: "Console", changed: "pd.DataFrame") -> None:
    from rich.table import Table

    from kick.cli.output import plain_text

    head = changed.head(SHOWN)
    title = f"{len(changed)} items became another answer; {len(head)} are shown, all with --parquet or --json"
    table = Table(title=title, title_justify="left")
    for name in ("task", "change", "group", "prompt (end)", "target", "reference", "candidate"):
        table.add_column(name)
    for row in head.to_dict("records"):
        answers = [_answer(row, side) for side in ("reference", "candidate")]
        cells = (row["task"], row["change"], row["group"], str(row["prompt"])[-80:], row["target"], *answers)
        table.add_row(*map(plain_text, cells))
    console.print(table)


def _answer(row: "dict[Hashable, Any]", side: str) -> str:
    """Return the response, or for likelihood tasks the score and how far the choice was ahead."""
    margin = row[f"{side}_margin"]
    ahead = "" if margin != margin else f", ahead by {margin:.2f} nats"
    return str(row[f"{side}_response"]) or f"score {row[f'{side}_score']:.3g}{ahead}"


def _interval(estimate: "Estimate | None", sign: str = "") -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:{sign}.3g} {_bounds(estimate, sign)}"


def _bounds(estimate: "Estimate | None", sign: str = "+") -> str:
    return "" if estimate is None else f"[{estimate.low:{sign}.3g}, {estimate.high:{sign}.3g}]"
