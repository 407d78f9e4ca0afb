"""`kick compress`: make a compressed checkpoint from a dense one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from kick.errors import InputError


def compress(
    model: Annotated[
        str, typer.Argument(help="The dense model: a folder, or a hub id as owner/name@revision.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="magnitude, rtn, low-rank, layer-drop; calibrated: wanda, sparsegpt, gptq, awq, autoround, "
            "smoothquant."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    sparsity: Annotated[float | None, typer.Option(help="For pruning: the share of zeros, 0 to 1.")] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="N:M", help="For pruning: keep N of each M consecutive weights.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="For quantizing: bits per weight, 2 to 8.")] = None,
    group_size: Annotated[
        int | None, typer.Option(help="For quantizing: weights that share a scale. Default: a row.")
    ] = None,
    symmetric: Annotated[bool, typer.Option(help="For quantizing: without a zero point.")] = True,
    rank: Annotated[
        float | None, typer.Option(help="low-rank: share of a Linear's parameters that its factors keep.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="layer-drop: how many layers, or which: 3, or 4,5,6 (from 0; one: 4,).")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="For calibrated methods: c4, c4_validation, or a .jsonl or .txt file."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Calibration samples.")] = 128,
    length: Annotated[int, typer.Option(help="Tokens per calibration sample.")] = 2048,
    seed: Annotated[int, typer.Option(help="Seed for drawing the calibration samples.")] = 0,
    data_root: Annotated[
        Path | None, typer.Option(help="A local mirror of the data sets.", envvar="KICK_DATA_ROOT")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compress every Linear of the decoder blocks, or drop some of them, and write a Hugging Face folder."""
    from kick.quiet import quiet_libraries

    quiet_libraries()
    from kick import checkpoints, compression
    from kick.suite.model_refs import parse_model
    from kick.types import Calibration, Recipe
    from kick.types.methods import pattern_sparsity

    if pattern is not None and sparsity is None:
        sparsity = pattern_sparsity(pattern)
    drawn = Calibration(data=calibration, samples=samples, length=length, seed=seed) if calibration else None
    recipe = Recipe(
        method=method,
        sparsity=sparsity,
        pattern=pattern,
        bits=bits,
        group_size=group_size,
        symmetric=symmetric,
        rank=rank,
        layers=_layers(layers),
        calibration=drawn,
    )
    compression.validate(recipe)
    source = checkpoints.resolve(parse_model(model, "MODEL"))
    compression.make(
        recipe, source, out, samples=compression.read_samples(drawn, source, data_root) if drawn else None
    )
    description = checkpoints.describe(out, recipe)
    if (made := compression.read_provenance(out)) is not None:
        compression.check_agreement(out, made.recipe, description)
    if as_json:
        printed = compression.read_made(out).model_dump(mode="json")
        print(json.dumps({"folder": str(out), **printed, "description": description.model_dump(mode="json")}))
    else:
        print(f"{out}: {description.sparsity:.2%} zeros in the decoder Linears. More: kick describe {out}")


def _layers(given: str | None) -> int | tuple[int, ...] | None:
    if given is None:
        return None
    numbers = [number.strip() for number in given.split(",") if number.strip()]
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise InputError(f"--layers: '{given}' is neither a number of layers nor their numbers, as in 4,5,6.")
    return tuple(map(int, numbers)) if "," in given else int(given)
