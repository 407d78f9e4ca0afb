"""How a compressed checkpoint is made from another one: what a suite asks for and `kick.json` keeps."""

from typing import Literal

from kick.types.base import Record

Axis = Literal["sparsity", "bits", "rank", "layers"]

# The rate of a dense checkpoint on the axis of a series.
DENSE_RATE: dict[Axis, float] = {"sparsity": 0.0, "bits": 16.0, "rank": 1.0, "layers": 0.0}


def falling(axis: Axis) -> bool:
    """Return whether rates fall as compression grows, as bits do."""
    return DENSE_RATE[axis] > 0


class Calibration(Record):
    """The text that a method looks at: windows of documents, drawn by a seed."""

    # "c4", "c4_validation", or a file: .jsonl with one `text` per line, or .txt with one document.
    data: str
    samples: int = 128
    # Tokens per sample.
    length: int = 2048
    seed: int = 0


class Recipe(Record):
    """How a compressed checkpoint is made from another one. Exactly one of the four rates is given."""

    method: str
    # Rate: the share of zeros, 0..1.
    sparsity: float | None = None
    # Rate: bits per weight.
    bits: int | None = None
    # Rate: the share of a Linear's parameters that its low-rank factors keep, 0..1.
    rank: float | None = None
    # Rate: the decoder layers to drop, as their number or as their positions from 0.
    layers: int | tuple[int, ...] | None = None
    # "N:M": N of each M consecutive weights along the input dimension are kept.
    pattern: str | None = None
    # Consecutive weights along the input dimension that share one scale; None: a whole row does.
    group_size: int | None = None
    symmetric: bool = True
    calibration: Calibration | None = None

    @property
    def axis(self) -> Axis:
        """The axis of the series that the recipe is a point of."""
        if self.sparsity is not None:
            return "sparsity"
        if self.rank is not None:
            return "rank"
        return "layers" if self.layers is not None else "bits"

    @property
    def rate(self) -> float:
        """The position on the axis: sparsity 0..1, bits, share of parameters kept, or number of layers dropped."""
        if isinstance(self.layers, tuple):
            return float(len(self.layers))
        rates = [rate for rate in (self.sparsity, self.rank, self.layers, self.bits) if rate is not None]
        return float(rates[0])
