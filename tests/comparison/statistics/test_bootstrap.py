import numpy as np
import pytest
from scipy import stats

from kick.comparison.statistics.bootstrap import MAX_UNITS, bca_interval, crossed_interval, deal


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def units(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)], axis=1)


def test_the_bca_interval_agrees_with_scipys() -> None:
    values = np.random.default_rng(1).exponential(size=150)
    value, low, high = bca_interval(units(values), mean, resamples=40_000, seed=2)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_skewed_values_get_an_interval_that_leans_to_the_long_tail() -> None:
    values = np.random.default_rng(4).exponential(size=60)
    value, low, high = bca_interval(units(values), mean, resamples=10_000, seed=5)
    assert high - value > value - low


def test_ratios_are_recomputed_in_every_resample() -> None:
    generator = np.random.default_rng(6)
    a, b = generator.uniform(1, 2, 300), generator.uniform(1, 2, 300)
    _, low, high = bca_interval(
        np.stack([a, b], axis=1), lambda sums: sums[..., 1] / sums[..., 0], resamples=20_000, seed=7
    )
    theirs = stats.bootstrap(
        (a, b), lambda x, y, axis: y.mean(axis) / x.mean(axis), paired=True, n_resamples=20_000, rng=generator
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_many_items_dealt_into_bins_keep_mean_and_width() -> None:
    values = (np.random.default_rng(8).random(6 * MAX_UNITS) < 0.3).astype(float)
    value, low, high = bca_interval(units(values), mean, resamples=2_000, seed=9)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert value == values.mean()
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_dealing_loses_nothing_and_leaves_no_bin_empty() -> None:
    rows = np.ones((25_003, 1))
    dealt = deal(rows, 1000, np.random.default_rng(0))
    assert dealt.sum() == 25_003
    assert set(dealt[:, 0]) == {25.0, 26.0}


def test_a_single_unit_has_no_interval() -> None:
    assert bca_interval(units(np.array([0.5])), mean, resamples=100, seed=0) == (0.5, -np.inf, np.inf)


def test_values_all_alike_have_an_interval_without_width() -> None:
    assert bca_interval(units(np.full(30, 0.5)), mean, resamples=100, seed=0) == (0.5, 0.5, 0.5)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = units(np.random.default_rng(0).random(40))
    assert bca_interval(values, mean, resamples=500, seed=1) == bca_interval(
        values, mean, resamples=500, seed=1
    )


def test_replicates_that_differ_widen_the_interval_beyond_that_of_items() -> None:
    generator = np.random.default_rng(10)
    items = generator.normal(0, 1, (2_000, 1))
    alike = items + np.zeros((1, 4))
    differing = items + np.array([-0.2, -0.1, 0.1, 0.2])
    narrow, wide = (crossed_interval(table, resamples=4_000, seed=11) for table in (alike, differing))
    assert narrow[2] - narrow[1] == pytest.approx(2 * 1.96 / np.sqrt(2_000), rel=0.1)
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])


def test_intervals_over_replicates_cover_their_mean() -> None:
    generator = np.random.default_rng(12)
    covered = 0
    for trial in range(200):
        table = generator.normal(0, 0.05, (1, 5)) + generator.normal(0, 0.5, (400, 1))
        _, low, high = crossed_interval(table + generator.normal(0, 0.3, (400, 5)), resamples=500, seed=trial)
        covered += low <= 0 <= high
    assert covered / 200 >= 0.9  # five replicates: a little below 0.95 is the price of a percentile interval
