"""The size of a checkpoint: its stored bytes, or those that a format made for its zeros or bits would take.

Nothing here is measured on hardware. An ideal size is a bound that a file format and a kernel still have to reach.
"""

from kick.types import CheckpointRecord, Record
from kick.types.provenance import smallest_bytes


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

    The ideal size is that of `kick.types.provenance.smallest_bytes`.
    """
    if record is None or record.description is None or not record.description.parameters:
        return None
    measured = record.description
    return Size(
        stored=measured.bytes_on_disk,
        smallest=smallest_bytes(measured, record.recipe),
        parameters=measured.parameters,
        nonzero=measured.nonzero,
    )
