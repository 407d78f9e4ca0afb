"""`kick compress`: make a compressed checkpoint from a dense one."""

import json
from pathlib import Path
from typing import Annotated

import typer


def compress(
    model: Annotated[
        str, typer.Argument(help="The dense model: a folder, or a hub id as owner/name@revision.")
    ],
    method: Annotated[str, typer.Option(help="magnitude, or rtn (round-to-nearest).")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    sparsity: Annotated[float | None, typer.Option(help="magnitude: the share of zeros, 0 to 1.")] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="N:M", help="magnitude: keep N of each M consecutive weights.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="rtn: bits of a weight, 2 to 8.")] = None,
    group_size: Annotated[
        int | None, typer.Option(help="rtn: weights that share a scale. Default: a row.")
    ] = None,
    symmetric: Annotated[bool, typer.Option(help="rtn: without a zero point.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compress every Linear of the decoder blocks and write an ordinary Hugging Face folder."""
    from kick import checkpoints, compression
    from kick.checkpoints.patterns import pattern_sparsity
    from kick.types import Recipe

    if pattern is not None and sparsity is None:
        sparsity = pattern_sparsity(pattern)
    recipe = Recipe(
        method=method,
        sparsity=sparsity,
        pattern=pattern,
        bits=bits,
        group_size=group_size,
        symmetric=symmetric,
    )
    compression.make(recipe, checkpoints.locate(model), out)
    description = checkpoints.describe(out, recipe)
    if as_json:
        made = compression.read_made(out).model_dump(mode="json")
        print(json.dumps({"folder": str(out), **made, "description": description.model_dump(mode="json")}))
    else:
        print(f"{out}: {description.sparsity:.2%} zeros in the decoder Linears. More: kick describe {out}")
