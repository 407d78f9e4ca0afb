"""Paired scores of one task as numbers, and every interval and test that is asked of them.

Three kinds of score, three statistics: right-or-wrong items (score tests on the paired table), graded items
(means with a cluster-robust variance; Fieller for ratios), perplexity (means of log-likelihoods; ratios are
exact on the log scale).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kick.comparison.statistics import binary
from kick.comparison.statistics.bootstrap import bca_interval
from kick.comparison.statistics.moments import (
    Array,
    Codes,
    Moments,
    critical_value,
    effective_n,
    paired_moments,
    upper_tail,
)
from kick.types import Estimate


@dataclass(frozen=True)
class PairedSample:
    """Scores of the reference (a) and the candidate (b) on the same items.

    Attributes:
        a, b: (n,) scores; of perplexity, mean negative log-likelihoods in nats a token.
        groups: (n,) codes 0..G-1 of items that depend on each other, or None.
        weights: (n,) tokens of each window of a perplexity text, or None.
        perplexity: whether scores are exp(mean).
        higher_is_better: whether a fall is a loss.
    """

    a: Array
    b: Array
    groups: Codes | None = None
    weights: Array | None = None
    perplexity: bool = False
    higher_is_better: bool = True

    @property
    def n(self) -> int:
        return len(self.a)

    @cached_property
    def is_binary(self) -> bool:
        """Whether every score is 0 or 1."""
        return not self.perplexity and all(
            bool(np.all((side == 0) | (side == 1))) for side in (self.a, self.b)
        )

    @cached_property
    def finite(self) -> bool:
        return bool(np.isfinite(self.a).all() and np.isfinite(self.b).all())

    @cached_property
    def moments(self) -> Moments:
        return paired_moments(self.a, self.b, self.weights, self.groups)

    @property
    def has_ratio(self) -> bool:
        """Whether the candidate's score can be put as a share of the reference's: that is above 0."""
        return self.perplexity or self.moments.mean_a > 0

    @cached_property
    def _bounded(self) -> bool:
        return not self.perplexity and all(side.min() >= 0 and side.max() <= 1 for side in (self.a, self.b))

    @cached_property
    def _table(self) -> tuple[binary.PairedTable, float] | None:
        """The paired table at the number of independent items, with its degrees of freedom; None for graded
        scores.

        Graded scores of which none changed are such a table too (mean score right, nothing lost or gained):
        a t interval would have no width, and claim that no further item can differ.
        """
        if self.is_binary:
            both, a, b = float(self.a @ self.b), float(self.a.sum()), float(self.b.sum())
            table = binary.PairedTable(both, a - both, b - both, self.n - a - b + both)
        elif self._bounded and np.array_equal(self.a, self.b):
            table = binary.PairedTable(float(self.a.sum()), 0.0, 0.0, float((1 - self.a).sum()))
        else:
            return None
        n, df = effective_n(self.b - self.a, self.groups)
        return table.scaled(n), df

    # --- estimates ---

    @property
    def reference_score(self) -> Estimate:
        return score_estimate(self.a, self.groups, self.weights, perplexity=self.perplexity)

    @property
    def candidate_score(self) -> Estimate:
        return score_estimate(self.b, self.groups, self.weights, perplexity=self.perplexity)

    @cached_property
    def delta(self) -> Estimate:
        """Candidate - reference, with its 95 % interval."""
        if not self.finite:
            return self._not_finite()
        if self._table is not None:
            table, df = self._table
            low, high = binary.difference_interval(table, critical_value(df))
            return self._estimate(
                (table.gained - table.lost) / table.n, low, high, f"Tango score{self._suffix}"
            )
        m = self.moments
        if not self.perplexity:
            limit = 1.0 if self._bounded else math.inf
            low, high = m.difference_interval()
            value = m.mean_b - m.mean_a
            return self._estimate(value, max(low, -limit), min(high, limit), f"paired t{self._suffix}")
        scale_a, scale_b = _exp(m.mean_a), _exp(m.mean_b)
        if math.isinf(scale_a) or math.isinf(scale_b):
            return self._not_finite()
        variance = scale_b**2 * m.var_b - 2 * scale_a * scale_b * m.cov + scale_a**2 * m.var_a
        half = critical_value(m.df) * math.sqrt(max(variance, 0.0)) if m.df else math.inf
        value = scale_b - scale_a
        return self._estimate(value, value - half, value + half, f"delta method{self._suffix}")

    @cached_property
    def ratio(self) -> Estimate | None:
        """Candidate / reference, with its 95 % interval; None where the reference is not above 0.

        Graded means have Fieller's interval: unbounded where the reference cannot be told from 0.
        """
        if not self.finite:
            return self._not_finite()
        m = self.moments
        if self.perplexity:
            low, high = m.difference_interval()
            value = m.mean_b - m.mean_a
            return self._estimate(_exp(value), _exp(low), _exp(high), f"paired t of log{self._suffix}")
        if not self.has_ratio:
            return None
        value = m.mean_b / m.mean_a
        if self._table is not None:
            n, df = effective_n(self.b - value * self.a, self.groups)
            low, high = binary.ratio_interval(self._table[0].scaled(n), critical_value(df))
            return self._estimate(value, low, high, f"paired score{self._suffix}")
        low, high = m.ratio_interval()
        return self._estimate(value, max(low, 0.0) if self._bounded else low, high, f"Fieller{self._suffix}")

    # --- tests ---

    def evidence_above(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """The p-value of "the candidate's score is at most this", one-sided: small shows that it is above.

        Give the bound as a `ratio` to the reference's score, or as a difference `delta` to it.
        """
        if not self.finite:
            return 0.0 if np.isfinite(self.a).all() and self.perplexity else 0.5
        if self._table is not None:
            table, df = self._table
            if ratio is not None:
                n, df = effective_n(self.b - ratio * self.a, self.groups)
                return upper_tail(binary.ratio_score(table.scaled(n), ratio), df)
            return upper_tail(binary.difference_score(table, delta or 0.0), df)
        if self.perplexity:
            assert ratio is not None, "perplexities are compared by their ratio"
            return self.moments.evidence_above(1.0, math.log(ratio))
        return self.moments.evidence_above(1.0 if ratio is None else ratio, delta or 0.0)

    # --- bootstrap ---

    def bootstrap(self, statistic: str, resamples: int, seed: int) -> Estimate | None:
        """The BCa interval of "delta" or "ratio", groups resampled whole; None where it does not exist."""
        if not self.finite or (statistic == "ratio" and not self.has_ratio):
            return None
        weights = np.ones(self.n) if self.weights is None else self.weights
        units = np.stack([weights * self.a, weights * self.b, weights], axis=1)
        if self.groups is not None:
            units = np.stack([np.bincount(self.groups, weights=column) for column in units.T], axis=1)
        function = _STATISTICS[("perplexity " if self.perplexity else "") + statistic]
        value, low, high = bca_interval(units, function, resamples=resamples, seed=seed)
        return self._estimate(value, low, high, f"BCa bootstrap, {resamples} resamples{self._suffix}")

    @property
    def _suffix(self) -> str:
        return "" if self.groups is None else f", {int(self.groups.max()) + 1} groups"

    def _estimate(self, value: float, low: float, high: float, method: str) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=self.n, method=method)

    def _not_finite(self) -> Estimate:
        return self._estimate(math.inf, math.inf, math.inf, "not finite: the model gives no probability")


def score_estimate(
    values: Array, groups: Codes | None = None, weights: Array | None = None, *, perplexity: bool = False
) -> Estimate:
    """The mean of `values` (n,) with its 95 % interval; of a perplexity exp(mean).

    Right-or-wrong items: Wilson; if dependent, at the number of independent items that they are worth
    (Franco, Little, Louis and Slud, J. Survey Statistics and Methodology 7, 2019). Others: Student's t.
    """
    n = len(values)
    suffix = "" if groups is None else f", {int(groups.max()) + 1} groups"

    def estimate(value: float, low: float, high: float, method: str) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=n, method=method + suffix)

    if not np.isfinite(values).all():
        return estimate(math.inf, math.inf, math.inf, "not finite: the model gives no probability")
    if not perplexity and np.all((values == 0) | (values == 1)):
        worth, df = effective_n(values, groups)
        share = float(values.mean())
        return estimate(share, *binary.wilson(share, worth, critical_value(df)), "Wilson")
    m = paired_moments(values, values, weights, groups)
    half = critical_value(m.df) * math.sqrt(m.var_a) if m.df else math.inf
    low, high = m.mean_a - half, m.mean_a + half
    if perplexity:
        return estimate(_exp(m.mean_a), _exp(low), _exp(high), "t of log")
    if values.min() >= 0 and values.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    return estimate(m.mean_a, low, high, "t")


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


# Statistics of sums (..., 3) of reference, candidate and weight.
_STATISTICS: dict[str, Callable[[Array], Array]] = {
    "delta": lambda sums: (sums[..., 1] - sums[..., 0]) / sums[..., 2],
    "ratio": lambda sums: sums[..., 1] / sums[..., 0],
    "perplexity delta": lambda sums: (
        np.exp(sums[..., 1] / sums[..., 2]) - np.exp(sums[..., 0] / sums[..., 2])
    ),
    "perplexity ratio": lambda sums: np.exp((sums[..., 1] - sums[..., 0]) / sums[..., 2]),
}
