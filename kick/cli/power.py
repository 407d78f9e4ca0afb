"""`kick power`: how many items decide, given how much the checkpoints differ."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kick.cli.options import JsonOption

if TYPE_CHECKING:
    from kick.comparison.records import Power


def power(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    margin: Annotated[float, typer.Option(help="The loss that is tolerated, relative, 0 to 1.")] = 0.05,
    reference: Annotated[str | None, typer.Option(help="Checkpoint. Default: the suite's reference.")] = None,
    candidate: Annotated[str | None, typer.Option(help="One checkpoint. Default: all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many items a match within the margin needs, and the loss that the items at hand can show.

    One-sided tests at 5 %, with a power of 80 %.
    """
    import json
    import sys

    from kick.comparison.grid import candidate_ids, reference_id, task_names
    from kick.comparison.pairing import load_pairs
    from kick.comparison.statistics.power import power_of
    from kick.errors import InputError, nearest
    from kick.store import Store

    if not 0 < margin < 1:
        raise InputError(f"--margin: {margin} is not a share. Give a number between 0 and 1, such as 0.05.")
    store = Store(results)
    reference = reference_id(store, reference)
    known = candidate_ids(store, reference)
    if candidate is not None and candidate not in known:
        raise InputError(f"there is no candidate '{candidate}' in {store.root}. {nearest(candidate, known)}")
    rows: list[Power] = []
    for name in known if candidate is None else [candidate]:
        for task in task_names(store):
            try:
                rows.append(power_of(load_pairs(store, reference, name, task), margin))
            except InputError as error:
                print(error, file=sys.stderr)
    if not rows:
        raise InputError(f"no pair of checkpoints in {store.root} can be compared.")
    if as_json:
        print(json.dumps([json.loads(row.model_dump_json()) for row in rows]))
    else:
        _print(rows, margin)


def _print(rows: "list[Power]", margin: float) -> None:
    from rich.table import Table

    from kick.cli.output import plain_text, table_console

    table = Table(
        title=f"Margin {100 * margin:g} %, tests at 5 % one-sided, power 80 %", title_justify="left"
    )
    # A checkpoint and a task are asked for by their names, so these are not broken.
    table.add_column("candidate", no_wrap=True)
    table.add_column("task", no_wrap=True)
    for name in ("n", "items that flip", "items to match", "items to decide", "detectable loss"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            plain_text(row.candidate),
            plain_text(f"{row.task} ({row.metric})"),
            f"{row.n:,}",
            "" if row.discordance is None else f"{row.discordance:.1%}",
            "no item differs" if row.items_to_match is None else f"{row.items_to_match:,}",
            "" if row.items_to_decide is None else f"{row.items_to_decide:,}",
            f"{row.detectable_loss:.4g}",
        )
    console = table_console()
    console.print(table)
    console.print(
        "items to match: to show a match if nothing is lost; items to decide: if the loss is as measured. Both plan a "
        "run that is looked at once; to look while it grows, use `kick check` or `kick gate --sequential`.",
        soft_wrap=True,
    )
