import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kick.comparison.matching import match
from kick.comparison.paired import difference_test, loss_test, sign_flip_tail
from kick.comparison.pairing import window_blocks
from kick.comparison.sample import PairedSample, score_estimate

GRADED = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=2, max_size=30)


def graded(n: int = 80, seed: int = 0, loss: float = 0.05) -> PairedSample:
    generator = np.random.default_rng(seed)
    a = generator.beta(4, 2, n)
    return PairedSample(a, np.clip(a - loss + generator.normal(0, 0.1, n), 0, 1))


def binary(both: int, lost: int, gained: int, neither: int, **options: object) -> PairedSample:
    a = np.repeat([1.0, 1, 0, 0], [both, lost, gained, neither])
    b = np.repeat([1.0, 0, 1, 0], [both, lost, gained, neither])
    return PairedSample(a, b, **options)  # type: ignore[arg-type]


def perplexity(cost: float = 0.03, n: int = 40, seed: int = 0) -> PairedSample:
    generator = np.random.default_rng(seed)
    a = generator.normal(2.0, 0.2, n)
    b = a + cost + generator.normal(0, 0.02, n)
    return PairedSample(a, b, weights=np.full(n, 2047.0), perplexity=True, higher_is_better=False)


def test_graded_differences_of_many_items_have_nearly_the_paired_t_interval() -> None:
    sample = graded(n=4000)
    theirs = stats.ttest_rel(sample.b, sample.a).confidence_interval()
    width = theirs.high - theirs.low
    assert sample.delta.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert sample.delta.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_the_bounds_of_graded_ratios_are_those_at_which_the_test_turns() -> None:
    sample = graded()
    assert sample.ratio is not None
    assert sample.evidence_above(ratio=sample.ratio.low) == pytest.approx(0.025, rel=1e-3)
    assert sample.evidence_below(ratio=sample.ratio.high) == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_a_graded_loss_in_a_few_items_at_the_margin_passes_in_five_percent_at_most(share: float) -> None:
    # A t test passes in 11 to 15 % of these runs.
    generator = np.random.default_rng(0)
    passes = 0
    for _ in range(600):
        a = np.where(generator.random(100) < 0.7, 1.0, generator.random(100))
        b = np.where(generator.random(100) < share, a * (1 - 0.05 / share), a)
        passes += match(PairedSample(a, b), 0.05).outcome == "matching"  # type: ignore[union-attr]
    assert passes / 600 <= 0.05


def test_a_reference_that_scores_on_one_item_bounds_a_ratio_hardly() -> None:
    a = np.zeros(50)
    a[0] = 0.4
    sample = PairedSample(a, np.linspace(0, 0.3, 50))
    assert sample.ratio is not None
    assert sample.ratio.high > 30 * sample.ratio.value


def test_a_reference_of_zero_has_no_ratio_and_matches_nothing() -> None:
    sample = binary(0, 0, 3, 20)
    assert sample.ratio is None
    assert match(sample, 0.05) is None


def test_perplexity_ratios_have_the_paired_t_interval_and_room_for_a_window_that_was_not_seen() -> None:
    sample = perplexity(n=400)
    theirs = stats.ttest_rel(sample.b, sample.a).confidence_interval()
    assert sample.ratio is not None
    low, high = math.log(sample.ratio.low), math.log(sample.ratio.high)
    width = theirs.high - theirs.low
    assert theirs.low - 0.2 * width < low < theirs.low
    assert theirs.high < high < theirs.high + 0.2 * width
    assert sample.candidate_score.value == pytest.approx(math.exp(sample.b.mean()))


def windows(cost: np.ndarray, seed: int = 0) -> PairedSample:
    n = len(cost)
    a = np.random.default_rng(seed).normal(3, 0.2, n)
    return PairedSample(
        a, a + cost, window_blocks(n), np.full(n, 2047.0), perplexity=True, higher_is_better=False
    )


def test_four_windows_say_that_they_are_too_few() -> None:
    sample = windows(np.array([0.01, 0.011, 0.009, 0.01]))
    assert sample.ratio is not None
    assert "too few windows" in sample.ratio.method
    assert (sample.ratio.low, sample.ratio.high) == (0, math.inf)
    assert match(sample, 0.05).outcome == "cannot tell"  # type: ignore[union-attr]
    assert difference_test(sample) == (None, None)


def test_windows_that_do_not_differ_still_have_an_interval() -> None:
    sample = windows(np.zeros(60))
    assert sample.ratio is not None
    assert sample.ratio.low < 0.98
    assert sample.ratio.high > 1.02


@pytest.mark.parametrize("windows_scored", [20, 60, 166])
def test_a_skewed_rise_at_the_margin_passes_in_five_percent_at_most(windows_scored: int) -> None:
    # A t test over blocks passes in 10 to 14 % of these runs.
    generator = np.random.default_rng(0)
    passes = 0
    for seed in range(300):
        cost = math.log(1.05) * np.exp(generator.normal(-0.5, 1, windows_scored))
        passes += match(windows(cost, seed), 0.05).outcome == "matching"  # type: ignore[union-attr]
    assert passes / 300 <= 0.05


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 40), st.floats(-0.05, 0.05), st.floats(0, 2), st.integers(0, 10_000))
def test_difference_and_ratio_of_perplexities_agree_on_the_sign(
    n: int, cost: float, skew: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    sample = windows(cost + 0.02 * np.exp(skew * generator.normal(size=n)), seed)
    delta, ratio = sample.delta, sample.ratio
    assert ratio is not None
    assert (delta.low > 0, delta.high < 0) == (ratio.low > 1, ratio.high < 1)
    assert delta.low <= delta.value <= delta.high


def test_perplexity_differences_agree_with_the_bootstrap() -> None:
    sample = perplexity(n=200)
    bootstrap = sample.bootstrap("delta", 20_000, 1)
    assert bootstrap is not None
    assert (sample.delta.low, sample.delta.high) == pytest.approx((bootstrap.low, bootstrap.high), rel=0.05)


def test_a_model_without_probabilities_has_an_infinite_perplexity_that_is_a_loss() -> None:
    sample = perplexity()
    b = sample.b.copy()
    b[3] = np.inf
    broken = PairedSample(sample.a, b, weights=sample.weights, perplexity=True, higher_is_better=False)
    assert broken.candidate_score.value == math.inf
    assert broken.delta.value == math.inf
    assert loss_test(broken) == 0
    matching = match(broken, 0.05)
    assert matching is not None
    assert matching.outcome == "not matching"


def test_graded_items_of_which_none_changed_keep_an_interval() -> None:
    values = np.random.default_rng(0).random(100)
    sample = PairedSample(values, values.copy())
    assert sample.delta.value == 0
    assert sample.delta.low == pytest.approx(-0.026, abs=1e-3)
    assert sample.ratio is not None
    assert sample.ratio.low < 1 < sample.ratio.high


def test_a_single_graded_item_allows_any_difference() -> None:
    sample = PairedSample(np.array([0.4]), np.array([0.9]))
    assert (sample.delta.low, sample.delta.high) == (-1, 1)
    assert match(sample, 0.05).outcome == "cannot tell"  # type: ignore[union-attr]


def test_a_single_window_allows_any_perplexity() -> None:
    sample = perplexity(n=1)
    assert sample.ratio is not None
    assert (sample.ratio.low, sample.ratio.high) == (0, math.inf)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_and_all_wrong_still_have_a_width(right: float) -> None:
    estimate = score_estimate(np.full(20, right))
    assert estimate.high - estimate.low == pytest.approx(0.161, abs=1e-3)  # Wilson, 0 of 20


def test_groups_widen_the_interval_of_items_that_depend_on_each_other() -> None:
    generator = np.random.default_rng(0)
    codes = np.repeat(np.arange(40), 10)
    a = np.ones(400)
    b = np.repeat((generator.random(40) < 0.8).astype(float), 10)
    grouped, alone = PairedSample(a, b, groups=codes), PairedSample(a, b)
    assert grouped.delta.high - grouped.delta.low > 2.5 * (alone.delta.high - alone.delta.low)
    assert "40 groups" in grouped.delta.method


def test_the_permutation_test_of_few_items_is_the_count_over_all_swaps() -> None:
    sample = graded(n=9, seed=3)
    changes = sample.b - sample.a
    sums = [abs(np.dot(signs, changes)) for signs in itertools.product([-1, 1], repeat=9)]
    expected = np.mean(np.array(sums) >= abs(changes.sum()) - 1e-12)
    p_value, test = difference_test(sample)
    assert test == "permutation"
    assert p_value == pytest.approx(expected)


def test_the_permutation_test_by_random_swaps_agrees_with_scipys() -> None:
    sample = graded(n=60, loss=0.02)
    theirs = stats.permutation_test(
        (sample.b - sample.a,),
        np.mean,
        permutation_type="samples",
        n_resamples=9_999,
        rng=np.random.default_rng(1),
    )
    assert difference_test(sample)[0] == pytest.approx(theirs.pvalue, abs=0.015)


def test_the_permutation_test_of_many_items_agrees_with_the_t_test() -> None:
    sample = graded(n=9_000, loss=0.002)
    p_value, _ = difference_test(sample)
    assert p_value == pytest.approx(stats.ttest_rel(sample.b, sample.a).pvalue, abs=0.02)


def test_groups_are_swapped_whole() -> None:
    codes = np.repeat(np.arange(4), 25)
    sample = PairedSample(np.ones(100), np.zeros(100), groups=codes)
    p_value, test = difference_test(sample)
    assert test == "permutation by group"
    assert p_value == pytest.approx(2 / 2**4)


def test_changes_in_one_direction_have_p_values_below_what_swaps_can_give() -> None:
    generator = np.random.default_rng(0)
    codes = np.repeat(np.arange(8), 25)
    a = generator.uniform(0.5, 1, 200)
    p_value, _ = difference_test(PairedSample(a, a * generator.uniform(0, 0.2, 200), groups=codes))
    assert p_value is not None
    assert p_value < 1e-3 < 2 / 2**8
    assert difference_test(windows(np.random.default_rng(1).normal(4, 1, 60)))[0] < 1e-4  # type: ignore[operator]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(17, 18))
def test_the_saddlepoint_tail_is_that_of_all_sign_patterns_and_not_smaller(seed: int, m: int) -> None:
    changes = np.random.default_rng(seed).normal(0.6, 1, m)
    positive = (np.arange(2**m)[:, None] >> np.arange(m)) & 1
    sums, seen, step = (
        np.abs(2 * (positive @ changes) - changes.sum()),
        abs(changes.sum()),
        np.abs(changes).min(),
    )
    exact, half_a_step_nearer = np.mean(sums >= seen - 1e-12), np.mean(sums >= seen - step)
    if 1e-3 < exact < 0.5:
        assert 0.9 * exact < sign_flip_tail(changes) < 1.2 * half_a_step_nearer


def test_mcnemars_exact_test_is_the_binomial_of_the_items_that_flipped() -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    p_value, test = difference_test(binary(100, 25, 10, 65))
    assert test == "McNemar exact"
    assert p_value == pytest.approx(mcnemar([[100, 25], [10, 65]], exact=True).pvalue)


def test_nothing_flipped_is_no_evidence() -> None:
    assert difference_test(binary(10, 0, 0, 5)) == (1.0, "McNemar exact")
    assert loss_test(binary(10, 0, 0, 5)) == 1.0
    values = np.linspace(0, 1, 30)
    assert difference_test(PairedSample(values, values.copy())) == (1.0, "permutation")


def test_a_loss_is_tested_on_one_side() -> None:
    assert loss_test(binary(50, 12, 2, 36)) == pytest.approx(
        stats.binomtest(12, 14, alternative="greater").pvalue
    )
    assert loss_test(binary(50, 2, 12, 36)) > 0.99


def test_lower_is_better_turns_loss_and_gain_round() -> None:
    worse = binary(50, 2, 12, 36, higher_is_better=False)
    assert loss_test(worse) < 0.01
    matching = match(worse, 0.05)
    assert matching is not None
    assert matching.outcome == "not matching"


def test_many_items_show_a_match_and_few_cannot_tell() -> None:
    many, few = match(binary(6000, 100, 100, 3800), 0.05), match(binary(30, 2, 2, 16), 0.05)
    assert many is not None
    assert few is not None
    assert (many.outcome, few.outcome) == ("matching", "cannot tell")
    lost = match(binary(400, 200, 10, 390), 0.05)
    assert lost is not None
    assert lost.outcome == "not matching"


def test_a_candidate_whose_loss_equals_the_margin_matches_in_one_of_twenty_runs() -> None:
    generator = np.random.default_rng(0)
    shares = [0.57, 0.05, 0.02, 0.36]  # reference 0.62; candidate 0.59 = 0.95 * 0.6211
    theta = (shares[0] + shares[2]) / (shares[0] + shares[1])
    outcomes = [
        match(binary(*generator.multinomial(1000, shares)), 1 - theta).outcome == "matching"  # type: ignore[union-attr]
        for _ in range(600)
    ]
    assert 0.02 < np.mean(outcomes) < 0.08


@settings(max_examples=60, deadline=None)
@given(GRADED)
def test_intervals_hold_their_estimate(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    sample = PairedSample(a, b)
    assert sample.delta.low <= sample.delta.value <= sample.delta.high
    if sample.ratio is not None:
        assert sample.ratio.low <= sample.ratio.value + 1e-9
        assert sample.ratio.value <= sample.ratio.high + 1e-9
