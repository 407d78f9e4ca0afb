"""The methods that kick knows: the rate and options of each, and whether a recipe can be made."""

import re
from dataclasses import dataclass

from kick.errors import InputError, nearest
from kick.types.recipes import Axis, Recipe, Step


@dataclass(frozen=True)
class Method:
    """The rate and the options of a method."""

    axis: Axis
    options: tuple[str, ...] = ()
    calibrated: bool = False
    # A weight that is zero before the step is zero after it.
    keeps_zeros: bool = True
    # The result is stored packed, so no step can follow.
    packs: bool = False

    @property
    def takes(self) -> set[str]:
        """The fields of a `Step` that the method reads."""
        return {self.axis, *self.options, *(["calibration"] if self.calibrated else [])}


METHODS: dict[str, Method] = {
    "magnitude": Method("sparsity", ("pattern",)),
    "rtn": Method("bits", ("group_size", "symmetric")),
    "low-rank": Method("rank", keeps_zeros=False),
    "layer-drop": Method("layers"),
    "wanda": Method("sparsity", ("pattern",), calibrated=True),
    "sparsegpt": Method("sparsity", ("pattern",), calibrated=True, keeps_zeros=False),
    "gptq": Method("bits", ("group_size", "symmetric"), calibrated=True, keeps_zeros=False),
    "awq": Method("bits", ("group_size", "symmetric"), calibrated=True),
    "autoround": Method("bits", ("group_size", "symmetric"), calibrated=True, keeps_zeros=False),
    "smoothquant": Method("bits", calibrated=True, packs=True),
}
_FIELDS = [name for name in Step.model_fields if name != "method"]


def validate(recipe: Recipe) -> None:
    """Check that a recipe can be made, before any weight is read.

    Raises:
        InputError: a method is unknown, a rate is missing or out of range, an option belongs to another method,
            or a step follows one whose result is packed.
    """
    for step, following in zip(recipe.steps, (*recipe.steps[1:], None), strict=True):
        _validate_step(step)
        if following is not None and METHODS[step.method].packs:
            raise InputError(
                f"'{following.method}' cannot follow '{step.method}', which stores its weights packed. Make it the "
                "last step."
            )


def check_rate(step: Step) -> None:
    """Check the rate of a step of any method, kick's own or not.

    Raises:
        InputError: not exactly one of the rates is given, or it is out of range.
    """
    rates = [name for name in ("sparsity", "bits", "rank", "layers") if getattr(step, name) is not None]
    if len(rates) != 1:
        given = " and ".join(f"`{rate}`" for rate in rates) or "none"
        raise InputError(f"give one of `sparsity`, `bits`, `rank` and `layers` (given: {given}).")
    if step.bits is None:
        _RATES[step.axis](step)
    elif not 1 <= step.bits <= 16:
        raise InputError(f"bits of '{step.method}' is {step.bits}; expected 1 to 16.")


def parse_pattern(pattern: str) -> tuple[int, int]:
    """Return (N, M) of "N:M".

    Raises:
        InputError: not of that form, or not 0 < N < M.
    """
    match = re.fullmatch(r"(\d+):(\d+)", pattern)
    kept, size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < kept < size:
        raise InputError(
            f"pattern '{pattern}' is not N:M with 0 < N < M: '2:4' keeps 2 of each 4 consecutive weights."
        )
    return kept, size


def pattern_sparsity(pattern: str) -> float:
    """Return the share of zeros that a pattern asks for: 1 - N/M."""
    kept, size = parse_pattern(pattern)
    return 1 - kept / size


def _validate_step(step: Step) -> None:
    method = METHODS.get(step.method)
    if method is None:
        raise InputError(f"method '{step.method}' is unknown. {nearest(step.method, list(METHODS))}")
    for option in _FIELDS:
        if option not in method.takes and getattr(step, option) != Step.model_fields[option].default:
            others = ", ".join(f"'{name}'" for name, other in METHODS.items() if option in other.takes)
            raise InputError(f"{option} is not an option of '{step.method}', but of {others}.")
    _RATES[method.axis](step)
    if method.calibrated:
        _calibration(step)


def _sparsity(step: Step) -> None:
    if step.sparsity is None or not 0 < step.sparsity < 1:
        raise InputError(
            f"sparsity of '{step.method}' is {_given(step.sparsity)}; expected a share of zeros "
            f"above 0 and below 1."
        )
    if step.pattern is not None:
        share = pattern_sparsity(step.pattern)
        if abs(step.sparsity - share) > 1e-9:
            raise InputError(
                f"pattern {step.pattern} is a sparsity of {share:g}, not {step.sparsity:g}. "
                "Change one of them."
            )


def _bits(step: Step) -> None:
    least = 8 if step.method == "smoothquant" else 2
    if step.bits is None or not least <= step.bits <= 8:
        wanted = "8, of weights and activations" if least == 8 else "2 to 8"
        raise InputError(f"bits of '{step.method}' is {_given(step.bits)}; expected {wanted}.")
    if step.group_size is not None and step.group_size < 1:
        raise InputError(
            f"group_size of '{step.method}' is {step.group_size}; expected 1 or more, or none for a "
            f"whole row."
        )


def _rank(step: Step) -> None:
    if step.rank is None or not 0 < step.rank < 1:
        raise InputError(
            f"rank of '{step.method}' is {_given(step.rank)}; expected the share of a Linear's parameters "
            "that its factors keep, above 0 and below 1."
        )


def _layers(step: Step) -> None:
    layers = step.layers
    if layers is None or layers == () or (isinstance(layers, int) and layers < 1):
        given = "missing" if layers is None else "none" if layers == () else f"{layers}"
        raise InputError(
            f"layers of '{step.method}' is {given}; expected how many to drop, 1 or more, or a list of their "
            "numbers, from 0."
        )
    if isinstance(layers, tuple) and list(layers) != sorted(set(layers)):
        raise InputError(
            f"layers of '{step.method}' is {list(layers)}; expected different numbers in rising order."
        )


def _calibration(step: Step) -> None:
    given = step.calibration
    if given is None:
        raise InputError(
            f"'{step.method}' needs a calibration set. Give `calibration` with `data`, `samples` and `length`."
        )
    if given.samples < 1 or given.length < 2:
        raise InputError(
            f"calibration of '{step.method}' is {given.samples} samples of {given.length} tokens; expected 1 "
            "sample or more, of 2 tokens or more."
        )


def _given(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


_RATES = {"sparsity": _sparsity, "bits": _bits, "rank": _rank, "layers": _layers}
