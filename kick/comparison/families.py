"""Several tasks as one: unweighted means over tasks with the variance that follows from the tasks' own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kick.comparison.matching import match
from kick.comparison.pairing import Pairs
from kick.comparison.records import FamilyComparison
from kick.comparison.statistics.moments import Moments, critical_value
from kick.errors import InputError
from kick.types import Estimate


@dataclass(frozen=True)
class TaskMoments:
    """The means of one task, reference against candidate, when its items are no longer at hand."""

    task: str
    reference: str  # checkpoint id
    candidate: str  # checkpoint id
    higher_is_better: bool
    moments: Moments

    @classmethod
    def of(cls, pairs: "Pairs | TaskMoments") -> "TaskMoments":
        if isinstance(pairs, TaskMoments):
            return pairs
        sample = pairs.sample
        return cls(
            pairs.task,
            pairs.reference.checkpoint,
            pairs.candidate.checkpoint,
            sample.higher_is_better,
            sample.moments,
        )


@dataclass(frozen=True)
class TaskMean:
    """The mean score over tasks, of reference and candidate; it answers the questions that a `PairedSample`
    does.

    Tasks hold different items, so that their errors are independent: variances of the mean over T tasks are
    sums over T^2. Degrees of freedom are Welch and Satterthwaite's, of the difference.
    """

    samples: Sequence[Pairs | TaskMoments]
    higher_is_better: bool = True

    @cached_property
    def moments(self) -> Moments:
        parts = [TaskMoments.of(pairs).moments for pairs in self.samples]
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
    def has_ratio(self) -> bool:
        return self.moments.mean_a > 0

    def evidence_above(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """The one-sided p-value of "the candidate's mean is at most this"."""
        return self.moments.evidence_above(1.0 if ratio is None else ratio, delta or 0.0)


def compare_family(name: str, tasks: Sequence[Pairs | TaskMoments], margin: float) -> FamilyComparison:
    """Compare a candidate with the reference over several tasks at once.

    Args:
        name: what the tasks have in common.
        tasks: the pairs or the means of each task; scores on which higher is better and that share a unit.
        margin: relative, for `matching`.

    Raises:
        InputError: a task is measured by perplexity, or lower is better on it.
    """
    parts = [TaskMoments.of(pairs) for pairs in tasks]
    odd = [part.task for part in parts if not part.higher_is_better]
    if odd:
        raise InputError(
            f"'{name}' cannot be averaged: lower is better on {', '.join(odd)}. Leave those out."
        )
    mean = TaskMean(parts)
    m = mean.moments
    above = mean.evidence_above(delta=0.0)
    method = f"t, mean of {len(tasks)} tasks"

    def estimate(value: float, low: float, high: float) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=m.n, method=method)

    def one(value: float, variance: float) -> Estimate:
        half = critical_value(m.df) * math.sqrt(variance) if m.df else math.inf
        return estimate(value, value - half, value + half)

    return FamilyComparison(
        name=name,
        tasks=tuple(part.task for part in parts),
        reference=parts[0].reference,
        candidate=parts[0].candidate,
        n=m.n,
        reference_score=one(m.mean_a, m.var_a),
        candidate_score=one(m.mean_b, m.var_b),
        delta=estimate(m.mean_b - m.mean_a, *m.difference_interval()),
        ratio=estimate(m.mean_b / m.mean_a, *m.ratio_interval()) if m.mean_a > 0 else None,
        p_value=2 * min(above, 1 - above),
        matching=match(mean, margin),
    )
