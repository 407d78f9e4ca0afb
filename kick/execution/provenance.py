"""The compression of a listed checkpoint, read from its own files: kick.json, quantization_config, a recipe file."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kick.checkpoints.description.declared import declarations
from kick.compression import Made, read_provenance
from kick.types import Step
from kick.types.measures import Declared

_GGUF_BITS = re.compile(r"I?Q(\d)")
# What a recipe file calls rounding is only a method if the weights are quantized at all.
_QUANTIZING = ("rtn", "gptq", "awq", "autoround", "smoothquant")


@dataclass(frozen=True)
class KnownSteps:
    """The steps by which a checkpoint was made, as its files tell."""

    # Its kick.json, if its weights are those that kick wrote.
    made: Made | None
    # The last step by another tool, if its rate is known.
    stated: Step | None


def read_steps(model: Path, fingerprint: str, say: Callable[[str], object]) -> KnownSteps:
    """Read how a folder or GGUF file was compressed.

    Args:
        model: the folder or file.
        fingerprint: its fingerprint: a kick.json of other weights is not believed.
        say: is told what is not believed.

    Raises:
        InputError: kick.json or config.json is damaged.
    """
    made = read_provenance(model) if model.is_dir() else None
    if made is not None and made.fingerprint != fingerprint:
        say(f"{model / 'kick.json'} is not believed: the weights are not those that kick wrote")
        made = None
    if made is not None:
        return KnownSteps(made, None)
    return KnownSteps(None, stated_step([one for one in declarations(model) if one.source != "kick.json"]))


def stated_step(declared: list[Declared]) -> Step | None:
    """Return the last step that files declare, bits after sparsity; None if they tell no rate."""
    bits = [(one, width) for one in declared if (width := _bits(one)) is not None]
    named = [one.method for one in declared if one.source == "recipe.yaml"]
    if bits:
        one, width = bits[-1]
        methods = [method for method in named if method in _QUANTIZING]
        return Step(method=(methods or [one.method])[-1], bits=width, group_size=one.group_size)
    for one in declared:
        if one.sparsity is not None and 0 < one.sparsity < 1:
            methods = [method for method in named if method not in _QUANTIZING]
            return Step(method=(methods or [one.method])[-1], sparsity=one.sparsity, pattern=one.pattern)
    return None


def _bits(declared: Declared) -> int | None:
    if declared.bits:
        return round(min(declared.bits))
    match = _GGUF_BITS.match(declared.method) if declared.source.endswith(".gguf") else None
    return int(match[1]) if match else None
