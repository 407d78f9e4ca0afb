"""Comparisons beside answerers without knowledge: the floor under its scores, and signs of empty answers.

A score is knowledge as far as it is above the floor. The floor is what the best answerer without knowledge scores on
the same items, and is taken for a constant: it was measured on all of them. Where the reference is not shown to be
above it there is nothing to lose, and no recovery is given.
"""

from kick import text
from kick.comparison.sample import PairedSample
from kick.types import Cell, Floor, Matching, ResponseSigns, TaskInfo

# A share of empty, repeated or equal answers that exceeds the reference's by more than this takes the ✓ away.
BEYOND_REFERENCE = 0.25


def floor_of(cell: Cell, metric: str) -> Floor | None:
    """Return the floor of a cell by a metric; None where it was not measured, or lower is better."""
    floors = cell.floors
    if floors is None or floors.metric != metric or not floors.higher_is_better:
        return None
    return floors.best


def not_measurable(sample: PairedSample, floor: Floor | None, task: TaskInfo) -> str | None:
    """Return why nothing can be said about what a candidate keeps: the reference is not shown to be above its floor.

    Args:
        sample: the paired scores, with their floor.
        floor: the best answerer without knowledge.
        task: the task.
    """
    if floor is None or sample.measurable:
        return None
    scale, unit = (100, " %") if text.is_share(task) else (1, "")
    return (
        f"the reference scores {scale * sample.reference_score.value:.3g}{unit}, which is not shown to be above the "
        f"floor of {scale * floor.score:.3g}{unit} ({floor.answerer})"
    )


def signs_object(reference: Cell, candidate: Cell) -> str | None:
    """Return why a candidate's score must not be called kept: its answers are empty, repeated or alike.

    A share counts where it exceeds the reference's own by more than `BEYOND_REFERENCE` (25 points): a task on which
    every answer is "yes" or "no" has equal answers, too.

    Args:
        reference: the cell of the reference.
        candidate: the cell of the candidate on the same task.

    Returns:
        The counts as a sentence; None where there is no objection, or the signs were not counted.
    """
    own, theirs = reference.signs, candidate.signs
    if theirs is None or theirs.responses == 0:
        return None
    parts = [
        f"{round(share * theirs.responses)} {name}"
        for name, share, usual in _shares(theirs, own)
        if share - usual > BEYOND_REFERENCE
    ]
    return f"of {theirs.responses} answers: {', '.join(parts)}" if parts else None


def without_match(matching: Matching | None, reason: str | None) -> Matching | None:
    """Return the tests of a margin; a match cannot be told where there is a reason why it would mean nothing."""
    if matching is None or reason is None or matching.outcome != "matching":
        return matching
    return matching.model_copy(update={"outcome": "cannot tell"})


def _shares(signs: ResponseSigns, own: ResponseSigns | None) -> list[tuple[str, float, float]]:
    """Return the name, the share and the reference's share of each sign."""
    return [
        ("empty", signs.empty, own.empty if own else 0.0),
        ("repeating themselves", signs.repetitive, own.repetitive if own else 0.0),
        ("equal to each other", signs.most_common_share, own.most_common_share if own else 0.0),
    ]
