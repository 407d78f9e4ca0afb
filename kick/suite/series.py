"""A `series` of a suite becomes checkpoints: one per rate and, if a method looks at data, one per calibration seed."""

from collections.abc import Callable

from kick.errors import InputError
from kick.suite.keys import CalibrationKeys, SeriesKeys
from kick.types import Calibration, Checkpoint, Step
from kick.types.methods import METHODS, validate
from kick.types.recipes import chain


def points(
    series: SeriesKeys,
    source: Checkpoint,
    calibration: CalibrationKeys | None,
    path: Callable[[str], str],
    at: str,
) -> list[Checkpoint]:
    """Return the checkpoints of a series; with several calibration seeds each seed is a series, `<name>-s<seed>`.

    The recipe of a point is that of the source, if it has one, with one more step.

    Args:
        series: its keys.
        source: the checkpoint that it starts from.
        calibration: that of the suite, for a series that names none.
        path: turns the name of a calibration file into its path.
        at: the place of the series in the file, for messages.

    Raises:
        InputError: no rates or several kinds of them, or a recipe that cannot be made.
    """
    rates = {
        axis: values for axis in ("sparsity", "bits", "rank", "layers") if (values := getattr(series, axis))
    }
    if len(rates) != 1:
        raise InputError(
            f"{at}: give either `sparsity` (a list of shares), or `bits` (of whole numbers), `rank` (of shares) or "
            "`layers` (of numbers of layers)."
        )
    ((axis, values),) = rates.items()
    calibrated = series.method in METHODS and METHODS[series.method].calibrated
    keys = series.calibration or (calibration if calibrated else None)
    calibrations: list[Calibration | None] = [None]
    if keys is not None:
        calibrations = [
            Calibration(data=path(keys.data), samples=keys.samples, length=keys.length, seed=seed)
            for seed in keys.seeds
        ]
    checkpoints = []
    for each in calibrations:
        name = series.series_name
        if each is not None and len(calibrations) > 1:
            name = f"{name}-s{each.seed}"
        for rate in values:
            step = Step(
                method=series.method,
                pattern=series.pattern,
                group_size=series.group_size,
                symmetric=series.symmetric,
                calibration=each,
                **{axis: rate},
            )
            recipe = source.recipe.then(step) if source.recipe else chain((step,))
            try:
                validate(recipe)
            except InputError as error:
                raise InputError(f"{at}: {error}") from None
            label = "-".join(map(str, rate)) if isinstance(rate, tuple) else f"{rate:g}"
            changes = {
                "id": f"{name}-{label}",
                "base": source.id,
                "recipe": recipe,
                "series": name,
                "declared": None,
            }
            checkpoints.append(source.model_copy(update=changes))
    return checkpoints
