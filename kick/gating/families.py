"""The one definition of a family of tasks, and of what a candidate keeps of it.

A family is the tasks with its name on which higher is better. Its score is the unweighted mean over those of which the
reference knows something; what a candidate keeps is the ratio of the two means.
"""

from collections.abc import Sequence

from kick.comparison.families import compare_family
from kick.comparison.pairing import Pairs
from kick.types import Check, Family, FamilyScore, Outcome, TaskInfo
from kick.types.verdicts import worst


def family_members(tasks: Sequence[TaskInfo]) -> dict[Family, tuple[str, ...]]:
    """Return the tasks of each family: those on which higher is better, perplexity left out."""
    members: dict[Family, tuple[str, ...]] = {}
    for task in tasks:
        if task.higher_is_better and task.kind != "text":
            members[task.family] = (*members.get(task.family, ()), task.name)
    return members


def knows_nothing(pairs: Pairs) -> bool:
    """Return whether the reference shows no knowledge on a task.

    It scores 0, or is not shown to be above its floor; where no floor was measured, not above chance.
    """
    reference, chance = pairs.sample.reference_score, pairs.reference.task.chance
    if reference.value <= 0 or not pairs.sample.measurable:
        return True
    return pairs.floor is None and chance is not None and reference.low <= chance


def known(members: Sequence[Pairs]) -> list[Pairs]:
    """Return the pairs of the tasks that count: those of which the reference knows something."""
    return [pairs for pairs in members if not knows_nothing(pairs)]


def family_score(family: Family, members: Sequence[Pairs]) -> FamilyScore | None:
    """Return what a candidate keeps of a family, before it is judged.

    A single task has the numbers of its own comparison.

    Args:
        family: its name.
        members: the pairs of each of its tasks.

    Returns:
        None if the reference knows nothing of any task, or a score is not a number.
    """
    counted = known(members)
    if not counted or not all(pairs.sample.finite for pairs in counted):
        return None
    names = tuple(pairs.task for pairs in counted)
    source = counted[0].sample if len(counted) == 1 else compare_family(family, counted)
    if source.ratio is None:
        return None
    return FamilyScore(
        name=family,
        tasks=names,
        unknown=tuple(pairs.task for pairs in members if pairs.task not in names),
        n=source.n,
        reference_score=source.reference_score,
        candidate_score=source.candidate_score,
        delta=source.delta,
        ratio=source.ratio,
        recovery_above_floor=source.recovery_above_floor,
    )


def family_outcome(family: FamilyScore, checks: Sequence[Check]) -> Outcome | None:
    """Return the outcome of a family: that of its own check, else the worst of its tasks; None if one has no check."""
    own = [check.outcome for check in checks if check.kind == "family" and check.name == family.name]
    if own:
        return own[0]
    judged = {check.name: check.outcome for check in checks if check.kind == "task"}
    tasks = (*family.tasks, *family.unknown)
    return worst(judged[task] for task in tasks) if all(task in judged for task in tasks) else None
