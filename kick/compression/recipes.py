"""A step of a recipe and a checkpoint folder -> a compressed one, with a `kick.json` that says how.

What is written is dense-shaped safetensors of the source's dtypes, which any loader reads; quantized weights
are simulated (rounded to their levels and stored as the source stores them), and low-rank ones multiplied out. Only
SmoothQuant, which quantizes activations, writes a format of its own: see `llmcompressor`.
"""

import resource
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import Field, ValidationError

from kick.checkpoints.checks import quant_method
from kick.checkpoints.description.made import NAME, read_stated
from kick.checkpoints.description.patterns import parse_pattern
from kick.checkpoints.fingerprints import fingerprint
from kick.checkpoints.folder import (
    FLOATS,
    StoredTensor,
    config_json,
    decoder_linears,
    is_fused_experts,
    read_tensor,
    stored_tensors,
    stores_transposed,
    weight_files,
)
from kick.checkpoints.gguf import read_converted
from kick.compression.calibration import Samples
from kick.compression.folders import copy_others, copy_shards, overwrite, scratch_for
from kick.compression.keys import recipe_key
from kick.compression.layers import drop_layers
from kick.compression.llmcompressor import VERSIONS, calibrate, check_extra
from kick.errors import InputError
from kick.files import sync
from kick.progress import Reporter
from kick.types import Recipe, Record, Step
from kick.types.methods import validate
from kick.types.recipes import chain


class How(Record):
    """The settings and results of a method that its recipe does not say."""

    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    # The ranks of low-rank Linears, by the names of their weights.
    ranks: dict[str, int] = Field(default_factory=dict)
    # The parameters of the whole model if its low-rank Linears were kept as factors.
    parameters: int | None = None
    # The numbers of the layers that were dropped.
    layers: tuple[int, ...] = ()
    # The SHA-256 of the tokens that a calibrated method saw.
    samples: str | None = None


class Made(Record):
    """`kick.json`: how a folder was made, and what was written."""

    # Every step from the dense checkpoint.
    recipe: Recipe
    # The fingerprint of the dense checkpoint that the first step started from.
    source: str
    # recipe_key(recipe, source, ...): equal for folders that were made alike.
    key: str
    # The fingerprint of the folder as written.
    fingerprint: str
    # The version of kick.
    kick: str
    # The settings and results of the last step.
    how: How = How()
    # The versions of the libraries that computed it.
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = None
    # Bytes: the process's resident high-water mark when it was done.
    peak_memory: int | None = None


def make(
    recipe: Recipe,
    source: Path,
    out: Path,
    *,
    samples: Samples | None = None,
    reporter: Reporter | None = None,
) -> None:
    """Write the folder `out`: `source` with the last step of a recipe applied to its decoder blocks.

    A step is applied to the Linears, or drops layers. The steps before it are those that `source` was made by: its
    `kick.json` tells them, and `out` tells the whole chain.

    Except for dropped layers the shards keep their names, keys, dtypes, shapes and metadata; config and tokenizer
    files are copied; `kick.json` (a `Made`) says how it was made. `out` appears whole or not at all. Without data,
    memory is bounded by the largest Linear, or by the largest shard where layers are dropped; a calibrated method
    holds the whole model in float32.

    Args:
        recipe: the step to take; with steps before it, they have to be those of `source`.
        source: the folder of a dense checkpoint, or of one that kick made from it.
        out: the folder to write; it must not exist.
        samples: for a calibrated method: the result of `read_samples` for the recipe's calibration set.
        reporter: the receiver of a calibrated method's progress (default: stderr).

    Raises:
        InputError: the recipe is invalid or does not fit a Linear, the source is not a dense checkpoint or was made
            by other steps, `out` exists, another process is making it, or llm-compressor is needed and missing.
    """
    validate(recipe)
    started = time.monotonic()
    origin = _origin(recipe, source)
    if recipe.calibration is not None:
        check_extra(recipe.method)
    linears, transposed = _linears_to_compress(recipe, source)
    with scratch_for(out.absolute(), sum(shard.stat().st_size for shard in weight_files(source))) as scratch:
        if recipe.layers is not None:
            how = How(layers=drop_layers(recipe.layers, source, scratch))
        elif recipe.calibration is not None:
            if samples is None:
                raise ValueError("a calibrated method needs the samples of its calibration set")
            settings = calibrate(recipe, source, scratch, linears, samples, reporter or Reporter())
            how = How(settings=settings, samples=samples.sha256)
        else:
            how = _each_linear(recipe, source, scratch, linears, transposed)
        _finish(recipe, source, scratch, how, started, origin)


def read_made(folder: Path) -> Made:
    """Return the `kick.json` of a folder that `make` wrote, if the folder is still what was written.

    Reads every weight once.

    Raises:
        InputError: there is no kick.json, or a file has changed since.
    """
    provenance = read_provenance(folder)
    if provenance is None:
        raise InputError(f"{folder / NAME} is missing: kick did not make this folder. Make it again.")
    if fingerprint(folder) != provenance.fingerprint:
        raise InputError(f"{folder} is not what kick wrote there: a file has changed since. Make it again.")
    return provenance


def read_provenance(folder: Path) -> Made | None:
    """Return the `kick.json` of a folder as it is, or None if it has none or is a converted GGUF file.

    Its `fingerprint` tells whether the weights are still those that kick wrote.

    Raises:
        InputError: it is damaged.
    """
    stated = read_stated(folder)
    if not stated or read_converted(folder) is not None:
        return None
    try:
        return Made.model_validate(stated)
    except ValidationError:
        raise InputError(
            f"{folder / NAME} is damaged, or of another version of kick. Make the folder again."
        ) from None


def same_steps(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Return whether two chains are of the same methods and rates; calibration sets are told apart by their key."""
    bare = [[step.model_copy(update={"calibration": None}) for step in steps] for steps in (one, other)]
    return bare[0] == bare[1]


def _origin(recipe: Recipe, source: Path) -> Made | None:
    """Return how the source itself was made, after checking that it is by the steps before the last one."""
    provenance = read_provenance(source)
    if provenance is not None and provenance.fingerprint != fingerprint(source):
        provenance = None
    steps = provenance.recipe.steps if provenance else ()
    if recipe.before and not same_steps(recipe.before, steps):
        wanted, given = (", ".join(step.method for step in each) or "none" for each in (recipe.before, steps))
        raise InputError(
            f"{source}: the recipe continues other steps ({wanted}) than kick.json tells of this folder ({given})."
        )
    return provenance


def _linears_to_compress(recipe: Recipe, source: Path) -> tuple[list[StoredTensor], bool]:
    """Return the Linears, and True if they are stored as [in, out], after checking that the recipe fits each."""
    config = config_json(source)
    method = quant_method(config)
    if method is not None:
        raise InputError(f"{source} is quantized already ('{method}'). Start from its dense checkpoint.")
    transposed = stores_transposed(config)
    linears = decoder_linears(stored_tensors(source))
    if not linears:
        raise InputError(f"{source}: no Linears of decoder blocks to compress among its tensors.")
    for linear in linears:
        if recipe.layers is not None:
            continue
        if is_fused_experts(linear):
            raise InputError(
                f"{source}: '{linear.name}' holds all experts in one tensor, which kick does not compress."
            )
        if linear.dtype not in FLOATS:
            raise InputError(
                f"{source}: '{linear.name}' is stored as {linear.dtype}. Start from a dense checkpoint."
            )
        columns = linear.shape[0] if transposed else linear.shape[1]
        if recipe.calibration is not None and recipe.group_size and columns % recipe.group_size:
            raise InputError(
                f"{source}: '{linear.name}' has {columns} inputs, which are not divisible into groups of "
                f"{recipe.group_size}. Give another group_size, or none."
            )
        if recipe.pattern is not None and columns % parse_pattern(recipe.pattern)[1]:
            raise InputError(
                f"{source}: '{linear.name}' has {columns} inputs, which are not divisible into the groups of "
                f"{recipe.pattern}. Prune it without a pattern."
            )
    return linears, transposed


def _each_linear(
    recipe: Recipe, source: Path, scratch: Path, linears: list[StoredTensor], transposed: bool
) -> How:
    """Copy the shards and replace one Linear after the other: the methods that need no data."""
    from kick.compression.baselines import low_rank, magnitude, rank_of
    from kick.rounding import round_to_nearest

    ranks = {}
    copy_shards(weight_files(source), scratch)
    for linear in linears:
        weight = read_tensor(linear)
        weight = weight.T if transposed else weight
        if recipe.sparsity is not None:
            weight = magnitude(weight, recipe.sparsity, recipe.pattern)
        elif recipe.rank is not None:
            rank = rank_of((weight.shape[0], weight.shape[1]), recipe.rank)
            ranks[linear.name] = rank
            weight = low_rank(weight, rank)
        else:
            assert recipe.bits is not None
            weight = round_to_nearest(weight, recipe.bits, recipe.group_size, recipe.symmetric)
        overwrite(scratch, linear, weight.T if transposed else weight)
    return How(ranks=ranks, parameters=_as_factors(source, linears, ranks) if ranks else None)


def _as_factors(source: Path, linears: list[StoredTensor], ranks: dict[str, int]) -> int:
    """The parameters of the whole model with factors [out, r] and [r, in] in the place of its low-rank Linears."""
    stored = sum(tensor.numel for tensor in stored_tensors(source))
    return stored + sum(ranks[linear.name] * sum(linear.shape) - linear.numel for linear in linears)


def _finish(
    recipe: Recipe, source: Path, scratch: Path, how: How, started: float, origin: Made | None
) -> None:
    """Copy the files that are not weights, write kick.json, and sync every file."""
    copy_others(source, scratch)
    libraries = ("torch", "transformers", "safetensors", *(VERSIONS if recipe.calibration else ()))
    step = recipe.steps[-1]
    start = origin.key if origin else fingerprint(source)
    provenance = Made(
        recipe=origin.recipe.then(step) if origin else recipe,
        source=origin.source if origin else start,
        key=recipe_key(chain((step,)), start, how.samples),
        fingerprint=fingerprint(scratch),
        kick=version("llm-kick"),
        how=how,
        versions={name: version(name) for name in libraries},
        seconds=round(time.monotonic() - started, 3),
        peak_memory=_peak_memory(),
    )
    (scratch / NAME).write_text(provenance.model_dump_json(indent=1), encoding="utf-8")
    for path in scratch.iterdir():
        sync(path)
    sync(scratch)


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
