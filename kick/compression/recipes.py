"""A recipe and a dense checkpoint folder -> a compressed one: decoder Linears replaced, all else copied.

What is written is dense-shaped safetensors of the source's dtypes, which any loader reads; quantised weights
are simulated (rounded to their levels and stored as the source stores them).
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from pydantic import ValidationError

from kick.checkpoints.checks import quant_method
from kick.checkpoints.fingerprint import fingerprint
from kick.checkpoints.folder import (
    FLOATS,
    INDEX,
    StoredTensor,
    config_json,
    decoder_linears,
    is_fused_experts,
    read_tensor,
    stored_tensors,
    stores_transposed,
    tokenizer_files,
    weight_files,
)
from kick.checkpoints.patterns import parse_pattern, pattern_sparsity
from kick.errors import InputError, nearest
from kick.files import sync
from kick.types import Axis, Recipe, Record

if TYPE_CHECKING:
    from torch import Tensor

METHODS: dict[str, Axis] = {"magnitude": "sparsity", "rtn": "bits"}

# Part of every recipe key: raise it when a method writes other weights than before.
ALGORITHM = 1


class Made(Record):
    """`kick.json`: how a folder was made, and what was written."""

    recipe: Recipe
    source: str  # fingerprint of the folder that it was made from
    key: str  # recipe_key(recipe, source)
    fingerprint: str  # of the folder as written
    kick: str  # version


def validate(recipe: Recipe) -> None:
    """Whether a recipe can be made, before any weight is read.

    Raises:
        InputError: the method is unknown, the rate is missing or out of range, or an option belongs to
            another method.
    """
    axis = METHODS.get(recipe.method)
    if axis is None:
        raise InputError(f"method '{recipe.method}' is unknown. {nearest(recipe.method, list(METHODS))}")
    foreign = ("bits", "group_size", "symmetric") if axis == "sparsity" else ("sparsity", "pattern")
    for option in foreign:
        if getattr(recipe, option) != Recipe.model_fields[option].default:
            others = ", ".join(f"'{name}'" for name, its_axis in METHODS.items() if its_axis != axis)
            raise InputError(f"{option} is no option of '{recipe.method}', but of {others}.")
    if axis == "sparsity":
        if recipe.sparsity is None or not 0 < recipe.sparsity < 1:
            raise InputError(
                f"sparsity of '{recipe.method}' is {_given(recipe.sparsity)}; expected a share of zeros "
                f"above 0 and below 1."
            )
        if recipe.pattern is not None:
            asked = pattern_sparsity(recipe.pattern)
            if abs(recipe.sparsity - asked) > 1e-9:
                raise InputError(
                    f"pattern {recipe.pattern} is a sparsity of {asked:g}, not {recipe.sparsity:g}. "
                    "Change one of them."
                )
    else:
        if recipe.bits is None or not 2 <= recipe.bits <= 8:
            raise InputError(f"bits of '{recipe.method}' is {_given(recipe.bits)}; expected 2 to 8.")
        if recipe.group_size is not None and recipe.group_size < 1:
            raise InputError(
                f"group_size of '{recipe.method}' is {recipe.group_size}; expected 1 or more, or none for a "
                f"whole row."
            )


def recipe_key(recipe: Recipe, source_fingerprint: str) -> str:
    """The fingerprint of what a recipe makes of a source, known without making it: SHA-256 (hex).

    Of source, recipe and the version of the algorithms; not the hash of the files that `fingerprint` gives.
    """
    parts = {
        "source": source_fingerprint,
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "algorithm": ALGORITHM,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def make(recipe: Recipe, source: Path, out: Path) -> None:
    """Write the folder `out`: `source` with a recipe applied to every Linear of its decoder blocks.

    The shards keep their names, keys, dtypes, shapes and metadata; config and tokenizer files are copied;
    `kick.json` (a `Made`) says how it was made. Memory is bounded by the largest Linear. `out` appears whole
    or not at all.

    Raises:
        InputError: the recipe is invalid or does not fit a Linear, the source is no dense checkpoint, `out`
            exists, or another process is making it.
    """
    validate(recipe)
    linears, transposed = _linears_to_compress(recipe, source)
    shards = weight_files(source)
    with _scratch_for(out.absolute(), sum(shard.stat().st_size for shard in shards)) as scratch:
        for shard in shards:
            shutil.copyfile(shard, scratch / shard.name)
        for linear in linears:
            _write(scratch / linear.shard.name, linear, _compressed(recipe, linear, transposed))
        _finish(recipe, source, scratch)


def read_made(folder: Path) -> Made:
    """The `kick.json` of a folder that `make` wrote, if the folder is still what was written.

    Reads every weight once.

    Raises:
        InputError: there is no kick.json, or a file has changed since.
    """
    path = folder / "kick.json"
    try:
        made = Made.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: kick did not make this folder. Make it again.") from None
    except ValidationError:
        raise InputError(
            f"{path} is damaged, or of another version of kick. Make the folder again."
        ) from None
    if fingerprint(folder) != made.fingerprint:
        raise InputError(f"{folder} is not what kick wrote there: a file has changed since. Make it again.")
    return made


@contextmanager
def _scratch_for(out: Path, size: int) -> Iterator[Path]:
    """A folder beside `out` for `size` bytes: renamed to `out` at the end, removed if anything fails."""
    scratch = out.with_name(f".{out.name}.tmp")
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{out} is being made by another process. Wait for it, or give another folder."
        ) from None
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}). Give a folder that can.") from None
    try:
        if out.exists():
            raise InputError(f"{out} exists and is not overwritten. Delete it, or give another folder.")
        shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
        free = shutil.disk_usage(out.parent).free
        if free < size:
            raise InputError(
                f"{out} needs {size / 1e9:.1f} GB, and its disk has {free / 1e9:.1f}. Make room."
            )
        scratch.mkdir()
        yield scratch
        scratch.rename(out)
        sync(out.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _linears_to_compress(recipe: Recipe, source: Path) -> tuple[list[StoredTensor], bool]:
    """The Linears and whether they are stored as [in, out], after checking that the recipe fits each."""
    config = config_json(source)
    method = quant_method(config)
    if method is not None:
        raise InputError(f"{source} is quantised already ('{method}'). Start from its dense checkpoint.")
    transposed = stores_transposed(config)
    linears = decoder_linears(stored_tensors(source))
    if not linears:
        raise InputError(f"{source}: no Linears of decoder blocks to compress among its tensors.")
    for linear in linears:
        if is_fused_experts(linear):
            raise InputError(
                f"{source}: '{linear.name}' holds all experts in one tensor, which kick does not compress."
            )
        if linear.dtype not in FLOATS:
            raise InputError(
                f"{source}: '{linear.name}' is stored as {linear.dtype}. Start from a dense checkpoint."
            )
        columns = linear.shape[0] if transposed else linear.shape[1]
        if recipe.pattern is not None and columns % parse_pattern(recipe.pattern)[1]:
            raise InputError(
                f"{source}: '{linear.name}' has {columns} inputs, which are not divisible into the groups of "
                f"{recipe.pattern}. Prune it without a pattern."
            )
    return linears, transposed


def _compressed(recipe: Recipe, linear: StoredTensor, transposed: bool) -> "Tensor":
    from kick.compression.baselines import magnitude, round_to_nearest

    weight = read_tensor(linear)
    weight = weight.T if transposed else weight
    if recipe.method == "magnitude":
        assert recipe.sparsity is not None
        weight = magnitude(weight, recipe.sparsity, recipe.pattern)
    else:
        assert recipe.bits is not None
        weight = round_to_nearest(weight, recipe.bits, recipe.group_size, recipe.symmetric)
    return weight.T if transposed else weight


def _write(shard: Path, tensor: StoredTensor, values: "Tensor") -> None:
    """Overwrite one tensor of a copied shard in place: its shape and dtype, and so the header, stay."""
    import torch

    data = values.contiguous().view(torch.uint8).numpy().ravel()
    target = np.memmap(
        shard, dtype=np.uint8, mode="r+", offset=tensor.begin, shape=(tensor.end - tensor.begin,)
    )
    target[:] = data
    target.flush()


def _finish(recipe: Recipe, source: Path, scratch: Path) -> None:
    """Copy what is no weight, write kick.json, and sync every file."""
    others = [
        source / "config.json",
        source / "generation_config.json",
        source / INDEX,
        *tokenizer_files(source),
    ]
    for path in {path for path in [*others, *source.glob("*.py")] if path.is_file()}:
        shutil.copyfile(path, scratch / path.name)
    source_fingerprint = fingerprint(source)
    made = Made(
        recipe=recipe,
        source=source_fingerprint,
        key=recipe_key(recipe, source_fingerprint),
        fingerprint=fingerprint(scratch),
        kick=version("llm-kick"),
    )
    (scratch / "kick.json").write_text(made.model_dump_json(indent=1), encoding="utf-8")
    for path in scratch.iterdir():
        sync(path)
    sync(scratch)


def _given(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"
