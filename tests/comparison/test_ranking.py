"""Ranks claim no more than the items show, and agree with the paired tests of single comparisons."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kick.comparison.ranking import Standing, standings
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array, Codes, paired_moments


def sample(a: Array, b: Array, groups: Codes | None = None) -> PairedSample:
    return PairedSample(a.astype(float), b.astype(float), groups=groups)


def draws(seed: int, candidates: int, tasks: int, items: int) -> list[list[PairedSample]]:
    """Right-or-wrong items that all candidates answer equally well, with a difficulty that they share."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(tasks):
        ease = rng.normal(0.3, 1, items)
        reference = ease + 0.3 * rng.normal(size=items) > 0
        reference[0] = True
        made.append(
            [sample(reference, ease - 0.3 + 0.6 * rng.normal(size=items) > 0) for _ in range(candidates)]
        )
    return made


def rank(tasks: Sequence[Sequence[PairedSample]], weights: Sequence[float]) -> list[Standing]:
    """The standings of candidates that are called 0, 1, ..."""
    names = [str(index) for index in range(len(tasks[0]))]
    return list(standings(names, tasks, np.tile(np.array(weights)[:, None], len(names))).values())


def equal(tasks: int) -> list[float]:
    return [1 / tasks] * tasks


@pytest.mark.parametrize("right", [9, 20, 40])
@pytest.mark.parametrize("lost", range(1, 10))
def test_two_candidates_on_right_or_wrong_items_are_told_apart_where_mcnemar_tells_them_apart(
    right: int, lost: int
) -> None:
    reference = np.arange(40) < right
    worse = reference & (np.arange(40) >= lost)
    first, second = rank([[sample(reference, reference), sample(reference, worse)]], [1.0])
    told = bool(stats.binomtest(0, lost).pvalue <= 0.05)
    assert (first.worst == 1) is told
    assert (second.best == 2) is told


def test_graded_items_are_told_apart_by_the_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(60):
        reference = rng.uniform(0.2, 0.8, 30)
        groups = np.repeat(np.arange(15), 2)
        one = reference - rng.uniform(0, 0.1, 30)
        two = one - rng.normal(0.01, 0.03, 30)
        m = paired_moments(one, two, groups=groups)
        p_value = 2 * min(m.evidence_above(1.0, 0.0), 1 - m.evidence_above(1.0, 0.0))
        ranked = rank([[sample(reference, one, groups), sample(reference, two, groups)]], [1.0])
        assert (ranked[0].tied == ()) is (p_value <= 0.05)
        seen.add(p_value <= 0.05)
    assert seen == {True, False}


def test_equal_candidates_are_seldom_told_apart_however_many_pairs_there_are() -> None:
    runs = [rank(draws(seed, 8, 3, 40), equal(3)) for seed in range(300)]
    wrong = np.mean([any(one.best > 1 for one in ranked) for ranked in runs])
    assert wrong <= 0.05


def test_the_interval_of_what_is_kept_holds_the_truth() -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(400):
        reference, kept = rng.random((2, 100)) < [[0.6], [0.8]]  # the candidate keeps 80 % of what is right
        ranked = rank([[sample(reference, reference & kept)] for _ in range(1)], [1.0])
        inside += ranked[0].kept.low <= 0.8 <= ranked[0].kept.high
    assert 0.93 <= inside / 400 <= 0.99


def test_a_candidate_that_gets_nothing_right_has_an_interval_and_not_a_point() -> None:
    reference = np.arange(30) < 12
    (broken,) = rank([[sample(reference, np.zeros(30))]], [1.0])
    assert broken.kept.value == broken.kept.low == 0
    assert 0.05 < broken.kept.high < 0.4


def test_candidates_of_two_references_are_compared_by_what_they_keep() -> None:
    rng = np.random.default_rng(3)
    items = 400
    strong, weak = rng.random(items) < 0.8, rng.random(items) < 0.4
    half = rng.random(items) < 0.5
    ranked = rank([[sample(strong, strong & half), sample(weak, weak & half), sample(weak, weak)]], [1.0])
    assert ranked[0].tied == ("1",)  # half is kept, of whatever there was
    assert [one.best for one in ranked] == [2, 2, 1]


def test_the_mean_over_tasks_weighs_them_as_asked() -> None:
    reference = np.ones(20)
    tasks = [[sample(reference, np.arange(20) < kept)] for kept in (20, 10, 0)]
    (ranked,) = rank(tasks, [0.5, 0.25, 0.25])
    assert ranked.kept.value == pytest.approx(0.5 + 0.125)
    assert ranked.kept.n == 60


def test_a_task_that_counts_for_nothing_changes_nothing_and_may_have_a_reference_of_0() -> None:
    reference, nothing = np.arange(40) < 30, np.zeros(40)
    one, two = sample(reference, reference), sample(reference, np.arange(40) < 20)
    weights = np.array([[1.0, 1.0], [0.0, 0.0]])
    ranked = standings(["one", "two"], [[one, two], [sample(nothing, reference)] * 2], weights)
    alone = standings(["one", "two"], [[one, two]], weights[:1])
    for name in alone:
        assert ranked[name].kept.low == pytest.approx(alone[name].kept.low)
        assert ranked[name].tied == alone[name].tied == ()


def test_one_group_shows_nothing() -> None:
    reference = np.ones(10)
    groups = np.zeros(10, dtype=np.int64)
    ranked = rank([[sample(reference, reference, groups), sample(reference, np.zeros(10), groups)]], [1.0])
    assert [(one.best, one.worst, one.tied) for one in ranked] == [(1, 2, ("1",)), (1, 2, ("0",))]
    assert ranked[1].kept.high == np.inf


def test_scores_that_differ_by_the_same_amount_everywhere_are_told_apart() -> None:
    reference = np.linspace(0.3, 0.9, 30)
    ranked = rank([[sample(reference, reference), sample(reference, reference - 0.25)]], [1.0])
    assert [one.best for one in ranked] == [1, 2]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 3))
def test_ranks_are_consistent(seed: int, candidates: int, tasks: int) -> None:
    ranked = rank(draws(seed, candidates, tasks, 25), equal(tasks))
    ordered = sorted(ranked, key=lambda one: -one.kept.value)
    for place, one in enumerate(ordered, start=1):
        assert 1 <= one.best <= place <= one.worst <= one.of == candidates
        assert one.kept.low <= one.kept.value <= one.kept.high
    for index, one in enumerate(ranked):
        assert all(str(index) in ranked[int(other)].tied for other in one.tied)
        assert len(one.tied) == one.worst - one.best
