"""`kick describe`: what a checkpoint's weights are, measured."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kick.types import Description


def describe(
    model: Annotated[str, typer.Argument(help="A folder, or a hub id as owner/name@revision.")],
    pattern: Annotated[
        str | None, typer.Option(metavar="N:M", help="Also measure how many groups break this pattern.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure a checkpoint's stored weights: parameters, zeros, patterns, bytes."""
    from kick import checkpoints
    from kick.types import Recipe

    recipe = Recipe(method="measured", pattern=pattern) if pattern else None
    description = checkpoints.describe(checkpoints.locate(model), recipe)
    if as_json:
        print(description.model_dump_json())
    else:
        _print(description)


def _print(description: "Description") -> None:
    from rich.table import Table

    from kick.cli.output import table_console

    stored = ", ".join(f"{dtype} {count:,}" for dtype, count in description.stored_dtypes.items())
    rows = {
        "architecture": description.architecture,
        "parameters": f"{description.parameters:,}",
        "non-zero": f"{description.nonzero:,}",
        "packed (zeros not counted)": f"{description.packed:,}",
        "in decoder Linears": f"{description.linear_parameters:,}",
        "sparsity of these": f"{description.sparsity:.2%}",
        "least, most sparse Linear": f"{description.sparsity_min:.2%}, {description.sparsity_max:.2%}",
        "bytes of weight files": f"{description.bytes_on_disk:,}",
        "bits per weight": f"{description.bits_per_weight:.2f}",
        "stored as": stored,
        "declared quantisation": description.quant_method or "none",
    }
    if description.nm_violations is not None:
        rows["groups that break the pattern"] = f"{description.nm_violations:.2%}"
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, value)
    table_console().print(table)
