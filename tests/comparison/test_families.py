from pathlib import Path

import numpy as np
import pytest

from kick.comparison import load_pairs
from kick.comparison.families import TaskMean, compare_family
from kick.errors import InputError
from tests.results import make_results

TASKS = ["kick_freebaseqa", "kick_hotpotqa", "kick_mmlu", "perplexity_wikitext2"]


def test_the_mean_of_tasks_adds_their_variances(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=200, tasks=TASKS, damage={"dense": 0, "rtn-4": 0.1})
    parts = [load_pairs(store, "dense", "rtn-4", task) for task in TASKS[:3]]
    family = compare_family("recall", parts, margin=0.05)
    deltas = [part.sample.moments.mean_b - part.sample.moments.mean_a for part in parts]
    assert family.delta.value == pytest.approx(np.mean(deltas))
    assert family.n == 600
    variances = [part.sample.moments.variance() for part in parts]
    assert TaskMean(parts).moments.variance() == pytest.approx(sum(variances) / 9)
    half = (family.delta.high - family.delta.low) / 2
    assert half == pytest.approx(1.96 * np.sqrt(sum(variances)) / 3, rel=0.05)
    assert family.p_value < 0.001
    assert family.matching is not None
    assert family.matching.outcome == "not matching"


def test_a_family_of_one_task_has_its_paired_t_interval(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=100, tasks=["kick_squad"], damage={"dense": 0, "rtn-4": 0.1})
    pairs = load_pairs(store, "dense", "rtn-4", "kick_squad")
    family = compare_family("one", [pairs], margin=0.05)
    assert (family.delta.low, family.delta.high) == pytest.approx(
        (pairs.sample.delta.low, pairs.sample.delta.high)
    )


def test_perplexity_is_not_averaged_with_scores(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=20, tasks=TASKS, damage={"dense": 0, "rtn-4": 0.1})
    parts = [load_pairs(store, "dense", "rtn-4", task) for task in TASKS]
    with pytest.raises(InputError, match="lower is better on perplexity_wikitext2"):
        compare_family("all", parts, margin=0.05)
