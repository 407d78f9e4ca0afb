"""How a compressed checkpoint is made from another one, as records: what a suite asks for and `kick.json` keeps."""

from typing import Literal

from kick.types.base import Record

Axis = Literal["sparsity", "bits", "rank", "layers"]

# Where a dense checkpoint stands on the axis of a series.
DENSE_RATE: dict[Axis, float] = {"sparsity": 0.0, "bits": 16.0, "rank": 1.0, "layers": 0.0}


def falling(axis: Axis) -> bool:
    """Whether rates fall as compression grows, as bits do."""
    return DENSE_RATE[axis] > 0


class Calibration(Record):
    """The text that a method looks at: windows of documents, drawn by a seed."""

    data: str  # "c4", "c4_validation", or a file: .jsonl with a `text` a line, or .txt, one document
    samples: int = 128
    length: int = 2048  # tokens of a sample
    seed: int = 0


class Recipe(Record):
    """How a compressed checkpoint is made from another one. Exactly one of the four rates is given."""

    method: str
    sparsity: float | None = None  # share of zeros, 0..1
    bits: int | None = None
    rank: float | None = None  # share of a Linear's parameters that its low-rank factors keep, 0..1
    layers: int | tuple[int, ...] | None = None  # decoder layers to drop: how many, or which (from 0)
    pattern: str | None = None  # "N:M": of each M consecutive weights along the input dimension, N are kept
    group_size: int | None = None  # weights that share one scale along the input dimension; None: a whole row
    symmetric: bool = True
    calibration: Calibration | None = None

    @property
    def axis(self) -> Axis:
        if self.sparsity is not None:
            return "sparsity"
        if self.rank is not None:
            return "rank"
        return "layers" if self.layers is not None else "bits"

    @property
    def rate(self) -> float:
        """The position on the axis of the series: sparsity 0..1, bits, share of parameters kept, layers dropped."""
        if isinstance(self.layers, tuple):
            return float(len(self.layers))
        rates = [rate for rate in (self.sparsity, self.rank, self.layers, self.bits) if rate is not None]
        return float(rates[0])
