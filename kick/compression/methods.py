"""The methods that kick knows: what rate and options each takes, whether a recipe can be made, and its key."""

import hashlib
import json
from dataclasses import dataclass

from kick.checkpoints.description.patterns import pattern_sparsity
from kick.errors import InputError, nearest
from kick.types import Axis, Recipe

# Part of every recipe key: raise it when a method writes other weights than before, be it by kick or by the
# versions of llm-compressor that kick allows.
ALGORITHM = 1


@dataclass(frozen=True)
class Method:
    """What a recipe of a method may say."""

    axis: Axis
    options: tuple[str, ...] = ()
    calibrated: bool = False

    @property
    def takes(self) -> set[str]:
        """Fields of a `Recipe`."""
        return {self.axis, *self.options, *(["calibration"] if self.calibrated else [])}


METHODS: dict[str, Method] = {
    "magnitude": Method("sparsity", ("pattern",)),
    "rtn": Method("bits", ("group_size", "symmetric")),
    "low-rank": Method("rank"),
    "layer-drop": Method("layers"),
    "wanda": Method("sparsity", ("pattern",), calibrated=True),
    "sparsegpt": Method("sparsity", ("pattern",), calibrated=True),
    "gptq": Method("bits", ("group_size", "symmetric"), calibrated=True),
    "awq": Method("bits", ("group_size", "symmetric"), calibrated=True),
    "autoround": Method("bits", ("group_size", "symmetric"), calibrated=True),
    "smoothquant": Method("bits", calibrated=True),
}
_FIELDS = [name for name in Recipe.model_fields if name != "method"]


def validate(recipe: Recipe) -> None:
    """Whether a recipe can be made, before any weight is read.

    Raises:
        InputError: the method is unknown, the rate is missing or out of range, or an option belongs to
            another method.
    """
    method = METHODS.get(recipe.method)
    if method is None:
        raise InputError(f"method '{recipe.method}' is unknown. {nearest(recipe.method, list(METHODS))}")
    for option in _FIELDS:
        if option not in method.takes and getattr(recipe, option) != Recipe.model_fields[option].default:
            others = ", ".join(f"'{name}'" for name, other in METHODS.items() if option in other.takes)
            raise InputError(f"{option} is no option of '{recipe.method}', but of {others}.")
    {"sparsity": _sparsity, "bits": _bits, "rank": _rank, "layers": _layers}[method.axis](recipe)
    if method.calibrated:
        _calibration(recipe)


def recipe_key(recipe: Recipe, source_fingerprint: str, samples: str | None = None) -> str:
    """The fingerprint of what a recipe makes of a source, known without making it: SHA-256 (hex).

    Of source, recipe, calibration set and the version of the algorithms; not the hash of the files that
    `fingerprint` gives.

    Args:
        recipe: the recipe.
        source_fingerprint: of the folder that it is applied to.
        samples: of a calibrated method: the hash of the tokens that it sees.
    """
    parts = {
        "source": source_fingerprint,
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "algorithm": ALGORITHM,
    }
    if recipe.calibration is not None:
        assert samples is not None
        parts["recipe"] = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"calibration"})
        parts["samples"] = samples
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _sparsity(recipe: Recipe) -> None:
    if recipe.sparsity is None or not 0 < recipe.sparsity < 1:
        raise InputError(
            f"sparsity of '{recipe.method}' is {_given(recipe.sparsity)}; expected a share of zeros "
            f"above 0 and below 1."
        )
    if recipe.pattern is not None:
        asked = pattern_sparsity(recipe.pattern)
        if abs(recipe.sparsity - asked) > 1e-9:
            raise InputError(
                f"pattern {recipe.pattern} is a sparsity of {asked:g}, not {recipe.sparsity:g}. "
                "Change one of them."
            )


def _bits(recipe: Recipe) -> None:
    least = 8 if recipe.method == "smoothquant" else 2
    if recipe.bits is None or not least <= recipe.bits <= 8:
        wanted = "8, of weights and activations" if least == 8 else "2 to 8"
        raise InputError(f"bits of '{recipe.method}' is {_given(recipe.bits)}; expected {wanted}.")
    if recipe.group_size is not None and recipe.group_size < 1:
        raise InputError(
            f"group_size of '{recipe.method}' is {recipe.group_size}; expected 1 or more, or none for a "
            f"whole row."
        )


def _rank(recipe: Recipe) -> None:
    if recipe.rank is None or not 0 < recipe.rank < 1:
        raise InputError(
            f"rank of '{recipe.method}' is {_given(recipe.rank)}; expected the share of a Linear's parameters "
            "that its factors keep, above 0 and below 1."
        )


def _layers(recipe: Recipe) -> None:
    layers = recipe.layers
    if layers is None or layers == () or (isinstance(layers, int) and layers < 1):
        given = "missing" if layers is None else "none" if layers == () else f"{layers}"
        raise InputError(
            f"layers of '{recipe.method}' is {given}; expected how many to drop, 1 or more, or a list of their "
            "numbers, from 0."
        )
    if isinstance(layers, tuple) and list(layers) != sorted(set(layers)):
        raise InputError(
            f"layers of '{recipe.method}' is {list(layers)}; expected different numbers in rising order."
        )


def _calibration(recipe: Recipe) -> None:
    given = recipe.calibration
    if given is None:
        raise InputError(
            f"'{recipe.method}' needs a calibration set. Give `calibration` with `data`, `samples` and `length`."
        )
    if given.samples < 1 or given.length < 2:
        raise InputError(
            f"calibration of '{recipe.method}' is {given.samples} samples of {given.length} tokens; expected 1 "
            "sample or more, of 2 tokens or more."
        )


def _given(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"
