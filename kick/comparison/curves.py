"""The rate at which the curve of a series crosses a loss."""

from collections.abc import Sequence
from math import isfinite

from kick.comparison.records import Crossing
from kick.types import Curve, Estimate
from kick.types.recipes import DENSE_RATE


def crossing(curve: Curve, loss: float = 0.05) -> Crossing | None:
    """Return where a curve has lost a share of what the reference scores above its floor, between its points by lines.

    Where no floor was measured it is a share of the whole score.
    The reference has lost nothing, and its rate is that of a dense checkpoint: no zeros, or 16 bits. A perplexity
    has lost 5 % where it is 5 % above the reference's. The interval says where the ends of the points' 95 % intervals
    cross the same line: it is pointwise.

    Returns:
        None where there is no candidate, or one without a ratio to the reference, or the task is not measurable.
    """
    points = [p for p in curve.points if p.comparison.candidate != p.comparison.reference]
    ratios = [kept for point in points if (kept := point.comparison.kept)]
    if not points or len(ratios) < len(points):
        return None
    rates = [point.rate for point in points]
    start = DENSE_RATE[curve.axis]
    if points[0].comparison.higher_is_better:
        lost, most, least = ([1 - value for value in values] for values in _bounds(ratios))
    else:
        lost, least, most = ([value - 1 for value in values] for values in _bounds(ratios))
    return Crossing(
        series=curve.series,
        axis=curve.axis,
        task=curve.task,
        loss=loss,
        rate=_first_at(start, rates, lost, loss),
        earliest=_first_at(start, rates, most, loss),
        latest=_first_at(start, rates, least, loss),
        last=rates[-1],
    )


def _bounds(ratios: Sequence[Estimate]) -> tuple[list[float], list[float], list[float]]:
    return [r.value for r in ratios], [r.low for r in ratios], [r.high for r in ratios]


def _first_at(start: float, rates: Sequence[float], lost: Sequence[float], limit: float) -> float | None:
    """Return the first rate at which the line from no loss at `start` through the points reaches the limit."""
    rate, value = start, 0.0
    for next_rate, next_value in zip(rates, lost, strict=True):
        if next_value >= limit:
            share = (limit - value) / (next_value - value) if isfinite(next_value) else 0.0
            return rate + share * (next_rate - rate)
        rate, value = next_rate, next_value
    return None
