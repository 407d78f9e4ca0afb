"""What follows from how a checkpoint was made: its making in words, and the size that a format for it could have."""

from pathlib import Path

from kick.types.measures import Description
from kick.types.recipes import Recipe

# Bits of the scale of a group of weights.
SCALE_BITS = 16


def making(recipe: Recipe) -> str:
    """Return how a checkpoint was made: `magnitude, 50 % zeros`, `rtn, 4 bits, groups of 128, symmetric`."""
    parts = [recipe.method]
    if recipe.sparsity is not None:
        parts.append(f"{100 * recipe.sparsity:g} % zeros")
    if recipe.rank is not None:
        parts.append(f"{100 * recipe.rank:g} % of the parameters")
    if recipe.layers is not None:
        listed = isinstance(recipe.layers, tuple)
        parts.append(f"layers {recipe.layers} dropped" if listed else f"{recipe.layers} layers dropped")
    if recipe.pattern:
        parts.append(recipe.pattern)
    if recipe.bits is not None:
        parts.append(f"{recipe.bits} bits")
        parts.append(f"groups of {recipe.group_size}" if recipe.group_size else "one scale per row")
        parts.append("symmetric" if recipe.symmetric else "asymmetric")
    if drawn := recipe.calibration:
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
    if recipe is not None and recipe.bits is not None and not measured.packed:
        bits = float(recipe.bits)
        if recipe.group_size:
            bits += (SCALE_BITS + (0 if recipe.symmetric else recipe.bits)) / recipe.group_size
        saved = measured.linear_parameters * (measured.bits_per_weight - bits) / 8
        sizes.append(measured.bytes_on_disk - saved)
    if recipe is not None and recipe.rank is not None:
        saved = (1 - recipe.rank) * measured.linear_parameters * measured.bits_per_weight / 8
        sizes.append(measured.bytes_on_disk - saved)
    return round(min(sizes))
