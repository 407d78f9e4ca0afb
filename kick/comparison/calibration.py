"""Calibration of multiple choice: is the probability that a model gives to its choice the share of times it is right?

Read from the columns that `kick.metrics.calibration` gives every item of a task of choices.
"""

import math

import numpy as np
import pandas as pd

from kick.comparison.pairing import Pairs
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array, Codes
from kick.types import ChoiceCalibration, Estimate, PairedEstimates

BINS = 10
RESAMPLES = 1_000
SEED = 1234
_CHUNK = 100
_COLUMNS = ("brier", "confidence", "confident_right")


def calibration(pairs: Pairs) -> ChoiceCalibration | None:
    """Return the calibration of both checkpoints with paired differences; None unless all items have its columns."""
    frames = (pairs.reference_items, pairs.candidate_items)
    if not all(name in frame and frame[name].notna().all() for frame in frames for name in _COLUMNS):
        return None
    groups = pairs.sample.groups
    reference, candidate = (_Side.of(frame) for frame in frames)
    by_chance = (reference.error_if_calibrated(groups), candidate.error_if_calibrated(groups))
    return ChoiceCalibration(
        brier=_brier(pairs, *frames),
        error=_errors(reference, candidate, groups, by_chance),
        reference_if_calibrated=by_chance[0],
        candidate_if_calibrated=by_chance[1],
    )


def calibration_error(confidences: Array, right: Array, bins: int = BINS) -> float:
    """Return the expected calibration error, 0..1: the mean gap of confidence and accuracy over bins of equal mass.

    Naeini, Cooper and Hauskrecht (AAAI 2015), with the bins of Nixon et al. (CVPR Workshops 2019).

    Args:
        confidences: (n,) the probability of the choice that was taken, 0..1.
        right: (n,) 1 if that choice is the gold one, else 0.
        bins: the number of bins; fewer if there are fewer items.

    Raises:
        ValueError: there are no items, or the two differ in length.
    """
    if not len(confidences) or len(confidences) != len(right):
        raise ValueError(
            f"{len(confidences)} confidences and {len(right)} outcomes: give one of each per item"
        )
    return _Side(np.asarray(confidences, np.float64), np.asarray(right, np.float64), bins).error


class _Side:
    """The items of one checkpoint in bins of equal mass by confidence."""

    def __init__(self, confidences: Array, right: Array, bins: int = BINS) -> None:
        count = len(confidences)
        self.order = np.argsort(confidences, kind="stable")
        self.gaps = (confidences - right)[self.order]
        self.variances = (confidences * (1 - confidences))[self.order]
        sizes = [len(part) for part in np.array_split(self.order, min(bins, count))]
        self.starts = np.cumsum([0, *sizes[:-1]])

    @classmethod
    def of(cls, items: pd.DataFrame) -> "_Side":
        """Read the items of a cell."""
        return cls(items["confidence"].to_numpy(np.float64), items["confident_right"].to_numpy(np.float64))

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1."""
        return float(self.errors(np.ones((1, len(self.gaps))))[0])

    def error_if_calibrated(self, groups: Codes | None = None) -> float:
        """Return the mean error of as many items if each were right with the probability that the model gave, 0..1.

        The gap of a bin is then close to normal with mean 0, whose mean size is sqrt(2 / pi) standard deviations.

        Args:
            groups: (n,) codes of dependent items: the variance grows by the design effect that the gaps show.
        """
        variances = np.add.reduceat(self.variances, self.starts)
        if groups is not None:
            sizes = np.diff([*self.starts, len(self.gaps)])
            rest = self.gaps - np.repeat(np.add.reduceat(self.gaps, self.starts) / sizes, sizes)
            sums = np.bincount(groups[self.order], weights=rest)
            variances = variances * max(1.0, float(sums @ sums) / max(float(rest @ rest), 1e-12))
        return float(np.sqrt(2 / math.pi * variances).sum() / len(self.gaps))

    def errors(self, weights: Array) -> Array:
        """Return the error (R,) of each resample of the items, in the bins of all items.

        Args:
            weights: (R, n) how often each item was drawn, in the order in which the items came.
        """
        gaps = np.add.reduceat(weights[:, self.order] * self.gaps, self.starts, axis=1)
        errors: Array = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
        return errors


def _brier(pairs: Pairs, reference: pd.DataFrame, candidate: pd.DataFrame) -> PairedEstimates:
    """Return the Brier scores, 0..2. Half of one is within 0..1, as the intervals of bounded scores want it."""
    halves = PairedSample(
        reference["brier"].to_numpy(np.float64) / 2,
        candidate["brier"].to_numpy(np.float64) / 2,
        groups=pairs.sample.groups,
        strata=pairs.sample.strata,
        higher_is_better=False,
    )
    return PairedEstimates(
        reference=halves.reference_score.scaled(2),
        candidate=halves.candidate_score.scaled(2),
        delta=halves.delta.scaled(2),
    )


def _errors(
    reference: _Side, candidate: _Side, groups: Codes | None, by_chance: tuple[float, float]
) -> PairedEstimates:
    """Return the calibration errors with 95 % intervals by a bootstrap that draws the same items for both.

    An error is a mean of sizes, so chance adds to it: at most what a calibrated model would show. The intervals allow
    for that, on the side where it matters, in addition to the spread of the resamples. In simulations they cover 96 to
    100 % (calibrated and overconfident models, 150 and 600 items).
    """
    n = len(reference.gaps)
    draws = [(reference.errors(weights), candidate.errors(weights)) for weights in _weights(n, groups)]
    one, two = (np.concatenate(side) for side in zip(*draws, strict=True))
    delta = _estimate(candidate.error - reference.error, two - one, n, by_chance[1], by_chance[0])
    return PairedEstimates(
        reference=_within(_estimate(reference.error, one, n, by_chance[0]), 0.0, 1.0),
        candidate=_within(_estimate(candidate.error, two, n, by_chance[1]), 0.0, 1.0),
        delta=_within(delta, -1.0, 1.0),
    )


def _weights(n: int, groups: Codes | None) -> list[Array]:
    """Return how often each item is drawn, as chunks of (resamples, n); groups of dependent items are drawn whole."""
    units = n if groups is None else int(groups.max()) + 1
    generator = np.random.default_rng(SEED)
    chunks = []
    for _ in range(RESAMPLES // _CHUNK):
        drawn = generator.integers(0, units, (_CHUNK, units)) + units * np.arange(_CHUNK)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=_CHUNK * units).reshape(_CHUNK, units)
        chunks.append((counts if groups is None else counts[:, groups]).astype(np.float64))
    return chunks


def _estimate(value: float, resampled: Array, n: int, too_large: float, too_small: float = 0.0) -> Estimate:
    """Return a value with the spread of its resamples around it, wider by how much it may be too large or too small."""
    low, high = np.quantile(resampled - resampled.mean(), [0.025, 0.975])
    return Estimate(
        value=value,
        low=value + float(low) - too_large,
        high=value + float(high) + too_small,
        n=n,
        method=f"bootstrap, {RESAMPLES:,} resamples, wider by what chance adds",
    )


def _within(estimate: Estimate, least: float, most: float) -> Estimate:
    return estimate.model_copy(update={"low": max(least, estimate.low), "high": min(most, estimate.high)})
