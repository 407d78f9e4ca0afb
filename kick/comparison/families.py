"""Several tasks as one: unweighted means over tasks, with the uncertainty that follows from each task's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kick.comparison.pairing import Pairs
from kick.comparison.records import FamilyComparison
from kick.comparison.statistics.combined import Spread, combine
from kick.comparison.statistics.limits import reach, reach_ratio, recovery_interval
from kick.comparison.statistics.moments import Moments, critical_value, upper_tail
from kick.errors import InputError
from kick.types import Estimate


@dataclass(frozen=True)
class TaskMoments:
    """The means of one task, reference against candidate, when its items are no longer at hand."""

    task: str
    # The checkpoint ids.
    reference: str
    candidate: str
    higher_is_better: bool
    moments: Moments
    spread: Spread
    # The score of the best answerer without knowledge; None: not measured.
    floor: float | None = None
    # True if the reference is shown to be above it.
    measurable: bool = True

    @classmethod
    def of(cls, pairs: "Pairs | TaskMoments") -> "TaskMoments":
        """Measure pairs; moments are returned as they are."""
        if isinstance(pairs, TaskMoments):
            return pairs
        sample = pairs.sample
        units = sample.n if sample.groups is None else int(sample.groups.max()) + 1
        item = sample.pseudo_item if sample.is_bounded else None
        return cls(
            pairs.task,
            pairs.reference.checkpoint,
            pairs.candidate.checkpoint,
            sample.higher_is_better,
            sample.moments,
            Spread.of(sample.a, sample.b, units, item, sample.strata is not None),
            sample.floor,
            sample.measurable,
        )


@dataclass(frozen=True)
class TaskMean:
    """The mean score over tasks of reference and candidate, which answers the questions that a `PairedSample` does.

    Tasks hold different items, so their errors are independent: variances of the mean over T tasks are sums over T^2,
    with Welch and Satterthwaite's degrees of freedom. Tests and intervals allow for skew and for items that were not
    seen (`kick.comparison.statistics.combined`).
    """

    samples: Sequence[Pairs | TaskMoments]
    higher_is_better: bool = True

    @cached_property
    def parts(self) -> tuple[TaskMoments, ...]:
        """The moments of each task."""
        return tuple(TaskMoments.of(pairs) for pairs in self.samples)

    @cached_property
    def moments(self) -> Moments:
        """The moments of the mean over tasks."""
        parts = [part.moments for part in self.parts]
        count = len(parts)
        variances = np.array([part.variance() for part in parts])
        freedom = np.array([part.df for part in parts])
        spread = float(np.sum(variances**2 / np.maximum(freedom, 1e-9)))
        return Moments(
            n=sum(part.n for part in parts),
            mean_a=sum(part.mean_a for part in parts) / count,
            mean_b=sum(part.mean_b for part in parts) / count,
            var_a=sum(part.var_a for part in parts) / count**2,
            var_b=sum(part.var_b for part in parts) / count**2,
            cov=sum(part.cov for part in parts) / count**2,
            df=float(variances.sum()) ** 2 / spread if spread > 0 else float(freedom.min()),
        )

    @property
    def floor(self) -> float | None:
        """The mean of the floors; None unless that of every task was measured."""
        floors = [part.floor for part in self.parts if part.floor is not None]
        return sum(floors) / len(floors) if len(floors) == len(self.parts) else None

    @property
    def has_ratio(self) -> bool:
        """True if the reference's mean is above 0."""
        return self.moments.mean_a > 0

    def evidence_above(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """Return the one-sided p-value of "the candidate's mean is at most this"."""
        return self._evidence(1.0 if ratio is None else ratio, delta or 0.0, below=False)

    def evidence_below(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """Return the one-sided p-value of "the candidate's mean is at least this"."""
        return self._evidence(1.0 if ratio is None else ratio, delta or 0.0, below=True)

    def difference_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean difference."""
        m = self.moments
        value = m.mean_b - m.mean_a
        bounded = all(part.spread.item is not None for part in self.parts)
        farthest = 1.0 if bounded else 100 * math.sqrt(m.variance()) + abs(value)
        return (
            reach(value, -farthest, lambda bound: self.evidence_above(delta=bound)),
            reach(value, farthest, lambda bound: self.evidence_below(delta=bound)),
        )

    def ratio_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of candidate / reference; the reference's mean must be above 0."""
        value = self.moments.mean_b / self.moments.mean_a
        low = reach(value, 0.0, lambda bound: self.evidence_above(ratio=bound))
        return low, reach_ratio(value, lambda bound: self.evidence_below(ratio=bound))

    def recovery_above_floor(self) -> tuple[float, float, float] | None:
        """Return (candidate - floor) / (reference - floor) of the means with its 95 % interval, from 0 upwards.

        None where a floor was not measured, or the reference's mean is not above the mean of the floors.
        """
        m, floor = self.moments, self.floor
        if floor is None or m.mean_a <= floor:
            return None
        value = (m.mean_b - floor) / (m.mean_a - floor)

        def evidence(theta: float, *, below: bool) -> float:
            return self._evidence(theta, floor * (1 - theta), below=below)

        return max(value, 0.0), *recovery_interval(value, evidence)

    def _evidence(self, theta: float, bound: float, *, below: bool) -> float:
        cumulants = combine([(part.moments, part.spread) for part in self.parts], theta, below=below)
        return upper_tail(cumulants.deviate(-bound if below else bound), cumulants.df)


def compare_family(name: str, tasks: Sequence[Pairs | TaskMoments]) -> FamilyComparison:
    """Compare a candidate with the reference over several tasks at once.

    Tasks on which the reference is not shown to be above its floor are left out and listed, unless there are no others.

    Args:
        name: the name of the family.
        tasks: the pairs or the means of each task; scores on which higher is better and that share a unit.

    Raises:
        InputError: a task is measured by perplexity, or lower is better on it.
    """
    parts = [TaskMoments.of(pairs) for pairs in tasks]
    odd = [part.task for part in parts if not part.higher_is_better]
    if odd:
        raise InputError(
            f"'{name}' cannot be averaged: lower is better on {', '.join(odd)}. Leave those out."
        )
    counted = [part for part in parts if part.measurable] or parts
    left_out = tuple(part.task for part in parts if part not in counted)
    measurable = all(part.measurable for part in counted)
    mean = TaskMean(counted)
    m = mean.moments
    above = mean.recovery_above_floor() if measurable else None

    def estimate(value: float, low: float, high: float, method: str = "pseudo-item") -> Estimate:
        return Estimate(
            value=value, low=low, high=high, n=m.n, method=f"{method}, mean of {len(counted)} tasks"
        )

    def one(value: float, variance: float) -> Estimate:
        half = critical_value(m.df) * math.sqrt(variance) if m.df else math.inf
        low, high = value - half, value + half
        if all(part.spread.item is not None for part in counted):
            low, high = max(low, 0.0), min(high, 1.0)
        return estimate(value, low, high, "t")

    return FamilyComparison(
        name=name,
        tasks=tuple(part.task for part in counted),
        left_out=left_out,
        measurable=measurable,
        reference=parts[0].reference,
        candidate=parts[0].candidate,
        n=m.n,
        reference_score=one(m.mean_a, m.var_a),
        candidate_score=one(m.mean_b, m.var_b),
        delta=estimate(m.mean_b - m.mean_a, *mean.difference_interval()),
        ratio=estimate(m.mean_b / m.mean_a, *mean.ratio_interval()) if m.mean_a > 0 else None,
        recovery_above_floor=estimate(*above, "pseudo-item, floor taken off") if above else None,
        p_value=min(1.0, 2 * min(mean.evidence_above(delta=0.0), mean.evidence_below(delta=0.0))),
    )
