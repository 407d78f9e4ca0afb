"""One cell's score, and one candidate against the reference: everything that is said about a pair."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from kick.comparison import flips
from kick.comparison.matching import match
from kick.comparison.pairing import Pairs, group_codes, load_pairs, scores
from kick.comparison.sample import PairedSample, score_estimate
from kick.comparison.statistics.bootstrap import deal
from kick.comparison.statistics.moments import Array
from kick.store import Store, noise_id
from kick.types import Cell, Comparison, Estimate, NoiseFloor

MARGIN = 0.05  # relative, as in LLM-KICK (arXiv 2310.01382)
PERMUTATIONS = 9_999
SEED = 1234
_MAX_SIGNS = 2_000  # units whose signs are flipped at a time
_BATCH = 1_000  # sign patterns drawn at a time

Bits = npt.NDArray[np.uint8]


def score(cell: Cell, items: pd.DataFrame, metric: str | None = None) -> Estimate:
    """The score of one cell with its 95 % interval, which respects groups of dependent items.

    Args:
        cell: the cell.
        items: its items, as `Store.items` gives them.
        metric: a metric of the task; the one that stands for it when left out. Of a perplexity cell:
            exp(mean nll).

    Raises:
        InputError: a score is not a number.
    """
    perplexity = cell.task.family == "perplexity"
    values = scores(cell, items, metric or cell.task.metric)
    weights = items["units"].to_numpy(np.float64) if perplexity else None
    return score_estimate(values, group_codes(cell, items), weights, perplexity=perplexity)


def compare(
    store: Store, reference: str, candidate: str, task: str, metric: str | None = None, *, resamples: int = 0
) -> Comparison:
    """Compare two checkpoints of a results folder on one task, item by item.

    Args:
        store: the results folder.
        reference, candidate: ids of checkpoints; the same id twice gives the reference as its own point of
            a curve.
        task: name of a task.
        metric: a metric of the task; the one that stands for it when left out.
        resamples: bootstrap resamples for `delta_bootstrap` and `ratio_bootstrap`; 0 leaves them out.

    Raises:
        InputError: the two cannot be compared - another plan, dtype, device or scoring tier, a missing or
            damaged cell, no shared item. The message lists what differs.
    """
    pairs = load_pairs(store, reference, candidate, task, metric)
    return compare_pairs(pairs, noise_floor=noise_floor(store, pairs), resamples=resamples)


def compare_pairs(pairs: Pairs, *, noise_floor: NoiseFloor | None = None, resamples: int = 0) -> Comparison:
    """Everything that is said about pairs that are loaded already."""
    sample = pairs.sample
    itself = pairs.reference.checkpoint == pairs.candidate.checkpoint
    p_value, test = (None, None) if itself else difference_test(sample)
    return Comparison(
        task=pairs.task,
        family=pairs.reference.task.family,
        metric=pairs.metric,
        higher_is_better=sample.higher_is_better,
        reference=pairs.reference.checkpoint,
        candidate=pairs.candidate.checkpoint,
        n=sample.n,
        unpaired=pairs.unpaired,
        groups=None if sample.groups is None else int(sample.groups.max()) + 1,
        reference_score=sample.reference_score,
        candidate_score=sample.candidate_score,
        delta=_itself(0.0, sample.n) if itself else sample.delta,
        ratio=(_itself(1.0, sample.n) if sample.ratio else None) if itself else sample.ratio,
        delta_bootstrap=sample.bootstrap("delta", resamples, SEED) if resamples else None,
        ratio_bootstrap=sample.bootstrap("ratio", resamples, SEED) if resamples else None,
        p_value=p_value,
        test=test,
        flips=flips.count_flips(pairs),
        knowledge_loss=flips.loss_rate(sample),
        gain_rate=flips.gain_rate(sample),
        kappa=flips.kappa(sample),
        matching=match(sample, MARGIN),
        noise_floor=noise_floor,
        caveats=pairs.caveats,
    )


def noise_floor(store: Store, pairs: Pairs) -> NoiseFloor | None:
    """The reference against itself on the task of these pairs; None if it was not measured on these weights and items.

    Raises:
        InputError: its cell is damaged.
    """
    reference = pairs.reference.checkpoint
    again = store.cell(noise_id(reference), pairs.task)
    now = pairs.reference.identity
    if again is None or (again.identity.checkpoint, again.identity.plan) != (now.checkpoint, now.plan):
        return None
    noise = load_pairs(store, reference, noise_id(reference), pairs.task, pairs.metric, any_tier=True)
    return NoiseFloor(delta=noise.sample.delta, flips=flips.count_flips(noise))


def difference_test(sample: PairedSample) -> tuple[float | None, str | None]:
    """The two-sided p-value of "no difference" and the name of its test.

    Independent right-or-wrong items: McNemar's exact test (binomial on the items that flipped). Everything
    else: a permutation test that swaps the two checkpoints at random, item by item or group by group; exact
    where there are few. More than 2,000 units are dealt into bins that are swapped whole: a subgroup of the
    swaps, whose test is as valid (Lehmann and Romano, Testing Statistical Hypotheses, ch. 15.2).
    """
    if not sample.finite:
        return None, None
    if sample.is_binary and sample.groups is None:
        lost, gained = _discordant(sample)
        return float(mcnemar(lost, gained)), "McNemar exact"
    name = "permutation" if sample.groups is None else "permutation by group"
    changes: Array = (sample.b - sample.a) * (1 if sample.weights is None else sample.weights)
    if sample.groups is not None:
        changes = np.bincount(sample.groups, weights=changes).astype(np.float64)
    changes = changes[changes != 0]  # a change of 0 has no sign to flip
    if len(changes) == 0:
        return 1.0, name
    return _sign_flip_test(changes), name


def mcnemar(lost: npt.ArrayLike, gained: npt.ArrayLike) -> Array:
    """The two-sided p-value of McNemar's exact test for counts of items that flipped; 1 where none did."""
    fewer = np.minimum(lost, gained)
    p_value: Array = np.minimum(1.0, 2 * special.bdtr(fewer, np.add(lost, gained), 0.5))
    return p_value


def _sign_flip_test(changes: Array) -> float:
    """The share of sign patterns whose sum is as far from 0 as that of the changes; of random ones if many."""
    m, total = len(changes), float(changes.sum())
    far = abs(total) * (1 - 1e-12)
    if 2**m <= PERMUTATIONS:
        positive = (np.arange(2**m)[:, None] >> np.arange(m)) & 1
        return float(np.mean(np.abs(2 * (positive @ changes) - total) >= far))
    generator = np.random.default_rng(SEED)
    if m > _MAX_SIGNS:
        changes = deal(changes[:, None], _MAX_SIGNS, generator)[:, 0]
        patterns = _draw_signs(_MAX_SIGNS, generator)
    else:
        patterns = _signs(m)
    hits = 1 + np.sum(np.abs(2 * _sums_of_positive(patterns, changes) - total) >= far)  # 1: the pattern seen
    return float(hits / (PERMUTATIONS + 1))


@lru_cache(maxsize=16)
def _signs(m: int) -> Bits:
    """The sign patterns for m changes: the same for every comparison, and most of a test's time to draw."""
    return _draw_signs(m, np.random.default_rng(SEED))


def _draw_signs(m: int, generator: np.random.Generator) -> Bits:
    """Random sign patterns, `PERMUTATIONS` of them: the bits of (ceil(m / 8), PERMUTATIONS) bytes."""
    batches = [
        generator.integers(0, 2, (min(_BATCH, PERMUTATIONS - start), m), dtype=np.uint8)
        for start in range(0, PERMUTATIONS, _BATCH)
    ]
    packed = [np.packbits(batch, axis=1, bitorder="little") for batch in batches]
    return np.ascontiguousarray(np.concatenate(packed).T)


def _sums_of_positive(patterns: Bits, changes: Array) -> Array:
    """For each pattern the sum of the changes whose bit is set, eight at a time from a table of their 256 sums."""
    changes = np.pad(changes, (0, -len(changes) % 8)).reshape(-1, 8)
    tables = changes @ ((np.arange(256) >> np.arange(8)[:, None]) & 1)
    sums = np.zeros(patterns.shape[1])
    for table, bits in zip(tables, patterns, strict=True):
        sums += table[bits]
    return sums


def loss_test(sample: PairedSample) -> float:
    """The one-sided p-value of "the candidate lost nothing": small shows a loss, however small.

    Exact (binomial on the items that flipped) for independent right-or-wrong items, so that a candidate
    which is as good as the reference fails no more often than the level says; else from the statistic of
    the interval.
    """
    if sample.is_binary and sample.groups is None:
        lost, gained = _discordant(sample)
        worse = lost if sample.higher_is_better else gained
        return float(stats.binom.sf(worse - 1, lost + gained, 0.5)) if lost + gained else 1.0
    bound = {"ratio": 1.0} if sample.perplexity else {"delta": 0.0}
    above = sample.evidence_above(**bound)
    return 1 - above if sample.higher_is_better else above


def _discordant(sample: PairedSample) -> tuple[int, int]:
    return int((sample.a > sample.b).sum()), int((sample.a < sample.b).sum())


def _itself(value: float, n: int) -> Estimate:
    return Estimate(value=value, low=value, high=value, n=n, method="the reference itself")
