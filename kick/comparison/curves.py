"""How far a series can be compressed while a task still matches, and where its curve crosses a loss."""

from collections.abc import Sequence
from math import isfinite

from kick.comparison.matching import LEVEL
from kick.comparison.records import Crossing, MatchingRate
from kick.comparison.statistics.multiplicity import adjust
from kick.types import Curve, CurvePoint, Estimate
from kick.types.recipes import DENSE_RATE


def matching_rate(curve: Curve) -> MatchingRate | None:
    """Return the largest rate of a series up to which its task matches, and the rates that the items leave open.

    For "at least" candidates are tested in the order of growing compression and the first that fails ends the walk, so
    the level of each test holds for the whole statement (fixed sequence; Maurer, Hothorn and Lehmacher, 1995). For "at
    most" any of the rates may be the one that is shown not to match, so these tests are corrected for their number
    (Holm).

    Returns:
        None if the reference is 0, or is missing from the curve.
    """
    points = curve.points
    if not points or any(point.comparison.matching is None for point in points):
        return None
    first = points[0].comparison
    if first.reference != first.candidate or first.matching is None:
        return None
    tests = [point.comparison.matching for point in points[1:] if point.comparison.matching]
    failing = adjust([test.p_not_matching for test in tests], "holm")
    within, shown, possible = points[0].rate, points[0].rate, points[0].rate
    fails_at = None
    still_within = still_shown = True
    for point, test, p_not_matching in zip(points[1:], tests, failing, strict=True):
        if p_not_matching <= LEVEL:
            fails_at = point.rate
            break
        possible = point.rate
        still_shown = still_shown and test.outcome == "matching"
        still_within = still_within and _within(point, test.margin)
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
