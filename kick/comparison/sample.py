"""Paired scores of one task as numbers, and every interval and test that is asked of them.

Right-or-wrong items have score tests on the paired table. Graded items and perplexities have tests of a reweighted mean
with a pseudo-item, the worst that may be among the items that were not seen (`kick.comparison.statistics.bounded`):
they hold where the loss sits in few items or windows. Ratios of perplexities are exact on the log scale.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kick.comparison.estimates import exp_or_infinite, score_estimate, units_in_words
from kick.comparison.statistics import binary
from kick.comparison.statistics.bootstrap import bca_interval
from kick.comparison.statistics.bounded import signed_evidence, unseen_value, varies
from kick.comparison.statistics.limits import reach, reach_ratio, recovery_interval
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

# Blocks of windows below which the perplexities of a text are not compared.
FEWEST_BLOCKS = 4
TOO_FEW = "too few windows"
_TINY = 1e-9
# The level at which a reference must be shown to be above its floor, one-sided.
FLOOR_LEVEL = 0.05


@dataclass(frozen=True)
class PairedSample:
    """Scores of the reference (a) and the candidate (b) on the same items.

    Attributes:
        a: (n,) scores of the reference; of perplexity, mean negative log-likelihoods in nats per token.
        b: (n,) scores of the candidate, in the same units.
        groups: (n,) codes 0..G-1 of items that depend on each other, or None.
        weights: (n,) tokens of each window of a perplexity text, or None.
        perplexity: whether scores are exp(mean).
        higher_is_better: whether a fall is a loss.
        strata: (n,) codes 0..H-1 of fixed categories all of which were asked, or None.
        floor: the score of the best answerer without knowledge, a constant; None if it was not measured.
    """

    a: Array
    b: Array
    groups: Codes | None = None
    weights: Array | None = None
    perplexity: bool = False
    higher_is_better: bool = True
    strata: Codes | None = None
    floor: float | None = None

    @property
    def n(self) -> int:
        """Items, or windows of a text."""
        return len(self.a)

    @cached_property
    def is_binary(self) -> bool:
        """True if every score is 0 or 1."""
        return not self.perplexity and all(
            bool(np.all((side == 0) | (side == 1))) for side in (self.a, self.b)
        )

    @cached_property
    def is_bounded(self) -> bool:
        """True if every score is in 0..1."""
        return not self.perplexity and all(side.min() >= 0 and side.max() <= 1 for side in (self.a, self.b))

    @cached_property
    def finite(self) -> bool:
        """True if every score is a number."""
        return bool(np.isfinite(self.a).all() and np.isfinite(self.b).all())

    @cached_property
    def too_few(self) -> bool:
        """True if these are windows of a text, and too few of them to say how much the next ones may differ."""
        return (
            self.perplexity
            and (self.n if self.groups is None else int(self.groups.max()) + 1) < FEWEST_BLOCKS
        )

    @cached_property
    def size_related(self) -> bool:
        """True if larger groups of items are seen to change by more or by less per item than smaller ones."""
        if self.groups is None or self.perplexity or not self.finite:
            return False
        sizes = np.bincount(self.groups)
        changes = np.bincount(self.groups, weights=self.b - self.a) / sizes
        if len(sizes) < 4 or sizes.std() < 0.3 * sizes.mean() or changes.std() == 0:
            return False
        return bool(abs(np.corrcoef(sizes, changes)[0, 1]) > 2 / math.sqrt(len(sizes)))

    @cached_property
    def moments(self) -> Moments:
        """The means of both checkpoints and their covariance."""
        return paired_moments(self.a, self.b, self.weights, self.groups, self.strata)

    @property
    def has_ratio(self) -> bool:
        """True if the candidate's score can be put as a share of the reference's, which must be above 0."""
        return self.perplexity or self.moments.mean_a > 0

    @cached_property
    def _table(self) -> tuple[binary.PairedTable, float] | None:
        """The paired table at the number of independent items, with its degrees of freedom; None for graded scores."""
        if not self.is_binary:
            return None
        both, a, b = float(self.a @ self.b), float(self.a.sum()), float(self.b.sum())
        table = binary.PairedTable(both, a - both, b - both, self.n - a - b + both)
        n, df = effective_n(self.b - self.a, self.groups, self.strata)
        return table.scaled(n), df

    # --- estimates ---

    @cached_property
    def reference_score(self) -> Estimate:
        """The reference's score with its 95 % interval."""
        return score_estimate(self.a, self.groups, self.weights, self.strata, perplexity=self.perplexity)

    @cached_property
    def candidate_score(self) -> Estimate:
        """The candidate's score with its 95 % interval."""
        return score_estimate(self.b, self.groups, self.weights, self.strata, perplexity=self.perplexity)

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
        if self.perplexity:
            return self._perplexity_delta()
        m = self.moments
        low, high = self._difference_interval()
        return self._estimate(m.mean_b - m.mean_a, low, high, f"pseudo-item{self._suffix}")

    @cached_property
    def ratio(self) -> Estimate | None:
        """Candidate / reference, with its 95 % interval; None where the reference is not above 0."""
        if not self.finite:
            return self._not_finite()
        m = self.moments
        if self.perplexity:
            value = exp_or_infinite(m.mean_b - m.mean_a)
            if self.too_few:
                return self._estimate(value, 0.0, math.inf, f"{TOO_FEW}{self._suffix}")
            low, high = self._difference_interval()
            return self._estimate(
                value, exp_or_infinite(low), exp_or_infinite(high), f"pseudo-window, of log{self._suffix}"
            )
        if not self.has_ratio:
            return None
        value = m.mean_b / m.mean_a
        if self._table is not None:
            n, df = effective_n(self.b - value * self.a, self.groups, self.strata)
            low, high = binary.ratio_interval(self._table[0].scaled(n), critical_value(df))
            return self._estimate(value, low, high, f"paired score{self._suffix}")
        low = reach(value, 0.0, lambda bound: self.evidence_above(ratio=bound))
        high = reach_ratio(value, lambda bound: self.evidence_below(ratio=bound))
        if not self.is_bounded and low == 0:
            low = -math.inf
        return self._estimate(value, low, high, f"pseudo-item{self._suffix}")

    @cached_property
    def measurable(self) -> bool:
        """True if the reference is shown to be above the floor, at 5 %, one-sided; true if there is no floor."""
        return self.floor is None or self.reference_evidence(self.floor) <= FLOOR_LEVEL

    @cached_property
    def recovery_above_floor(self) -> Estimate | None:
        """(candidate - floor) / (reference - floor) with its 95 % interval, both from 0 upwards.

        The interval is the values t that the test of "the mean of b - t * a is floor * (1 - t)" does not reject, by the
        pseudo-item: what the interval of `ratio` is for a floor of 0. None where there is no floor, or the reference is
        not shown to be above it.
        """
        if self.floor is None or not self.measurable:
            return None
        above, m = self.floor, self.moments
        value = (m.mean_b - above) / (m.mean_a - above)

        def evidence(theta: float, *, below: bool) -> float:
            return self._evidence(theta, above * (1 - theta), below=below)

        low, high = recovery_interval(value, evidence)
        return self._estimate(max(value, 0.0), low, high, f"pseudo-item, floor taken off{self._suffix}")

    def reference_evidence(self, bound: float) -> float:
        """Return the one-sided p-value of "the reference's score is at most `bound`", by the pseudo-item of score 0.

        For right-or-wrong items that are independent it is Clopper and Pearson's exact test.
        """
        n, df = effective_n(self.a, self.groups, self.strata)
        scores, counts = np.unique(self.a, return_counts=True)
        values = scores - bound
        scale = float(np.abs(values).max()) or 1.0
        worst = bound if self.is_bounded else -unseen_value(self.a - bound)
        deviate = signed_evidence(values, max(worst, _TINY * scale), counts * n / self.n)
        return upper_tail(float(deviate), df)

    def _difference_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the mean difference of graded scores, or of mean log-likelihoods."""
        value = self.moments.mean_b - self.moments.mean_a
        if self.moments.df == 0:
            return (-1.0, 1.0) if self.is_bounded else (-math.inf, math.inf)
        differences = self.b - self.a
        least, most = (
            (-1.0, 1.0) if self.is_bounded else (unseen_value(differences), -unseen_value(-differences))
        )
        return (
            reach(value, least, lambda bound: self._evidence(1.0, bound)),
            reach(value, most, lambda bound: self._evidence(1.0, bound, below=True)),
        )

    @cached_property
    def loss_difference(self) -> Estimate:
        """The difference of mean losses in nats per unit of a perplexity text, candidate - reference, 95 %."""
        if not self.finite:
            return self._not_finite()
        value = self.moments.mean_b - self.moments.mean_a
        if self.too_few:
            return self._estimate(value, -math.inf, math.inf, f"{TOO_FEW}{self._suffix}")
        return self._estimate(value, *self._difference_interval(), f"pseudo-window{self._suffix}")

    def _perplexity_delta(self) -> Estimate:
        """Return the difference of perplexities, whose interval excludes 0 where that of the ratio excludes 1.

        The difference is the reference's perplexity times (ratio - 1). The uncertainties of both factors are added in
        quadrature (Zou, Huang and Zhang, Computational Statistics and Data Analysis 53, 2009), on the log scale for
        the end that is nearer to 0 than the estimate.
        """
        ratio, reference = self.ratio, self.reference_score
        assert ratio is not None
        scale = reference.value
        value = scale * (ratio.value - 1)
        if math.isinf(scale) or math.isinf(ratio.value):
            return self._not_finite()
        if self.too_few:
            return self._estimate(value, -math.inf, math.inf, ratio.method)
        ends = []
        for end, sign in ((ratio.low, -1), (ratio.high, 1)):
            toward_zero = (ratio.value - 1) * sign < 0
            bound = reference.low if toward_zero else reference.high
            if (end - 1) * (ratio.value - 1) > 0:
                spread = math.hypot(math.log(bound / scale), math.log((end - 1) / (ratio.value - 1)))
                ends.append(value * math.exp(-spread if toward_zero else spread))
            else:
                ends.append(
                    value
                    + sign * math.hypot(scale * (end - ratio.value), (bound - scale) * (ratio.value - 1))
                )
        return self._estimate(value, ends[0], ends[1], f"of the ratio{self._suffix}")

    # --- tests ---

    def evidence_above(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """Return the one-sided p-value of "the candidate's score is at most this": small shows that it is above.

        Args:
            ratio: the bound as a ratio to the reference's score, or
            delta: the bound as a difference to it.
        """
        if self._table is not None and self.finite:
            return self._table_evidence(ratio, delta)
        return self._bound_evidence(ratio, delta, below=False)

    def evidence_below(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """Return the one-sided p-value of "the candidate's score is at least this": small shows that it is below.

        The arguments are those of `evidence_above`.
        """
        if self._table is not None and self.finite:
            return 1 - self._table_evidence(ratio, delta)
        return self._bound_evidence(ratio, delta, below=True)

    def _table_evidence(self, ratio: float | None, delta: float | None) -> float:
        assert self._table is not None
        table, df = self._table
        if ratio is not None:
            n, df = effective_n(self.b - ratio * self.a, self.groups, self.strata)
            return upper_tail(binary.ratio_score(table.scaled(n), ratio), df)
        return upper_tail(binary.difference_score(table, delta or 0.0), df)

    def _bound_evidence(self, ratio: float | None, delta: float | None, *, below: bool) -> float:
        if not self.finite:
            infinite = np.isfinite(self.a).all() and self.perplexity
            return float(below) if infinite else 0.5
        if self.too_few:
            return 0.5
        if self.perplexity:
            assert ratio is not None, "perplexities are compared by their ratio"
            return self._evidence(1.0, math.log(ratio), below=below)
        return self._evidence(1.0 if ratio is None else ratio, delta or 0.0, below=below)

    def _evidence(self, theta: float, bound: float, *, below: bool = False) -> float:
        """Return the one-sided p-value of "the mean of b - theta * a is at most (below: at least) `bound`"."""
        contrast = self.b - theta * self.a
        n, df = effective_n(contrast, self.groups, self.strata, self.weights)
        if self.moments.df == 0:
            return 0.5
        if self.perplexity and not varies(contrast):
            n, df = float(self.n), math.inf
        a, b, counts = self._distinct
        sign = -1 if below else 1
        values = sign * (b - theta * a - bound)
        if self.is_bounded:
            worst = self.pseudo_item - bound if below else theta * self.pseudo_item + bound
        else:
            worst = -unseen_value(sign * (contrast - bound))
        scale = float(np.abs(values).max()) or 1.0
        return upper_tail(
            float(signed_evidence(values * self._tokens, max(worst, _TINY * scale), counts * n / self.n)), df
        )

    @cached_property
    def pseudo_item(self) -> float:
        """The score of the pseudo-item for the one checkpoint; the other scores 0 on it.

        Items count with their score: the mean score of what there is to lose. It is 1 for right-or-wrong items.
        """
        return max(float(side @ side / side.sum()) if side.any() else 0.0 for side in (self.a, self.b)) or 1.0

    @cached_property
    def _distinct(self) -> tuple[Array, Array, Array]:
        """The different pairs of scores, and how often each occurs; every window of a text is its own."""
        if self.weights is not None:
            return self.a, self.b, np.ones(self.n)
        pairs, counts = np.unique(self.a + 1j * self.b, return_counts=True)
        return pairs.real.copy(), pairs.imag.copy(), counts.astype(np.float64)

    @cached_property
    def _tokens(self) -> Array | float:
        """The weights of the windows, with a mean of 1."""
        return 1.0 if self.weights is None else self.weights / self.weights.mean()

    # --- bootstrap ---

    def bootstrap(self, statistic: str, resamples: int, seed: int) -> Estimate | None:
        """Return the BCa interval of "delta" or "ratio", groups resampled whole; None where it does not exist."""
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
        return units_in_words(self.groups, self.strata)

    def _estimate(self, value: float, low: float, high: float, method: str) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=self.n, method=method)

    def _not_finite(self) -> Estimate:
        return self._estimate(math.inf, math.inf, math.inf, "not finite: the model gives no probability")


# Statistics of sums (..., 3) of reference, candidate and weight.
_STATISTICS: dict[str, Callable[[Array], Array]] = {
    "delta": lambda sums: (sums[..., 1] - sums[..., 0]) / sums[..., 2],
    "ratio": lambda sums: sums[..., 1] / sums[..., 0],
    "perplexity delta": lambda sums: (
        np.exp(sums[..., 1] / sums[..., 2]) - np.exp(sums[..., 0] / sums[..., 2])
    ),
    "perplexity ratio": lambda sums: np.exp((sums[..., 1] - sums[..., 0]) / sums[..., 2]),
}
