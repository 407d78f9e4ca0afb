"""Evidence about one candidate on one task that may be looked at after every batch of items.

A policy has three zones: a loss is shown to be within the margin (`evidence_within`), shown to be beyond what is
tolerated (`evidence_beyond`), or neither yet. What is shown once stays shown: whoever scores on may stop at any look.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from kick.comparison.sample import PairedSample
from kick.comparison.statistics.bounded import unseen_value, varies
from kick.comparison.statistics.sequential import (
    Bets,
    bets_beyond,
    bets_within,
    is_shown,
    log_evidence,
    log_evidence_skewed,
)
from kick.errors import InputError
from kick.types import Record

Method = Literal["bets", "bets on the full run", "t mixture over blocks"]


# Neighbouring windows of a text depend on each other. The size is fixed, so blocks do not change as windows are added.
WINDOWS_PER_BLOCK = 8
# Blocks below which the error is above 5 % for skewed rises.
FEWEST_BLOCKS = 8


class Evidence(Record):
    """The evidence against a claim about a loss, valid whenever it is looked at.

    `log_e` is the logarithm of an e-value: if the claim is true, it reaches log(1 / alpha) at any look with a
    chance of at most alpha. It is infinite if the items scored settle the full run for certain.
    """

    log_e: float
    # Items, groups of items or blocks of windows that were bet on.
    units: int
    method: Method

    @property
    def p_value(self) -> float:
        """The p-value that holds at every look, 0..1."""
        return math.exp(-max(self.log_e, 0.0))

    def shows(self, alpha: float, tests: int = 1) -> bool:
        """Return whether the claim is refuted at level `alpha`, read together with as many others as `tests`."""
        return is_shown(self.log_e, alpha, tests)


def evidence_within(
    sample: PairedSample,
    *,
    ratio: float | None = None,
    drop: float | None = None,
    total: int | None = None,
    largest: int | None = None,
) -> Evidence:
    """Return the evidence against "the loss is the margin or more": large shows that the loss is within the margin.

    Every task must show it at level alpha for a pass, without correction (intersection-union test).

    Args:
        sample: the pairs scored so far, in the random order of the benchmark if `total` is given.
        ratio: the margin as a share of the reference's score (of a perplexity, 0.05 allows a ratio of 1.05), or
        drop: the margin in units of the metric.
        total: items of the full run, if the claim is about that one; None for items of the kind in general. Groups of
            dependent items and perplexities are always taken as a sample of others.
        largest: items of the largest group of the benchmark; of those scored when left out.

    Raises:
        InputError: scores are not within 0..1.
    """
    return _evidence(sample, bets_within, -1, ratio, drop, total, largest)


def evidence_beyond(
    sample: PairedSample,
    *,
    ratio: float | None = None,
    drop: float | None = None,
    total: int | None = None,
    largest: int | None = None,
) -> Evidence:
    """Return the evidence against "the loss is what is tolerated, or less": large shows a loss beyond it.

    Any of K candidates x tasks may show it, so it takes `shows(alpha, tests=K)` (Vovk and Wang, Annals of Statistics
    49, 2021). The arguments are those of `evidence_within`.
    """
    return _evidence(sample, bets_beyond, 1, ratio, drop, total, largest)


def _evidence(
    sample: PairedSample,
    make: Callable[..., Bets],
    direction: int,
    ratio: float | None,
    drop: float | None,
    total: int | None,
    largest: int | None,
) -> Evidence:
    if sample.perplexity:
        if ratio is None:
            raise InputError("perplexities are compared by their ratio: give a ratio, not a drop.")
        return _evidence_of_blocks(sample, direction, math.log1p(ratio))
    _refuse_unbounded(sample)
    bets = make(sample.a, sample.b, ratio=ratio, drop=drop, higher_is_better=sample.higher_is_better)
    bets = bets.by_group(sample.groups, largest)
    finite = total if sample.groups is None else None
    return Evidence(
        log_e=float(log_evidence(bets, finite)),
        units=bets.values.shape[-1],
        method="bets" if finite is None else "bets on the full run",
    )


def _evidence_of_blocks(sample: PairedSample, direction: int, bound: float) -> Evidence:
    """Return the evidence of a perplexity: its windows have no bounds, so it is a t mixture over blocks of them."""
    if not sample.finite:
        infinite = bool(np.isfinite(sample.a).all()) and direction > 0
        return Evidence(log_e=math.inf if infinite else 0.0, units=sample.n, method="t mixture over blocks")
    blocks = sample.n // WINDOWS_PER_BLOCK
    if blocks < FEWEST_BLOCKS:
        return Evidence(log_e=0.0, units=blocks, method="t mixture over blocks")
    whole = blocks * WINDOWS_PER_BLOCK
    weights = np.ones(sample.n) if sample.weights is None else sample.weights
    rises, tokens = (
        part[:whole].reshape(blocks, -1).sum(axis=1) for part in (weights * (sample.b - sample.a), weights)
    )
    values = direction * (rises / tokens - bound)
    if varies(values):
        log_e = float(log_evidence_skewed(values)[-1])
    else:
        # Identical windows have no variance. The next one may be as far off as it may be for an interval.
        windows = Bets(np.full(sample.n, values[0]), values[0] - unseen_value(values))
        log_e = float(log_evidence(windows))
    return Evidence(log_e=log_e, units=blocks, method="t mixture over blocks")


def _refuse_unbounded(sample: PairedSample) -> None:
    if not sample.is_bounded:
        raise InputError(
            "evidence at every look needs scores from 0 to 1. Score the whole task and compare it once."
        )
