"""`kick describe`: what a checkpoint's weights are, measured."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from kick.checkpoints.description.inspection import Inspection
    from kick.types.measures import Cost, LinearWeights, StoredAs


def describe(
    model: Annotated[str, typer.Argument(help="A folder, a .gguf file, or a hub id as owner/name@revision.")],
    pattern: Annotated[
        str | None,
        typer.Option(metavar="N:M", help="A pattern to measure in addition to 1:2, 2:4 and 4:8."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The dense model, to say how many times smaller it is."),
    ] = None,
    linears: Annotated[bool, typer.Option("--linears", help="Also list every Linear.")] = False,
    load: Annotated[
        bool, typer.Option("--load", help="Also load and run it: memory and tokens per second.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Measure a checkpoint's stored weights: parameters, zeros, patterns, bits, bytes; and what it declares."""
    from kick.checkpoints.description.inspection import inspect

    inspection = inspect(_path(model), pattern, _path(reference) if reference else None, run=load)
    if as_json:
        print(inspection.model_dump_json())
        return
    from kick.cli.output import table_console

    console = table_console()
    console.print(_summary(inspection, pattern))
    if linears:
        console.print(_listed(inspection.linears))
    for warning in inspection.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _path(model: str) -> Path:
    from kick.checkpoints import resolve
    from kick.suite.model_refs import parse_model

    return resolve(parse_model(model, "MODEL"))


def _summary(inspection: "Inspection", pattern: str | None) -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _rows(inspection, pattern):
        table.add_row(name, value)
    return table


def _rows(inspection: "Inspection", pattern: str | None) -> Iterator[tuple[str, str]]:
    measured = inspection.description
    yield "architecture", measured.architecture
    if inspection.made_by is not None:
        yield "made by", inspection.made_by
    yield "parameters", f"{measured.parameters:,}"
    yield "non-zero", f"{measured.nonzero:,}"
    if measured.packed:
        yield "packed (zeros not counted)", f"{measured.packed:,}"
    if measured.active != measured.parameters:
        yield (
            "active per token",
            "not stated in the config" if measured.active is None else f"{measured.active:,}",
        )
    yield (
        "in decoder Linears",
        f"{measured.linear_parameters:,} in {len(inspection.linears)} Linears of {len(measured.layers)} layers",
    )
    yield from _zeros(inspection, pattern)
    for number, stored in enumerate(measured.stored_as):
        yield "" if number else "decoder Linears stored as", _stored(stored)
    yield "all values stored as", ", ".join(f"{kind} {n:,}" for kind, n in measured.stored_dtypes.items())
    yield "effective bits, whole model", f"{measured.bits_per_weight:.3f}"
    yield "effective bits, decoder Linears", f"{measured.linear_bits_per_weight:.3f}"
    yield "bytes on disk", f"{measured.bytes_on_disk:,}"
    yield (
        "tensors alone",
        f"{measured.tensor_bytes:,} (in memory before the first forward, where kept as stored)",
    )
    if inspection.ideal_bytes < measured.bytes_on_disk:
        yield (
            "ideal size",
            f"{inspection.ideal_bytes:,} bytes, {inspection.ideal_bits:.3f} bits per parameter "
            "(a bound: no file has it)",
        )
    if inspection.ratio is not None:
        ideal = (
            f", {inspection.ratio.ideal:.2f} at the ideal size"
            if inspection.ideal_bytes < measured.bytes_on_disk
            else ""
        )
        yield (
            "times smaller than reference",
            f"{inspection.ratio.stored:.2f}, its decoder Linears {inspection.ratio.linears:.2f}{ideal}",
        )
    if inspection.cost is not None:
        yield from _ran(inspection.cost)
    for number, one in enumerate(inspection.declared):
        parts = [one.method, *(f"{bits:g} bit" for bits in one.bits)]
        parts += [f"groups of {one.group_size}"] if one.group_size else []
        parts += [f"{one.sparsity:.1%} zeros"] if one.sparsity is not None else []
        yield (
            "" if number else "declared",
            f"{', '.join([*parts, *([one.pattern] if one.pattern else [])])} ({one.source})",
        )
    if not inspection.declared:
        yield "declared", "nothing"


def _zeros(inspection: "Inspection", pattern: str | None) -> Iterator[tuple[str, str]]:
    from kick.checkpoints.description.inspection import tightest_pattern

    measured = inspection.description
    if measured.packed >= measured.linear_parameters:
        yield "sparsity of these", "not counted: packed"
        return
    yield "sparsity of these", f"{measured.sparsity:.2%}"
    yield "least, most sparse Linear", f"{measured.sparsity_min:.2%}, {measured.sparsity_max:.2%}"
    yield "least, most sparse layer", f"{min(measured.layers):.2%}, {max(measured.layers):.2%}"
    tightest = tightest_pattern(measured)
    broken = ", ".join(f"{name} in {share:.2%}" for name, share in measured.patterns.items() if share)
    yield "N:M pattern along the inputs", tightest or "none"
    if broken and (pattern or measured.sparsity):
        yield "groups that break a pattern", broken


def _ran(cost: "Cost") -> Iterator[tuple[str, str]]:
    yield "loaded in", f"{cost.load_seconds:.1f} s, with the checks of a strict load"
    yield "before the first forward", f"{cost.footprint:,} bytes of parameters and buffers"
    peak = "not available on this system" if cost.peak_memory is None else f"{cost.peak_memory:,} bytes"
    yield (
        "peak memory",
        f"{peak} ({'of the GPU' if cost.device == 'cuda' else 'resident, libraries included'})",
    )
    if (speed := cost.speed) is None:
        yield "tokens per second", "not measured: too small, or it does not generate"
        return
    simulated = "simulated; " if speed.simulated else ""
    yield (
        "tokens per second",
        f"prefill {speed.prefill:.1f}, decode {speed.decode:.1f} ({simulated}{speed.prompt_tokens} + "
        f"{speed.new_tokens} tokens, batch {speed.batch}, median of {speed.repeats}; {speed.backend})",
    )


def _stored(stored: "StoredAs") -> str:
    group = f", {stored.group_size:g} weights per scale" if stored.group_size else ""
    effective = 8 * stored.bytes / stored.weights
    in_all = f", {effective:.4g} bit in all" if effective > stored.value_bits else ""
    return (
        f"{stored.format} {stored.dtype}: {stored.value_bits:.4g} bit{group}{in_all}; "
        f"{stored.linears} Linears, {stored.weights:,} weights"
    )


def _listed(linears: "tuple[LinearWeights, ...]") -> "Table":
    from rich.table import Table

    table = Table(
        "Linear", "stored as", "weights", "bits", "in all", "a scale for", "zeros", box=None, pad_edge=False
    )
    for one in linears:
        zeros = "packed" if one.zeros is None else f"{one.zeros / one.weights:.2%}"
        group = f"{one.group_size:g}" if one.group_size else "–"
        table.add_row(
            one.name,
            f"{one.format} {one.dtype}",
            f"{one.weights:,}",
            f"{one.value_bits:.4g}",
            f"{one.bits:.4g}",
            group,
            zeros,
        )
    return table
