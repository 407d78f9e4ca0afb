"""The whole of `kick describe`: what is measured and declared, where they disagree, how much smaller it is."""

from pathlib import Path

from kick.checkpoints.cost import measure_cost
from kick.checkpoints.description.declared import declarations, disagreements
from kick.checkpoints.description.made import NAME, read_making
from kick.checkpoints.description.patterns import parse_pattern
from kick.checkpoints.description.weights import measure
from kick.checkpoints.loading import load
from kick.types.base import Record
from kick.types.measures import Cost, Declared, Description, LinearWeights, Ratio
from kick.types.provenance import making, smallest_bytes

_CHANGED = (
    f"{NAME} is about other files than these: one has changed since kick wrote them, so it is not believed."
)


class Inspection(Record):
    """A checkpoint, measured and compared with what it declares."""

    model: str
    description: Description
    # The size in a format for its zeros, bits or factors, which no file has; as on disk if that is less.
    ideal_bytes: int
    # 8 * ideal_bytes / parameters
    ideal_bits: float
    # How kick made it, in words; None: it has no kick.json, or one about other weights.
    made_by: str | None
    linears: tuple[LinearWeights, ...]
    declared: tuple[Declared, ...]
    warnings: tuple[str, ...]
    # None: no reference was given.
    ratio: Ratio | None = None
    # None: it was not loaded.
    cost: Cost | None = None


def inspect(
    model: Path, pattern: str | None = None, reference: Path | None = None, *, run: bool = False
) -> Inspection:
    """Measure a checkpoint and compare it with what it declares.

    Args:
        model: a Hugging Face folder with safetensors, or a .gguf file.
        pattern: N:M to measure in addition to the common ones and the declared one.
        reference: the dense checkpoint that its size is compared with.
        run: load it, too, on the GPU if there is one, and measure memory and speed.

    Raises:
        InputError: as `measure`, of either checkpoint; as `load` with `run`.
    """
    declared = declarations(model)
    stated = next((one.pattern for one in declared if one.pattern), None)
    description, linears = measure(model, pattern or stated)
    provenance = read_making(model)
    current = provenance is not None and provenance.is_current()
    recipe = provenance.recipe if provenance and current else None
    smallest = smallest_bytes(description, recipe)
    return Inspection(
        model=str(model),
        description=description,
        ideal_bytes=smallest,
        ideal_bits=8 * smallest / description.parameters,
        made_by=making(recipe) if recipe else None,
        linears=linears,
        declared=declared,
        warnings=(*([_CHANGED] if provenance and not current else []), *disagreements(declared, description)),
        ratio=_ratio(description, smallest, reference) if reference is not None else None,
        cost=_cost(model) if run else None,
    )


def tightest_pattern(description: Description) -> str | None:
    """Return the N:M pattern that no group breaks, the one with the smallest M; None if each is broken."""
    kept = [pattern for pattern, broken in description.patterns.items() if broken == 0]
    return min(kept, key=lambda pattern: parse_pattern(pattern)[1], default=None)


def _cost(model: Path) -> Cost:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return measure_cost(lambda: load(model, dtype="auto", device=device), model, device)[1]


def _ratio(description: Description, smallest: int, reference: Path) -> Ratio:
    dense = measure(reference)[0]
    return Ratio(
        reference=str(reference),
        stored=dense.bytes_on_disk / description.bytes_on_disk,
        linears=dense.linear_bytes / description.linear_bytes,
        ideal=dense.bytes_on_disk / smallest,
    )
