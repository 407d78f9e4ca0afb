"""The size of a checkpoint: its stored bytes, or those that a format made for its zeros or bits would take.

Nothing here is measured on hardware. An ideal size is a bound that a file format and a kernel still have to reach.
"""

from kick.types import CheckpointRecord, Description, Recipe, Record

# Bits of the scale of a group of weights, and of what is left unrounded next to it.
SCALE_BITS = 16


class Size(Record):
    """The size of one checkpoint.

    Attributes:
        stored: Bytes on disk.
        smallest: Bytes as stored, or the ideal size if that is less.
        parameters: The number of parameters.
        nonzero: The number of those that are not zero.
    """

    stored: int
    smallest: int
    parameters: int
    nonzero: int

    @property
    def ideal(self) -> bool:
        """True if `smallest` is a size that no file has."""
        return self.smallest < self.stored

    @property
    def bits(self) -> float:
        """Effective bits: bits per parameter at the smallest size, scales and masks included."""
        return 8 * self.smallest / self.parameters


def size(record: CheckpointRecord | None) -> Size | None:
    """Return the size of a checkpoint; None if its weights were not measured.

    The ideal size of rounded weights that are stored in a wider type is that of the decoder's linears at their bits
    with one 16-bit scale per group (and a zero point if asymmetric), all else as stored. That of stored zeros is the
    other weights of the decoder's linears as stored and one bit per weight for the mask. That of low-rank products is
    their factors.
    """
    if record is None or record.description is None or not record.description.parameters:
        return None
    measured = record.description
    recipe = record.recipe
    ideal = min(measured.ideal_bytes, _packed(measured, recipe), _as_factors(measured, recipe))
    return Size(
        stored=measured.bytes_on_disk,
        smallest=min(measured.bytes_on_disk, round(ideal)),
        parameters=measured.parameters,
        nonzero=measured.nonzero,
    )


def _packed(measured: Description, recipe: Recipe | None) -> float:
    step = recipe.step_by("bits") if recipe else None
    if measured.packed or step is None or step.bits is None:
        return float(measured.bytes_on_disk)
    bits = float(step.bits)
    if step.group_size:
        bits += (SCALE_BITS + (0 if step.symmetric else step.bits)) / step.group_size
    return measured.bytes_on_disk - measured.linear_parameters * (measured.bits_per_weight - bits) / 8


def _as_factors(measured: Description, recipe: Recipe | None) -> float:
    step = recipe.step_by("rank") if recipe else None
    if step is None or step.rank is None:
        return float(measured.bytes_on_disk)
    saved = (1 - step.rank) * measured.linear_parameters
    return measured.bytes_on_disk - saved * measured.bits_per_weight / 8
