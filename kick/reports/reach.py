"""The rates up to which each series can be compressed, read from the verdicts of its checkpoints."""

from collections.abc import Mapping, Sequence

from kick.types import Axis, Check, Record
from kick.types.recipes import DENSE_RATE


class Reach(Record):
    """The rates that a series reaches on one task, which go in the order of growing compression.

    A rate that no checkpoint reaches is that of the dense reference.

    Attributes:
        within: The last rate up to which every loss as measured is below the margin.
        passes: The last rate up to which every checkpoint is shown to pass.
        fails: The first rate that is shown to be a regression; None: there is none.
        first: The lightest compression that was compared.
        last: The heaviest.
        margin: The margin of the policy, a share of the reference's score.
        n: The numbers of items of the checks, each once.
    """

    within: float
    passes: float
    fails: float | None
    first: float
    last: float
    margin: float
    n: tuple[int, ...]


def reach(
    axis: Axis, rates: Sequence[float], candidates: Sequence[str], checks: Mapping[str, Check]
) -> Reach | None:
    """Return how far a series goes on a task; None if none of it was judged.

    Args:
        axis: What the rates measure.
        rates: The rate of each checkpoint, from light to heavy compression.
        candidates: The ids of the checkpoints.
        checks: The checks of the task, by checkpoint.
    """
    points = [(rate, checks[name]) for rate, name in zip(rates, candidates, strict=True) if name in checks]
    if not points:
        return None
    within = passes = DENSE_RATE[axis]
    still_within = still_passes = True
    for rate, check in points:
        still_within = still_within and check.loss.value < check.margin
        still_passes = still_passes and check.outcome == "pass"
        within = rate if still_within else within
        passes = rate if still_passes else passes
    return Reach(
        within=within,
        passes=passes,
        fails=next((rate for rate, check in points if check.outcome == "regression"), None),
        first=points[0][0],
        last=points[-1][0],
        margin=points[0][1].margin,
        n=tuple(sorted({check.candidate_score.n for _, check in points})),
    )
