"""Consequences of how a checkpoint was made: its making in words, and the size that a format for it could have."""

from pathlib import Path

from kick.types.measures import Description
from kick.types.recipes import Recipe, Step

# Bits of the scale of a group of weights.
SCALE_BITS = 16


def making(recipe: Recipe) -> str:
    """Return how a checkpoint was made: `magnitude, 50 % zeros, then rtn, 4 bits, groups of 128, symmetric`."""
    return ", then ".join(step_in_words(step) for step in recipe.steps)


def step_in_words(step: Step, *, declared: bool = False) -> str:
    """Return one step in words; of one that is `declared` by a file, only what the file tells."""
    parts = [step.method]
    if step.sparsity is not None:
        parts.append(f"{100 * step.sparsity:g} % zeros")
    if step.rank is not None:
        parts.append(f"{100 * step.rank:g} % of the parameters")
    if step.layers is not None:
        which = isinstance(step.layers, tuple)
        parts.append(f"layers {step.layers} dropped" if which else f"{step.layers} layers dropped")
    if step.pattern:
        parts.append(step.pattern)
    if step.bits is not None:
        parts.append(f"{step.bits} bits")
        if step.group_size or not declared:
            parts.append(f"groups of {step.group_size}" if step.group_size else "one scale per row")
        if not declared:
            parts.append("symmetric" if step.symmetric else "asymmetric")
    if drawn := step.calibration:
        tokens = f"{drawn.samples} × {drawn.length} tokens"
        parts.append(f"calibrated on {tokens} of {Path(drawn.data).name}, seed {drawn.seed}")
    return ", ".join(parts)


def smallest_bytes(measured: Description, recipe: Recipe | None) -> int:
    """Return the bytes of a checkpoint as stored, or in a format made for its zeros, bits or factors if that is less.

    Rounded weights that are stored in a wider type take their bits with one 16-bit scale per group (and a zero point if
    asymmetric), zeros one bit for the mask, low-rank products their factors; all else is as stored. No file has this
    size.

    Args:
        measured: the stored weights.
        recipe: how they were made; None if that is not known, and then only zeros are left out.
    """
    sizes: list[float] = [measured.bytes_on_disk, measured.ideal_bytes]
    rounding = recipe.step_by("bits") if recipe else None
    if rounding is not None and rounding.bits is not None and not measured.packed:
        bits = float(rounding.bits)
        if rounding.group_size:
            bits += (SCALE_BITS + (0 if rounding.symmetric else rounding.bits)) / rounding.group_size
        saved = measured.linear_parameters * (measured.bits_per_weight - bits) / 8
        sizes.append(measured.bytes_on_disk - saved)
    factors = recipe.step_by("rank") if recipe else None
    if factors is not None and factors.rank is not None:
        saved = (1 - factors.rank) * measured.linear_parameters * measured.bits_per_weight / 8
        sizes.append(measured.bytes_on_disk - saved)
    return round(min(sizes))
