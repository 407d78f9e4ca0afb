"""`kick compare`: a candidate against its reference, item by item."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from kick.comparison import Pairs
    from kick.comparison.records import CategoryLoss, ReplicateComparison
    from kick.types import Comparison, Estimate, Record

RESAMPLES = 2_000
SHOWN = 20  # rows of a long table


def compare(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    reference: Annotated[str, typer.Argument(help="Id of the reference checkpoint.")],
    candidate: Annotated[str, typer.Argument(help="Id of the candidate checkpoint.")],
    task: Annotated[str | None, typer.Option(help="One task. Default: all that both were scored on.")] = None,
    metric: Annotated[str | None, typer.Option(help="A metric of --task. Default: its own.")] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Paired differences with 95 % intervals, flips and tests; the items that flipped, and what each
    category lost.
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
    from kick.store import Store

    if metric is not None and task is None:
        raise InputError("--metric: name the task that it belongs to with --task.")
    store = Store(results)
    tasks = [task] if task else task_names(store)
    pairs = [load_pairs(store, reference, candidate, name, metric) for name in tasks]
    comparisons = adjusted(
        [compare_pairs(part, noise_floor=noise_floor(store, part), resamples=RESAMPLES) for part in pairs]
    )
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
        changed.to_parquet(parquet, index=False)
    if as_json:
        document: dict[str, object] = {
            "comparisons": _plain(comparisons),
            "replicates": _plain(replicates),
            "categories": {name: _plain(records) for name, records in categories.items()},
        }
        if items:
            document["items"] = json.loads(changed.to_json(orient="records"))
        print(json.dumps(document))
        return
    console = table_console()
    _print_comparisons(console, comparisons)
    _print_replicates(console, replicates)
    for name, records in categories.items():
        _print_categories(console, name, by or "", records)
    if items:
        _print_items(console, changed)


def _plain(records: "Sequence[Record]") -> list[object]:
    """Records as JSON has them: infinities become strings."""
    import json

    return [json.loads(record.model_dump_json()) for record in records]


def _has_categories(pairs: "Pairs", by: str, task: str | None) -> bool:
    """With all tasks asked for, those without the column are passed over; a task asked for by name is not."""
    frame = pairs.reference_items
    return task is not None or (
        by in frame and bool(frame[by].notna().any()) and frame[by].nunique() < len(frame)
    )


def _print_comparisons(console: "Console", comparisons: "list[Comparison]") -> None:
    from rich.markup import escape
    from rich.table import Table

    first = comparisons[0]
    table = Table(title=f"{escape(first.candidate)} against {escape(first.reference)}", title_justify="left")
    table.add_column("task", no_wrap=True)  # a name that is cut is no name
    for name in ("n", "score", "change (95 %)", "bootstrap", "ratio (95 %)", "noise floor"):
        table.add_column(name, justify="right")
    for name in ("lost / gained / other wrong", "knowledge loss", "p (Holm)"):
        table.add_column(name, justify="right")
    table.add_column("within 5 %")
    for row in comparisons:
        flips = row.flips
        table.add_row(
            escape(f"{row.task}\n{row.metric}"),
            f"{row.n:,}" + (f" in {row.groups} groups" if row.groups else ""),
            f"{row.reference_score.value:.3g} -> {row.candidate_score.value:.3g}",
            _interval(row.delta, "+"),
            _bounds(row.delta_bootstrap),
            _interval(row.ratio),
            f"±{row.noise_floor.bound:.4g}" if row.noise_floor else "not measured",
            f"{flips.lost} / {flips.gained} / {flips.other_wrong}" if flips else "",
            _interval(row.knowledge_loss),
            "" if row.p_holm is None else f"{row.p_holm:.3g}",
            row.matching.outcome if row.matching else "the reference is 0",
        )
    console.print(table)
    for caveat in dict.fromkeys(f"{row.task}: {caveat}" for row in comparisons for caveat in row.caveats):
        console.print(escape(caveat))


def _print_replicates(console: "Console", replicates: "list[ReplicateComparison]") -> None:
    from rich.markup import escape

    for record in replicates:
        console.print(
            escape(
                f"{record.task}, mean of {', '.join(record.candidates)}: {_interval(record.delta, '+')}; "
                f"standard deviation between them {record.spread:.4g}"
            )
        )


def _print_categories(console: "Console", task: str, by: str, records: "list[CategoryLoss]") -> None:
    from rich.markup import escape
    from rich.table import Table

    title = f"{escape(task)} by {escape(by)}: the {min(SHOWN, len(records))} largest losses of {len(records)}"
    table = Table(title=title, title_justify="left")
    for name in ("category", "n", "change (95 %)", "knowledge loss", "p", "p (false discovery rate)"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for record in records[:SHOWN]:
        table.add_row(
            escape(record.category),
            str(record.n),
            _interval(record.delta, "+"),
            _interval(record.knowledge_loss),
            f"{record.p_value:.3g}",
            f"{record.p_fdr:.3g}",
        )
    console.print(table)


def _print_items(console: "Console", changed: "pd.DataFrame") -> None:
    from rich.markup import escape
    from rich.table import Table

    shown = changed.head(SHOWN)
    title = (
        f"{len(changed)} items became another answer; {len(shown)} are shown, all with --parquet or --json"
    )
    table = Table(title=title, title_justify="left")
    for name in ("task", "change", "group", "prompt (end)", "target", "reference", "candidate"):
        table.add_column(name)
    for row in shown.to_dict("records"):
        said = [_said(row, side) for side in ("reference", "candidate")]
        cells = (row["task"], row["change"], row["group"], str(row["prompt"])[-80:], row["target"], *said)
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in cells))
    console.print(table)


def _said(row: "dict[Hashable, Any]", side: str) -> str:
    """The response, or for likelihood tasks the score and how far the choice was ahead."""
    margin = row[f"{side}_margin"]
    ahead = "" if margin != margin else f", ahead by {margin:.2f} nats"
    return str(row[f"{side}_response"]) or f"score {row[f'{side}_score']:.3g}{ahead}"


def _interval(estimate: "Estimate | None", sign: str = "") -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:{sign}.3g} {_bounds(estimate, sign)}"


def _bounds(estimate: "Estimate | None", sign: str = "+") -> str:
    return "" if estimate is None else f"[{estimate.low:{sign}.3g}, {estimate.high:{sign}.3g}]"
