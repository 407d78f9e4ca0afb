"""All that `kick describe` says: what was measured, what is declared, where they disagree, how much smaller it is."""

from pathlib import Path

from kick.checkpoints.cost import measure_cost
from kick.checkpoints.description.declared import declarations, disagreements
from kick.checkpoints.description.patterns import parse_pattern
from kick.checkpoints.description.weights import measure
from kick.checkpoints.loading import load
from kick.types.base import Record
from kick.types.measures import Cost, Declared, Description, LinearWeights, Ratio


class Inspection(Record):
    """A checkpoint, measured."""

    model: str
    description: Description
    ideal_bytes: int  # of a format for its zeros, which no file has; as on disk where that is less
    linears: tuple[LinearWeights, ...]
    declared: tuple[Declared, ...]
    warnings: tuple[str, ...]
    ratio: Ratio | None = None  # None: no reference was given
    cost: Cost | None = None  # None: it was not loaded


def inspect(
    model: Path, pattern: str | None = None, reference: Path | None = None, *, run: bool = False
) -> Inspection:
    """Measure a checkpoint and compare it with what it declares.

    Args:
        model: a Hugging Face folder with safetensors, or a .gguf file.
        pattern: N:M to measure beside the common ones and the declared one.
        reference: the dense checkpoint that its size is compared with.
        run: load it, too, on the GPU if there is one, and measure memory and speed.

    Raises:
        InputError: as `measure`, of either checkpoint; as `load` with `run`.
    """
    declared = declarations(model)
    stated = next((one.pattern for one in declared if one.pattern), None)
    description, linears = measure(model, pattern or stated)
    return Inspection(
        model=str(model),
        description=description,
        ideal_bytes=description.ideal_bytes,
        linears=linears,
        declared=declared,
        warnings=disagreements(declared, description),
        ratio=_ratio(description, reference) if reference is not None else None,
        cost=_cost(model) if run else None,
    )


def tightest_pattern(description: Description) -> str | None:
    """The N:M pattern that no group breaks, of several the smallest M; None where there is none."""
    kept = [pattern for pattern, broken in description.patterns.items() if broken == 0]
    return min(kept, key=lambda pattern: parse_pattern(pattern)[1], default=None)


def _cost(model: Path) -> Cost:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return measure_cost(lambda: load(model, dtype="auto", device=device), model, device)[1]


def _ratio(description: Description, reference: Path) -> Ratio:
    dense = measure(reference)[0]
    return Ratio(
        reference=str(reference),
        stored=dense.bytes_on_disk / description.bytes_on_disk,
        linears=dense.linear_bytes / description.linear_bytes,
        ideal=dense.bytes_on_disk / description.ideal_bytes,
    )
