"""Perplexity against knowledge: where each leaves its tolerance, how each orders candidates, and which warned first."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from kick.comparison.curves import matching_rate
from kick.comparison.grid import candidate_ids, reference_id, series_curves, task_names
from kick.comparison.paired import loss_test
from kick.comparison.pairing import Pairs, load_pairs
from kick.comparison.records import (
    FirstToFail,
    MatchingRate,
    Misordered,
    PerplexityWarning,
    RankAgreement,
    SeriesWarning,
    Signal,
)
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.bootstrap import resampled_sums
from kick.comparison.statistics.moments import CONFIDENCE, Array
from kick.comparison.statistics.multiplicity import adjust
from kick.errors import InputError
from kick.store import Store
from kick.types import Curve, Estimate, Refusal
from kick.types.recipes import falling

RESAMPLES = 1_000
SEED = 1234


def perplexity_warning(store: Store) -> PerplexityWarning:
    """Set perplexity against every task: by series, by rank, and pair by pair.

    Candidates that could not be compared on a task or on the perplexity text, or that lack some of its
    items, have no place in its ranks and are listed in `refusals`. Ranks need three candidates.
    """
    reference = reference_id(store)
    names = candidate_ids(store, reference)
    loaded: dict[str, dict[str, Pairs]] = {}
    refusals: list[Refusal] = []
    for task in task_names(store):
        for name in names:
            result = _load(store, reference, name, task)
            if isinstance(result, Pairs):
                loaded.setdefault(task, {})[name] = result
            else:
                refusals.append(result)
    texts = [task for task, pairs in loaded.items() if next(iter(pairs.values())).sample.perplexity]
    agreements: list[RankAgreement] = []
    misordered: list[Misordered] = []
    for task in loaded:
        for text in texts:
            both = [name for name in names if name in loaded[task] and name in loaded[text]]
            if task not in texts and len(both) >= 3:
                knowledge, words = ([loaded[where][name] for name in both] for where in (task, text))
                agreements += _agreements(knowledge, words)
                misordered += _misordered(knowledge, words)
    return PerplexityWarning(
        warnings=tuple(_warnings(series_curves(store), texts)),
        agreements=tuple(agreements),
        misordered=tuple(misordered),
        refusals=tuple(refusals),
    )


def _load(store: Store, reference: str, candidate: str, task: str) -> Pairs | Refusal:
    try:
        pairs = load_pairs(store, reference, candidate, task)
    except InputError as error:
        return Refusal(reference=reference, candidate=candidate, task=task, reason=str(error))
    reason = f"{pairs.unpaired} items are not shared with the reference" if pairs.unpaired else None
    if not pairs.sample.finite:
        reason = "the perplexity is not finite"
    if reason:
        return Refusal(reference=reference, candidate=candidate, task=task, reason=f"not ranked: {reason}")
    return pairs


def _warnings(curves: Sequence[Curve], texts: Sequence[str]) -> list[SeriesWarning]:
    rates = {(curve.series, curve.task): matching_rate(curve) for curve in curves}
    warnings = []
    for (series, name), task in rates.items():
        for text in texts:
            perplexity = rates.get((series, text))
            if name not in texts and task and perplexity:
                verdict = _who_was_first(task, perplexity)
                warnings.append(SeriesWarning(task=task, perplexity=perplexity, verdict=verdict))
    return warnings


def _who_was_first(task: MatchingRate, perplexity: MatchingRate) -> FirstToFail:
    """Return which was first: the one shown not to match at a rate at which the other is shown to match."""
    if _fails_while_matching(task, perplexity):
        return "task first"
    if _fails_while_matching(perplexity, task):
        return "perplexity first"
    if task.at_least == task.last and perplexity.at_least == perplexity.last:
        return "neither"
    if task.fails_at == perplexity.fails_at and all(
        rate.fails_at is not None and rate.at_least == rate.at_most for rate in (task, perplexity)
    ):
        return "together"
    return "cannot tell"


def _fails_while_matching(one: MatchingRate, other: MatchingRate) -> bool:
    if one.fails_at is None:
        return False
    return one.fails_at >= other.at_least if falling(one.axis) else one.fails_at <= other.at_least


def _agreements(knowledge: Sequence[Pairs], words: Sequence[Pairs]) -> list[RankAgreement]:
    """Return how each signal orders the candidates, against the task.

    Items are resampled, candidates are not: the interval is about these candidates on other items of the
    kind.
    """
    generator = np.random.default_rng(SEED)
    scored = [pairs.sample.b for pairs in knowledge]
    flipped = [(pairs.sample.a != pairs.sample.b).astype(float) for pairs in knowledge]
    likelihoods = [pairs.sample.b for pairs in words]
    divergences = [
        pairs.candidate_items["kl"].to_numpy(float) for pairs in words if "kl" in pairs.candidate_items
    ]
    task = _means([*scored, *flipped], knowledge[0].sample, generator)
    text = _means([*likelihoods, *divergences], words[0].sample, generator)
    count = len(knowledge)
    signals: dict[Signal, Array] = {"perplexity": text[:, :count]}
    if len(divergences) == count:
        signals["kl"] = text[:, count:]
    if all(pairs.sample.is_binary for pairs in knowledge):
        signals["flips"] = task[:, count:]
    sign = 1 if knowledge[0].sample.higher_is_better else -1
    names = tuple(pairs.candidate.checkpoint for pairs in knowledge)
    agreements = []
    for signal, damage in signals.items():
        tau = _interval(kendall_tau(-damage, sign * task[:, :count]), count)
        if tau is not None:
            agreements.append(RankAgreement(signal=signal, task=knowledge[0].task, tau=tau, candidates=names))
    return agreements


def _interval(taus: Array, candidates: int) -> Estimate | None:
    """Return the first tau with the percentiles of the others; None if all candidates are alike."""
    if np.isnan(taus[0]):
        return None
    low, high = np.nanquantile(taus[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(
        value=float(taus[0]), low=float(low), high=float(high), n=candidates, method="bootstrap of items"
    )


def _means(columns: Sequence[Array], sample: PairedSample, generator: np.random.Generator) -> Array:
    """Return the means of each column over the items (row 0) and over resampled ones (the others)."""
    weights = np.ones(sample.n) if sample.weights is None else sample.weights
    units = np.stack([*(weights * column for column in columns), weights], axis=1)
    if sample.groups is not None:
        units = np.stack([np.bincount(sample.groups, weights=column) for column in units.T], axis=1)
    sums: Array = np.vstack([units.sum(axis=0), resampled_sums(units, RESAMPLES, generator)])
    means: Array = sums[:, :-1] / sums[:, -1:]
    return means


def kendall_tau(x: Array, y: Array) -> Array:
    """Return Kendall's tau-b of each row of x and y, both (r, m), ties corrected; NaN where one is constant."""
    first, second = np.triu_indices(x.shape[1], k=1)
    dx, dy = np.sign(x[:, first] - x[:, second]), np.sign(y[:, first] - y[:, second])
    with np.errstate(invalid="ignore"):
        taus: Array = (dx * dy).sum(axis=1) / np.sqrt((dx != 0).sum(axis=1) * (dy != 0).sum(axis=1))
    return taus


def _misordered(knowledge: Sequence[Pairs], words: Sequence[Pairs]) -> list[Misordered]:
    """Return the pairs of candidates of which the one with the lower perplexity scores lower on the task."""
    order = sorted(range(len(words)), key=lambda index: words[index].sample.moments.mean_b)
    tests, candidates = [], []
    for preferred, other in combinations(order, 2):
        task = _between(knowledge[other].sample, knowledge[preferred].sample)
        text = _between(words[preferred].sample, words[other].sample)
        tests.append(loss_test(task))
        gain = task.moments.mean_a - task.moments.mean_b
        if text.moments.mean_b > text.moments.mean_a and gain * (1 if task.higher_is_better else -1) > 0:
            candidates.append((len(tests) - 1, preferred, other, text))
    adjusted = adjust(tests, "holm")
    records = []
    for place, preferred, other, text in candidates:
        delta = _between(knowledge[preferred].sample, knowledge[other].sample).delta
        assert text.ratio is not None
        records.append(
            Misordered(
                task=knowledge[0].task,
                preferred=knowledge[preferred].candidate.checkpoint,
                better=knowledge[other].candidate.checkpoint,
                perplexity_ratio=text.ratio,
                delta=delta,
                p_holm=adjusted[place],
            )
        )
    return sorted(records, key=lambda record: record.p_holm)


def _between(one: PairedSample, two: PairedSample) -> PairedSample:
    """Return the pairs of two candidates, from their pairs with one reference."""
    return replace(one, a=one.b, b=two.b)
