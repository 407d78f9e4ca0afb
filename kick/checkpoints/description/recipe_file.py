"""The `recipe.yaml` that llm-compressor writes next to a checkpoint: the modifiers that it was made by."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kick.types.measures import Declared
from kick.yaml_files import read_yaml

NAME = "recipe.yaml"
# llm-compressor's modifiers by the method that kick calls them.
_METHODS = {
    "AWQModifier": "awq",
    "AutoRoundModifier": "autoround",
    "ConstantPruningModifier": "pruned",
    "GPTQModifier": "gptq",
    "MagnitudePruningModifier": "magnitude",
    "QuantizationModifier": "rtn",
    "SmoothQuantModifier": "smoothquant",
    "SparseGPTModifier": "sparsegpt",
    "WandaPruningModifier": "wanda",
}


def recipe_file(model: Path) -> tuple[Declared, ...]:
    """Return what a folder's recipe.yaml declares, in the order of its modifiers; nothing if there is none.

    Raises:
        InputError: it is not YAML, or too large or deeply nested to be a recipe.
    """
    path = model / NAME
    if not path.is_file():
        return ()
    return tuple(
        Declared(
            source=NAME,
            method=_METHODS[name],
            sparsity=_share(settings.get("sparsity", settings.get("final_sparsity"))),
            pattern=_pattern(settings.get("mask_structure")),
        )
        for name, settings in _modifiers(read_yaml(path))
    )


def _modifiers(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the modifiers below stages, groups and lists, whatever the stages are called."""
    if isinstance(value, list):
        for one in value:
            yield from _modifiers(one)
    elif isinstance(value, dict):
        for name, below in value.items():
            if name in _METHODS:
                yield name, below if isinstance(below, dict) else {}
            else:
                yield from _modifiers(below)


def _share(stated: Any) -> float | None:
    is_share = isinstance(stated, int | float) and not isinstance(stated, bool) and 0 < stated < 1
    return float(stated) if is_share else None


def _pattern(stated: Any) -> str | None:
    """Return an N:M of kept weights; llm-compressor writes 0:0 for none."""
    return stated if isinstance(stated, str) and ":" in stated and stated != "0:0" else None
