from pathlib import Path

import numpy as np
import pytest

from kick.comparison import load_pairs
from kick.comparison.families import TaskMean, TaskMoments, compare_family
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.combined import Spread
from kick.errors import InputError
from tests.results import make_results

TASKS = ["kick_freebaseqa", "kick_hotpotqa", "kick_mmlu", "perplexity_wikitext2"]


def test_the_mean_of_tasks_adds_their_variances(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=200, tasks=TASKS, damage={"dense": 0, "rtn-4": 0.1})
    parts = [load_pairs(store, "dense", "rtn-4", task) for task in TASKS[:3]]
    family = compare_family("recall", parts)
    deltas = [part.sample.moments.mean_b - part.sample.moments.mean_a for part in parts]
    assert family.delta.value == pytest.approx(np.mean(deltas))
    assert family.n == 600
    variances = [part.sample.moments.variance() for part in parts]
    assert TaskMean(parts).moments.variance() == pytest.approx(sum(variances) / 9)
    half = (family.delta.high - family.delta.low) / 2
    assert 1.96 * np.sqrt(sum(variances)) / 3 < half < 1.2 * 1.96 * np.sqrt(sum(variances)) / 3
    assert family.p_value < 0.001
    assert family.delta.high < 0


def test_a_family_of_one_task_agrees_with_the_task(tmp_path: Path) -> None:
    store = make_results(
        tmp_path, items=1000, tasks=["kick_cnn_dailymail"], damage={"dense": 0, "rtn-4": 0.1}
    )
    pairs = load_pairs(store, "dense", "rtn-4", "kick_cnn_dailymail")
    family = compare_family("one", [pairs])
    width = pairs.sample.delta.high - pairs.sample.delta.low
    assert family.delta.low == pytest.approx(pairs.sample.delta.low, abs=0.03 * width)
    assert family.delta.high == pytest.approx(pairs.sample.delta.high, abs=0.03 * width)


def same(n: int, right: int) -> TaskMoments:
    scores = np.repeat([1.0, 0.0], [right, n - right])
    sample = PairedSample(scores, scores.copy())
    return TaskMoments(
        "task", "dense", "small", True, sample.moments, Spread.of(sample.a, sample.b, n, 1.0, strata=False)
    )


def test_tasks_on_which_nothing_flipped_are_worth_their_items_and_no_more() -> None:
    family = compare_family("same", [same(100, 60)] * 3)
    # All of the unseen loss may be in one task: Clopper and Pearson's bound for 0 of 100, a third of it.
    assert family.delta.high == pytest.approx((1 - 0.025 ** (1 / 100)) / 3, rel=0.03)
    few = compare_family("few", [same(10, 10)])
    assert few.delta.low < -0.05


def test_the_means_of_uneven_tasks_are_covered_where_the_loss_is_in_the_smallest() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        flips = generator.random(50) < 0.04
        scores = np.ones(50)
        sample = PairedSample(scores, np.where(flips, 0.0, 1.0))
        small = TaskMoments(
            "small",
            "dense",
            "small",
            True,
            sample.moments,
            Spread.of(sample.a, sample.b, 50, 1.0, strata=False),
        )
        low, high = TaskMean([small, same(300, 200), same(2000, 1500)]).difference_interval()
        covered += low <= -0.04 / 3 <= high
    assert covered / 300 > 0.93


def test_perplexity_is_not_averaged_with_scores(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=20, tasks=TASKS, damage={"dense": 0, "rtn-4": 0.1})
    parts = [load_pairs(store, "dense", "rtn-4", task) for task in TASKS]
    with pytest.raises(InputError, match="lower is better on perplexity_wikitext2"):
        compare_family("all", parts)
