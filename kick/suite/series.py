"""A `series` of a suite becomes checkpoints: one a rate and, where a method looks at data, one a calibration seed."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kick.compression.methods import METHODS, validate
from kick.errors import InputError
from kick.types import Calibration, Checkpoint, Recipe


class Keys(BaseModel):
    """Keys of a file that a user writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class CalibrationKeys(Keys):
    """`calibration`, of a suite or of one of its series: the text that methods look at."""

    data: str
    samples: Annotated[int, Field(ge=1)] = 128
    length: Annotated[int, Field(ge=2)] = 2048
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)


def _named(given: Any) -> Any:
    return {"data": given} if isinstance(given, str) else given


class SeriesKeys(Keys):
    """An entry of `series`: every rate becomes a checkpoint named `<name>-<rate>`."""

    source: str = Field(alias="from")
    method: str
    name: str | None = None  # default: the method, and the pattern if there is one
    sparsity: tuple[float, ...] | None = Field(default=None, min_length=1)
    bits: tuple[int, ...] | None = Field(default=None, min_length=1)
    rank: tuple[float, ...] | None = Field(default=None, min_length=1)
    layers: tuple[int | tuple[int, ...], ...] | None = Field(default=None, min_length=1)
    pattern: str | None = None
    group_size: int | None = None
    symmetric: bool = True
    calibration: Annotated[CalibrationKeys | None, BeforeValidator(_named)] = None

    @property
    def shown(self) -> str:
        """The name of the series."""
        pattern = f"-{self.pattern.replace(':', 'of')}" if self.pattern else ""
        return self.name or f"{self.method}{pattern}"


def points(
    series: SeriesKeys,
    source: Checkpoint,
    calibration: CalibrationKeys | None,
    path: Callable[[str], str],
    at: str,
) -> list[Checkpoint]:
    """The checkpoints of a series. Of several calibration seeds each is a series of its own, `<name>-s<seed>`.

    Args:
        series: its keys.
        source: the checkpoint that it starts from.
        calibration: that of the suite, for a series that names none.
        path: what a calibration file is called outside the suite's folder.
        at: where the series stands, for messages.

    Raises:
        InputError: no rates or several kinds of them, or a recipe that cannot be made.
    """
    rates = {
        axis: given for axis in ("sparsity", "bits", "rank", "layers") if (given := getattr(series, axis))
    }
    if len(rates) != 1:
        raise InputError(
            f"{at}: give either `sparsity` (a list of shares), or `bits` (of whole numbers), `rank` (of shares) or "
            "`layers` (of numbers of layers)."
        )
    ((axis, values),) = rates.items()
    calibrated = series.method in METHODS and METHODS[series.method].calibrated
    drawn = series.calibration or (calibration if calibrated else None)
    sets: list[Calibration | None] = [None]
    if drawn is not None:
        sets = [
            Calibration(data=path(drawn.data), samples=drawn.samples, length=drawn.length, seed=seed)
            for seed in drawn.seeds
        ]
    made = []
    for each in sets:
        name = f"{series.shown}-s{each.seed}" if each and len(sets) > 1 else series.shown
        for rate in values:
            recipe = Recipe(
                method=series.method,
                pattern=series.pattern,
                group_size=series.group_size,
                symmetric=series.symmetric,
                calibration=each,
                **{axis: rate},
            )
            try:
                validate(recipe)
            except InputError as error:
                raise InputError(f"{at}: {error}") from None
            shown = "-".join(map(str, rate)) if isinstance(rate, tuple) else f"{rate:g}"
            update = {"id": f"{name}-{shown}", "base": source.id, "recipe": recipe, "series": name}
            made.append(source.model_copy(update=update))
    return made
