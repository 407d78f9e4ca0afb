"""The score of one cell, and everything that is said about one candidate and its reference."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats
from scipy.optimize import brentq

from kick.comparison import flips
from kick.comparison.bits import bits_per_byte
from kick.comparison.calibration import calibration
from kick.comparison.estimates import score_estimate
from kick.comparison.factuality import factuality
from kick.comparison.floors import not_measurable, signs_object, without_match
from kick.comparison.matching import Contrast, match
from kick.comparison.pairing import Pairs, group_codes, load_pairs, scores, stratum_codes
from kick.comparison.sample import FEWEST_BLOCKS, PairedSample
from kick.comparison.statistics.bootstrap import deal
from kick.comparison.statistics.moments import Array, critical_value
from kick.store import Store, noise_id
from kick.types import Cell, Comparison, EngineFloor, Estimate, NoiseFloor

# Relative, as in LLM-KICK (arXiv 2310.01382).
MARGIN = 0.05
PERMUTATIONS = 9_999
SEED = 1234
# The most units whose signs are flipped one by one, and the sign patterns that are drawn at a time.
_MAX_SIGNS = 2_000
_BATCH = 1_000
_FEW_HITS = 50
# The number of changes up to which all sign patterns are counted: below it a saddlepoint can be a third too small.
_EXACT_SIGNS = 16
_FEWEST_TAIL = 6
_MANY_WINDOWS = 60

Bits = npt.NDArray[np.uint8]


def score(cell: Cell, items: pd.DataFrame, metric: str | None = None) -> Estimate:
    """Return the score of one cell with its 95 % interval, which respects groups of dependent items.

    Args:
        cell: the cell.
        items: its items, as `Store.items` gives them.
        metric: a metric of the task; the one that stands for it when left out. Of a perplexity cell:
            exp(mean nll).

    Raises:
        InputError: a score is not a number.
    """
    perplexity = cell.task.kind == "text"
    values = scores(cell, items, metric or cell.task.metric)
    weights = items["units"].to_numpy(np.float64) if perplexity else None
    groups, strata = group_codes(cell, items), stratum_codes(cell, items)
    return score_estimate(values, groups, weights, strata, perplexity=perplexity)


def compare(
    store: Store, reference: str, candidate: str, task: str, metric: str | None = None, *, resamples: int = 0
) -> Comparison:
    """Compare two checkpoints of a results folder on one task, item by item.

    Args:
        store: the results folder.
        reference: id of a checkpoint.
        candidate: id of a checkpoint; that of the reference gives it as its own point of a curve.
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
    """Return everything that is said about pairs that are loaded already."""
    sample = pairs.sample
    itself = pairs.reference.checkpoint == pairs.candidate.checkpoint
    p_value, test = (None, None) if itself else difference_test(sample)
    reason = not_measurable(sample, pairs.floor, pairs.reference.task)
    objection = None if itself else signs_object(pairs.reference, pairs.candidate)
    above = sample.recovery_above_floor
    engine = engine_floor(pairs)
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
        floor=pairs.floor,
        recovery_above_floor=_itself(1.0, sample.n) if above and itself else above,
        measurable=reason is None,
        not_measurable=reason,
        objection=objection,
        bits_per_byte=bits_per_byte(pairs),
        calibration=calibration(pairs),
        factuality=factuality(pairs),
        delta_bootstrap=sample.bootstrap("delta", resamples, SEED) if resamples else None,
        ratio_bootstrap=sample.bootstrap("ratio", resamples, SEED) if resamples else None,
        p_value=p_value,
        test=test,
        flips=flips.count_flips(pairs),
        knowledge_loss=flips.loss_rate(sample),
        gain_rate=flips.gain_rate(sample),
        kappa=flips.kappa(sample),
        matching=without_match(match(sample, MARGIN), reason or objection),
        noise_floor=noise_floor,
        engine_floor=engine,
        caveats=(*pairs.caveats, *caveats(sample), *([engine_sentence(engine)] if engine else [])),
    )


def engine_floor(pairs: Pairs) -> EngineFloor | None:
    """Return what the engine alone changes on the task of these pairs; None if both were scored on one engine."""
    again = pairs.engine_floor
    if again is None:
        return None
    one, two = (cell.identity for cell in (again.reference, again.candidate))
    return EngineFloor(
        checkpoint=again.candidate.checkpoint,
        reference_engine=one.engine.text if one.engine else one.engine_release,
        candidate_engine=two.engine.text if two.engine else two.engine_release,
        delta=again.sample.delta,
        flips=flips.count_flips(again),
    )


def engine_sentence(floor: EngineFloor) -> str:
    """Return what the engine alone changes, in words."""
    delta, changed = floor.delta, floor.flips
    flipped = f", and {changed.lost + changed.gained} of {delta.n} items flip" if changed else ""
    return (
        f"Scored on different engines ({floor.reference_engine} | {floor.candidate_engine}). The engine alone changes "
        f"the score by {delta.value:+.3g} [{delta.low:+.3g}, {delta.high:+.3g}], n = {delta.n}{flipped} "
        f"({floor.checkpoint})."
    )


def caveats(sample: PairedSample) -> tuple[str, ...]:
    """Return what the intervals and tests of a sample cannot promise, a sentence each."""
    notes = []
    if sample.too_few:
        notes.append(
            f"Too few windows: {sample.n}. Perplexities are compared from {FEWEST_BLOCKS} blocks of neighbouring "
            "windows on, which takes 16 windows."
        )
    elif sample.perplexity and sample.n < _MANY_WINDOWS:
        notes.append(
            f"Few windows: {sample.n}. Damage that sits in one window of twenty may not be among them; score "
            f"{_MANY_WINDOWS} or more to see it."
        )
    elif not sample.is_bounded and not sample.perplexity:
        notes.append(
            "Scores are not within 0 to 1: intervals allow for no item worse than twice the worst one seen."
        )
    if sample.size_related:
        notes.append(
            "Changes grow with the size of the groups: intervals may be too narrow (they cover 70 to 95 % in "
            "simulations, in place of 95 %)."
        )
    return tuple(notes)


def noise_floor(store: Store, pairs: Pairs) -> NoiseFloor | None:
    """Return the reference against itself on the task of these pairs; None if not measured on these weights and items.

    Raises:
        InputError: its cell is damaged.
    """
    reference = pairs.reference.checkpoint
    again = store.cell(noise_id(reference), pairs.task)
    now = pairs.reference.identity
    if again is None or (again.identity.checkpoint, again.identity.plan) != (now.checkpoint, now.plan):
        return None
    noise = load_pairs(store, reference, noise_id(reference), pairs.task, pairs.metric, any_tier=True)
    return NoiseFloor(
        delta=noise.sample.delta,
        flips=flips.count_flips(noise),
        flip_rate=flips.flip_rate(noise.sample),
        bound=noise_bound(noise.sample),
    )


def noise_bound(sample: PairedSample) -> float:
    """Return the size of the delta that two runs of one checkpoint at this n exceed in at most 5 %.

    Items flip either way with the same chance, so what counts is how many flip and not which way they went this once:
    the bound is that of the largest flip rate that the run allows (graded scores: of the largest mean square).
    """
    if sample.perplexity:
        ratio = sample.ratio
        assert ratio is not None
        if not (sample.finite and ratio.low > 0):
            return math.inf
        return sample.reference_score.value * math.expm1(math.log(ratio.high / ratio.low) / 2)
    rate = flips.flip_rate(sample)
    if rate is None:
        changes = sample.b - sample.a
        most = PairedSample(np.zeros(sample.n), changes**2).delta.high
    else:
        most = rate.high
    return critical_value(math.inf) * math.sqrt(most / sample.n)


def difference_test(sample: PairedSample) -> tuple[float | None, str | None]:
    """Return the two-sided p-value of "no difference" and the name of its test.

    Independent right-or-wrong items have McNemar's exact test (binomial on the items that flipped). Other scores have a
    permutation test that swaps the two checkpoints at random, item by item or group by group. More than 2,000 units are
    dealt into bins that are swapped whole: a subgroup of the swaps, whose test is as valid (Lehmann and Romano, Testing
    Statistical Hypotheses, chapter 15.2). A permutation test has a smallest p-value. Below 50 hits of 9,999 swaps the
    tail is a saddlepoint's. If all units changed in one direction, and swaps can say no more, it is the interval's
    test. Perplexities have the test of their interval.

    Returns:
        None and None if a score is not finite, or if the windows of a text are too few.
    """
    if not sample.finite or sample.too_few:
        return None, None
    if sample.is_binary and sample.groups is None:
        lost, gained = _discordant(sample)
        return float(mcnemar(lost, gained)), "McNemar exact"
    if sample.perplexity:
        return _interval_test(sample), "pseudo-window"
    name = "permutation" if sample.groups is None else "permutation by group"
    changes: Array = sample.b - sample.a
    if sample.groups is not None:
        changes = np.bincount(sample.groups, weights=changes).astype(np.float64)
    # A change of 0 has no sign to flip.
    changes = changes[changes != 0]
    if len(changes) == 0:
        return 1.0, name
    p_value = sign_flip_test(changes)
    if len(changes) >= _FEWEST_TAIL and abs(changes.sum()) == np.abs(changes).sum():
        p_value = min(p_value, _interval_test(sample))
    return p_value, name


def _interval_test(sample: PairedSample) -> float:
    """Return the two-sided p-value of "no difference" by the test behind the interval."""
    bound = {"ratio": 1.0} if sample.perplexity else {"delta": 0.0}
    return min(1.0, 2 * min(sample.evidence_above(**bound), sample.evidence_below(**bound)))


def mcnemar(lost: npt.ArrayLike, gained: npt.ArrayLike) -> Array:
    """Return the two-sided p-value of McNemar's exact test for counts of items that flipped; 1 where none did."""
    fewer = np.minimum(lost, gained)
    p_value: Array = np.minimum(1.0, 2 * special.bdtr(fewer, np.add(lost, gained), 0.5))
    return p_value


def sign_flip_test(changes: Array) -> float:
    """Return the share of sign patterns whose sum is as far from 0 as that of the changes.

    All patterns are counted if they are few, random ones otherwise, and a saddlepoint gives the far tail.

    Args:
        changes: (m,) changes, none of them 0.
    """
    m, total = len(changes), float(changes.sum())
    far = abs(total) * (1 - 1e-12)
    if m <= _EXACT_SIGNS:
        positive = (np.arange(2**m)[:, None] >> np.arange(m)) & 1
        return float(np.mean(np.abs(2 * (positive @ changes) - total) >= far))
    generator = np.random.default_rng(SEED)
    swapped = changes
    if m > _MAX_SIGNS:
        swapped = deal(changes[:, None], _MAX_SIGNS, generator)[:, 0]
        patterns = _draw_signs(_MAX_SIGNS, generator)
    else:
        patterns = _signs(m)
    # The pattern seen counts as a hit.
    hits = 1 + np.sum(np.abs(2 * _sums_of_positive(patterns, swapped) - total) >= far)
    if hits < _FEW_HITS:
        return min(sign_flip_tail(changes), float(hits / (PERMUTATIONS + 1)))
    return float(hits / (PERMUTATIONS + 1))


def sign_flip_tail(changes: Array) -> float:
    """Return the two-sided p-value of the changes under random signs, by a saddlepoint (Robinson, JRSS-B 44, 1982).

    Sums of equal changes come in steps. The tail begins half a step before the sum seen, so it is not too small.

    Args:
        changes: (m,) changes, none of them 0.
    """
    sizes = np.abs(changes)
    target = abs(float(changes.sum())) - float(sizes.min())
    if target <= 0:
        return 1.0
    scale = float(sizes.max())
    sizes, target = sizes / scale, target / scale

    def slope(point: float) -> float:
        return float(sizes @ np.tanh(point * sizes)) - target

    point = float(brentq(slope, 0.0, _far_enough(slope)))
    angles = point * sizes
    # log cosh without overflow
    exponent = float(np.sum(angles + np.log1p(np.exp(-2 * angles)) - np.log(2)))
    root = math.sqrt(max(2 * (point * target - exponent), 0.0))
    lever = point * math.sqrt(float(np.sum(sizes**2 / np.cosh(np.minimum(angles, 300.0)) ** 2)))
    if root < 1e-4 or lever == 0:
        return float(2 * special.ndtr(-root)) if lever else 2.0 * 0.5 ** len(changes)
    return min(1.0, float(2 * special.ndtr(-(root + math.log(lever / root) / root))))


def _far_enough(slope: Callable[[float], float]) -> float:
    """Return a point at which an increasing function is positive."""
    point = 1.0
    while slope(point) <= 0 and point < 1e9:
        point *= 2
    return point


@lru_cache(maxsize=16)
def _signs(m: int) -> Bits:
    """Return the sign patterns for m changes: the same for every comparison, and most of a test's time to draw."""
    return _draw_signs(m, np.random.default_rng(SEED))


def _draw_signs(m: int, generator: np.random.Generator) -> Bits:
    """Return random sign patterns, `PERMUTATIONS` of them, as the bits of (ceil(m / 8), PERMUTATIONS) bytes."""
    batches = [
        generator.integers(0, 2, (min(_BATCH, PERMUTATIONS - start), m), dtype=np.uint8)
        for start in range(0, PERMUTATIONS, _BATCH)
    ]
    packed = [np.packbits(batch, axis=1, bitorder="little") for batch in batches]
    return np.ascontiguousarray(np.concatenate(packed).T)


def _sums_of_positive(patterns: Bits, changes: Array) -> Array:
    """Return the sum of the changes whose bit is set, per pattern: eight at a time, from a table of their 256 sums."""
    changes = np.pad(changes, (0, -len(changes) % 8)).reshape(-1, 8)
    tables = changes @ ((np.arange(256) >> np.arange(8)[:, None]) & 1)
    sums = np.zeros(patterns.shape[1])
    for table, bits in zip(tables, patterns, strict=True):
        sums += table[bits]
    return sums


def loss_test(sample: Contrast) -> float:
    """Return the one-sided p-value of "the candidate lost nothing": small shows a loss, however small.

    Exact (binomial on the items that flipped) for independent right-or-wrong items, so a candidate that is as good as
    the reference fails no more often than the level says; else from the statistic of the interval.
    """
    if isinstance(sample, PairedSample) and sample.is_binary and sample.groups is None:
        lost, gained = _discordant(sample)
        worse = lost if sample.higher_is_better else gained
        return float(stats.binom.sf(worse - 1, lost + gained, 0.5)) if lost + gained else 1.0
    if isinstance(sample, PairedSample) and sample.perplexity:
        return sample.evidence_above(ratio=1.0)
    return sample.evidence_below(delta=0.0) if sample.higher_is_better else sample.evidence_above(delta=0.0)


def _discordant(sample: PairedSample) -> tuple[int, int]:
    return int((sample.a > sample.b).sum()), int((sample.a < sample.b).sum())


def _itself(value: float, n: int) -> Estimate:
    return Estimate(value=value, low=value, high=value, n=n, method="the reference itself")
