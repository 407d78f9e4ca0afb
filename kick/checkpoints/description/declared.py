"""Read what a checkpoint declares about its own compression, and compare it with what was measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from kick.checkpoints.checks import quant_method, quantization_config
from kick.checkpoints.description.gguf_file import is_gguf, read_gguf
from kick.checkpoints.description.made import stated_steps
from kick.checkpoints.description.recipe_file import recipe_file
from kick.checkpoints.folder import config_json
from kick.checkpoints.untrusted import section
from kick.types.measures import Declared, Description

# 0.2 points.
SPARSITY_TOLERANCE = 0.002
# Far above every width, group and share that a checkpoint states.
_LARGEST = 1e9
_BITS = ("bits", "num_bits", "w_bit", "nbits", "weight_bits")
_METHOD_BITS = {
    "bitsandbytes_4bit": 4.0,
    "bitsandbytes_8bit": 8.0,
    "fp8": 8.0,
    "mxfp8": 8.0,
    "mxfp4": 4.0,
}


def declarations(model: Path) -> tuple[Declared, ...]:
    """Return what config.json and kick.json of a folder, or the header of a .gguf file, declare.

    Raises:
        InputError: one of them cannot be read.
    """
    if is_gguf(model):
        kind = read_gguf(model).file_type
        return (Declared(source=model.name, method=kind),) if kind else ()
    config = config_json(model)
    declared = quantization_config(config)
    statements = []
    if declared is not None:
        statements.append(_of_config(quant_method(config) or "unnamed", declared))
    steps = stated_steps(model)
    statements += [_of_recipe(step, followed=step is not steps[-1]) for step in steps]
    return (*statements, *recipe_file(model))


def disagreements(declared: tuple[Declared, ...], measured: Description) -> tuple[str, ...]:
    """Return one sentence per difference between what is declared and what was measured."""
    sentences = [sentence for one in declared for sentence in _disagreements(one, measured)]
    packed = [stored.format for stored in measured.stored_as if stored.format not in ("dense", "gguf")]
    if packed and not any(one.source == "config.json" for one in declared):
        sentences.append(f"config.json declares no quantization, but Linears are stored as {packed[0]}.")
    return tuple(sentences)


def _disagreements(declared: Declared, measured: Description) -> Iterator[str]:
    says = f"{declared.source} declares"
    if declared.bits:
        yield from _bits(declared, measured, says)
    if declared.sparsity is not None:
        if measured.packed >= measured.linear_parameters:
            yield f"{says} {declared.sparsity:.1%} zeros, which cannot be counted: the weights are packed."
        elif declared.followed and measured.sparsity > declared.sparsity:
            # Later steps add zeros.
            pass
        elif abs(measured.sparsity - declared.sparsity) > SPARSITY_TOLERANCE:
            yield f"{says} {declared.sparsity:.1%} zeros, but {measured.sparsity:.1%} were measured."
    broken = measured.patterns.get(declared.pattern or "", 0.0)
    if broken:
        yield f"{says} the pattern {declared.pattern}, but {broken:.2%} of the groups break it."
    if declared.source.endswith(".gguf"):
        kind = declared.method.removesuffix("_S").removesuffix("_M").removesuffix("_L")
        share = _share(measured, kind)
        if share < 0.5:
            yield f"{says} {declared.method}, but {share:.0%} of the weights in decoder Linears are {kind}."


def _bits(declared: Declared, measured: Description, says: str) -> Iterator[str]:
    what = f"{says} {' and '.join(f'{bits:g}' for bits in declared.bits)} bit"
    dense = [stored for stored in measured.stored_as if stored.format == "dense"]
    left = sum(stored.weights for stored in dense) / measured.linear_parameters
    if left == 1:
        widths = ", ".join(f"{one.value_bits:g} bit ({one.dtype})" for one in dense)
        yield f"{what}, but every Linear is stored in {widths}."
    elif left and not declared.partly:
        yield f"{what}, but {left:.1%} of the weights in decoder Linears are stored unquantized."
    for stored in measured.stored_as:
        if stored.format == "dense":
            continue
        if all(abs(stored.value_bits - bits) > 0.5 for bits in declared.bits):
            yield f"{what}, but {stored.linears} Linears are stored in {stored.value_bits:.2g} bit."
        group = declared.group_size
        if group and stored.group_size and not group / 2 < stored.group_size <= group:
            yield f"{says} groups of {group}, but {stored.linears} Linears have a scale for {stored.group_size:g}."


def _share(measured: Description, kind: str) -> float:
    weights = sum(stored.weights for stored in measured.stored_as if stored.dtype == kind)
    return weights / measured.linear_parameters


def _of_config(method: str, declared: dict[str, Any]) -> Declared:
    groups = [group for group in section(declared, "config_groups").values() if isinstance(group, dict)]
    weights = [group["weights"] for group in groups if isinstance(group.get("weights"), dict)] or [declared]
    bits = {float(value) for part in weights if (value := _first_number(part, _BITS)) is not None}
    sizes = {value for part in weights if (value := _first_number(part, ("group_size",))) is not None}
    sparse = section(declared, "sparsity_config")
    stated = (declared.get("ignore"), declared.get("modules_to_not_convert"))
    left_out = [name for names in stated if isinstance(names, list) for name in names]
    size = min(sizes) if len(sizes) == 1 else 0
    return Declared(
        source="config.json",
        method=method,
        bits=tuple(sorted(bits or ({_METHOD_BITS[method]} if method in _METHOD_BITS else set()))),
        group_size=round(size) if size > 0 else None,
        sparsity=_first_number(sparse, ("global_sparsity",)),
        pattern=_pattern(sparse.get("sparsity_structure")),
        partly=any("head" not in str(name) for name in left_out),
    )


def _of_recipe(recipe: dict[str, Any], *, followed: bool = False) -> Declared:
    bits = _first_number(recipe, ("bits",))
    size = _first_number(recipe, ("group_size",))
    return Declared(
        source="kick.json",
        method=str(recipe.get("method", "unnamed")),
        bits=() if bits is None else (bits,),
        group_size=None if size is None else round(size),
        sparsity=_first_number(recipe, ("sparsity",)),
        pattern=_pattern(recipe.get("pattern")),
        followed=followed,
    )


def _first_number(place: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    numbers = (place.get(key) for key in keys)
    return next((float(number) for number in numbers if _is_number(number)), None)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _pattern(stated: Any) -> str | None:
    """Return an N:M of kept weights, or None; compressed-tensors writes 0:0 for none."""
    return stated if isinstance(stated, str) and ":" in stated and stated != "0:0" else None
