"""Recipes of compressed checkpoints, as records: what a suite asks for and `kick.json` keeps."""

from typing import Literal

from kick.types.base import Record

Axis = Literal["sparsity", "bits", "rank", "layers"]

# The position of a dense checkpoint on the axis of a series.
DENSE_RATE: dict[Axis, float] = {"sparsity": 0.0, "bits": 16.0, "rank": 1.0, "layers": 0.0}


def falling(axis: Axis) -> bool:
    """Return whether rates fall as compression grows, as bits do."""
    return DENSE_RATE[axis] > 0


class Calibration(Record):
    """The text that a method looks at: windows of documents, drawn by a seed."""

    # "c4", "c4_validation", or a file: .jsonl with a `text` per line, or .txt, one document
    data: str
    samples: int = 128
    # Tokens per sample.
    length: int = 2048
    seed: int = 0


class Step(Record):
    """One method at one rate. Exactly one of the four rates is given."""

    method: str
    # The share of zeros, 0..1.
    sparsity: float | None = None
    bits: int | None = None
    # The share of a Linear's parameters that its low-rank factors keep, 0..1.
    rank: float | None = None
    # Decoder layers to drop: how many, or which (from 0).
    layers: int | tuple[int, ...] | None = None
    # "N:M": of each M consecutive weights along the input dimension, N are kept.
    pattern: str | None = None
    # Weights that share one scale along the input dimension; None: a whole row.
    group_size: int | None = None
    symmetric: bool = True
    calibration: Calibration | None = None

    @property
    def axis(self) -> Axis:
        """The rate that is given."""
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


class Recipe(Step):
    """A chain of steps from a dense checkpoint to a compressed one: those `before`, in order, and then its own.

    The last step is the recipe itself: its rate is the checkpoint's place in its series.
    """

    before: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in the order in which they are applied."""
        own = Step.model_validate({name: getattr(self, name) for name in Step.model_fields})
        return (*self.before, own)

    def step_by(self, axis: Axis) -> Step | None:
        """Return the last step at a rate of one kind, if there is one."""
        return next((step for step in reversed(self.steps) if step.axis == axis), None)

    def then(self, *steps: Step) -> "Recipe":
        """Return the chain with more steps at its end."""
        return chain((*self.steps, *steps))


def chain(steps: tuple[Step, ...]) -> Recipe:
    """Return the recipe of one step or more, in the order in which they are applied."""
    *before, last = steps
    own = {name: getattr(last, name) for name in Step.model_fields}
    return Recipe(before=tuple(before), **own)
