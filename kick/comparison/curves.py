"""How far a series can be compressed while a task still matches, and where its curve crosses a loss."""

from collections.abc import Sequence
from math import isfinite

from kick.comparison.records import Crossing, MatchingRate
from kick.types import Curve, CurvePoint, Estimate
from kick.types.recipes import DENSE_RATE


def matching_rate(curve: Curve) -> MatchingRate | None:
    """The largest rate of a series up to which its task matches, with the rates between which the items
    leave it.

    Candidates are tested in the order of growing compression and the first that fails ends the walk, so
    that the level of each test holds for the whole statement (fixed sequence; Maurer, Hothorn and
    Lehmacher, 1995).

    Returns:
        None where the reference is 0, or is missing from the curve.
    """
    points = curve.points
    if not points or any(point.comparison.matching is None for point in points):
        return None
    first = points[0].comparison
    if first.reference != first.candidate or first.matching is None:
        return None
    within, shown, possible = points[0].rate, points[0].rate, points[0].rate
    fails_at = None
    still_within = still_shown = True
    for point in points[1:]:
        matching = point.comparison.matching
        if matching is None or matching.outcome == "not matching":
            fails_at = point.rate
            break
        possible = point.rate
        still_shown = still_shown and matching.outcome == "matching"
        still_within = still_within and _within(point, matching.margin)
        shown = point.rate if still_shown else shown
        within = point.rate if still_within else within
    return MatchingRate(
        series=curve.series,
        axis=curve.axis,
        task=curve.task,
        margin=first.matching.margin,
        rate=within,
        at_least=shown,
        at_most=possible,
        fails_at=fails_at,
        last=points[-1].rate,
    )


def _within(point: CurvePoint, margin: float) -> bool:
    ratio = point.comparison.ratio
    if ratio is None:
        return False
    return ratio.value >= 1 - margin if point.comparison.higher_is_better else ratio.value <= 1 + margin


def crossing(curve: Curve, loss: float = 0.05) -> Crossing | None:
    """Where the curve of a series has lost a share of the reference's score, between its points by straight lines.

    The reference has lost nothing and stands where a dense checkpoint does: at no zeros, or at 16 bits. A perplexity
    has lost 5 % where it is 5 % above the reference's. The interval says where the ends of the points' 95 % intervals
    cross the same line: it is pointwise.

    Returns:
        None where there is no candidate, or one without a ratio to the reference.
    """
    points = [p for p in curve.points if p.comparison.candidate != p.comparison.reference]
    ratios = [point.comparison.ratio for point in points if point.comparison.ratio]
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
    """The first rate at which the line from no loss at `start` through the points reaches the limit."""
    rate, value = start, 0.0
    for next_rate, next_value in zip(rates, lost, strict=True):
        if next_value >= limit:
            share = (limit - value) / (next_value - value) if isfinite(next_value) else 0.0
            return rate + share * (next_rate - rate)
        rate, value = next_rate, next_value
    return None
