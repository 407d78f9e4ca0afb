"""Candidates ranked by what they keep of their references, as far as the items can tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from kick.comparison.matching import LEVEL
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array, Moments, degrees_of_freedom
from kick.comparison.statistics.multiplicity import adjust
from kick.types import Estimate, Record


class Standing(Record):
    """The share that one of the ranked candidates keeps, and the ranks that the items leave open to it."""

    # The weighted mean of the recoveries above the floor; n: items of the tasks that count.
    kept: Estimate
    # 1 + the number of candidates that are shown to keep more.
    best: int
    # The number of candidates that are not shown to keep less, itself included.
    worst: int
    # The number of ranked candidates.
    of: int
    # The candidates that cannot be told from this one.
    tied: tuple[str, ...]


@dataclass(frozen=True)
class _Task:
    """The recoveries (C,) of the candidates on one task, with the weight of the task for each of them.

    `covariance` (2C, 2C) is that of the mean scores of the candidates and then of their references, all as shares of
    what the reference scores above its floor, and weighted; `least` (C,) is added to the variances. `centres` (C,) are
    the ratios about which errors are linearised: the recoveries, or those of the group of tasks whose mean scores are
    compared.
    """

    recoveries: Array
    centres: Array
    weights: Array
    covariance: Array
    least: Array
    df: float

    @property
    def kept(self) -> Array:
        return self.weights * self.recoveries

    def variances(self) -> Array:
        """Return the variance (C,) of what each keeps, by the delta method."""
        scores, cross, references = self._blocks()
        r = self.centres
        return np.maximum(np.diag(scores - 2 * r * cross + r**2 * references), 0.0) + self.least

    def variances_between(self) -> Array:
        """Return the variance (C, C) of each difference between two candidates, if both keep the mean of the two."""
        scores, cross, references = (_of_differences(block) for block in self._blocks())
        middle = (self.centres[:, None] + self.centres[None, :]) / 2
        paired = scores - 2 * middle * cross + middle**2 * references
        return np.maximum(paired, 0.0) + self.least[:, None] + self.least[None, :]

    def _blocks(self) -> tuple[Array, Array, Array]:
        count = len(self.recoveries)
        whole = self.covariance
        return whole[:count, :count], whole[:count, count:], whole[count:, count:]


def standings(
    candidates: Sequence[str],
    tasks: Sequence[Sequence[PairedSample]],
    weights: Array,
    centres: Array | None = None,
) -> dict[str, Standing]:
    """Rank candidates by the weighted mean of their recoveries above the floor, each 0 or more.

    The recovery of a task is (candidate - floor) / (reference - floor), with the floor of its samples; 0 where it was
    not measured. A candidate below the floor knows nothing and keeps 0.

    Candidates answered the same items, so two of them are compared item by item, whether they share a
    reference or not: errors of their recoveries are linearised (delta method), summed within groups of dependent
    items and paired (variance and degrees of freedom as in `moments`). Two candidates are told apart where a two-sided
    t test of their difference is below 5 % after Holm's correction over all pairs; ranks follow from
    that, and hold together at 95 % (Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91, 2024).

    Args:
        candidates: their names, each once.
        tasks: one sample per candidate, for each task; scores on which higher is better, and in each task on the same
            items in one order.
        weights: (tasks, candidates) what a task counts for a candidate; they sum to 1 over the tasks. 0 where the
            reference is not above its floor.
        centres: (tasks, candidates) the ratio about which the errors of a task are linearised, where its weight follows
            from the reference's own score: that of the mean scores of its family. The recoveries when left out.
    """
    middles = [None] * len(tasks) if centres is None else list(centres)
    parts = [_task(*part) for part in zip(tasks, weights, middles, strict=True)]
    kept = np.sum([part.kept for part in parts], axis=0)
    own = [part.variances() for part in parts]
    between = [part.variances_between() for part in parts]
    freedom = [part.df for part in parts]
    above = _shown_above(kept, np.array(between), freedom)
    count = len(kept)
    counted = np.array(weights) > 0
    sizes = np.array([samples[0].n for samples in tasks])
    variances, df = np.sum(own, axis=0), _welch(np.array(own), freedom)
    moments = [
        Moments(
            int(sizes[counted[:, i]].sum()), 0.0, float(kept[i]), 0.0, float(variances[i]), 0.0, float(df[i])
        )
        for i in range(count)
    ]
    return {
        name: Standing(
            kept=_estimate(moments[i], int(counted[:, i].sum())),
            best=1 + int(above[:, i].sum()),
            worst=count - int(above[i].sum()),
            of=count,
            tied=tuple(
                other for j, other in enumerate(candidates) if j != i and not above[i, j] | above[j, i]
            ),
        )
        for i, name in enumerate(candidates)
    }


def _task(samples: Sequence[PairedSample], weights: Array, centres: Array | None) -> _Task:
    a, b = np.stack([sample.a for sample in samples]), np.stack([sample.b for sample in samples])
    count, n = a.shape
    floors = np.array([sample.floor or 0.0 for sample in samples])
    unit = np.divide(1, a.mean(axis=1) - floors, out=np.zeros(count), where=weights > 0)
    recoveries = np.maximum(unit * (b.mean(axis=1) - floors), 0.0)
    centres = recoveries if centres is None else centres
    scores = np.concatenate([b, a])
    errors = np.tile(weights * unit, 2)[:, None] * (scores - scores.mean(axis=1, keepdims=True)) / n
    shares = np.full(n, 1 / n)
    if (groups := samples[0].groups) is not None:
        errors = np.stack([np.bincount(groups, weights=row) for row in errors])
        shares = np.bincount(groups) / n
    if len(shares) < 2:
        unknown = np.where(weights > 0, np.inf, 0.0)
        return _Task(recoveries, centres, weights, np.zeros((2 * count, 2 * count)), unknown, 0.0)
    least = np.zeros(count)
    if all(sample.is_binary for sample in samples):
        # Right-or-wrong items that never differ have no variance, and yet the next one may differ. A pseudo-item for
        # each candidate (after Agresti and Min, Biometrics 61, 2005) makes the test as careful as McNemar's exact one.
        least = (weights * unit * (shares @ shares)) ** 2
    scaled = errors / np.sqrt(1 - shares)
    return _Task(recoveries, centres, weights, scaled @ scaled.T, least, degrees_of_freedom(shares))


def _of_differences(block: Array) -> Array:
    """Return the covariances (C, C) of the differences between two candidates, from those of two quantities."""
    own = np.diag(block)
    return own[:, None] + own[None, :] - block - block.T


def _shown_above(kept: Array, between: Array, freedom: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return which candidates (rows) are shown to keep more than which others (columns)."""
    rows, columns = np.triu_indices(len(kept), 1)
    differences = kept[rows] - kept[columns]
    parts = between[:, rows, columns]
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.nan_to_num(np.abs(differences) / np.sqrt(parts.sum(axis=0)), nan=0.0, posinf=np.inf)
    p_values = 2 * stats.t.sf(statistic, np.maximum(_welch(parts, freedom), 1.0))
    told = np.array(adjust(list(p_values), "holm"), dtype=np.float64) <= LEVEL
    above = np.zeros((len(kept), len(kept)), dtype=bool)
    above[rows, columns] = told & (differences > 0)
    above[columns, rows] = told & (differences < 0)
    return above


def _welch(parts: Array, freedom: Sequence[float]) -> Array:
    """Return Welch and Satterthwaite's degrees of freedom (...) of sums of variances (T, ...); 0 if one is unknown."""
    df = np.reshape(freedom, (-1, *[1] * (parts.ndim - 1)))
    total = parts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mixed = total**2 / np.sum(parts**2 / df, axis=0)
    return np.where(total == 0, min(freedom), np.nan_to_num(mixed, nan=0.0))


def _estimate(moments: Moments, tasks: int) -> Estimate:
    low, high = moments.difference_interval()
    method = "t, delta method" if tasks == 1 else f"t, delta method, mean of {tasks} tasks"
    return Estimate(value=moments.mean_b, low=max(low, 0.0), high=high, n=moments.n, method=method)
