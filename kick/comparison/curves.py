"""How far a series can be compressed while a task still matches."""

from kick.comparison.records import MatchingRate
from kick.types import Curve, CurvePoint


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
