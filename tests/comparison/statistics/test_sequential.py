import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kick.comparison.statistics.sequential import (
    STAKES,
    Bets,
    anytime_interval,
    bets_beyond,
    bets_within,
    is_shown,
    log_evidence,
    log_evidence_path,
    log_evidence_skewed,
    log_evidence_t,
)

ALPHA = 0.05
SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40
)
GRADED = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


def draw(
    generator: np.random.Generator, shape: tuple[int, ...], right: float, lost: float, gained: float
) -> tuple[np.ndarray, np.ndarray]:
    u = generator.random(shape)
    a = u < right
    b = (u < right - lost) | (a < (u < right + gained))
    return a.astype(float), b.astype(float)


def ever(paths: np.ndarray, looks: slice = slice(None)) -> float:
    return float((paths[:, looks] >= math.log(1 / ALPHA)).any(axis=1).mean())


@given(GRADED, st.sampled_from([0.01, 0.05, 0.3]))
def test_the_evidence_is_the_mean_capital_of_the_stakes(
    pairs: list[tuple[float, float]], margin: float
) -> None:
    a, b = np.array(pairs).T
    capital = [
        math.prod(1 + stake * (y - (1 - margin) * x) / (1 - margin) for x, y in pairs) for stake in STAKES
    ]
    assert math.exp(log_evidence(bets_within(a, b, ratio=margin))) == pytest.approx(np.mean(capital))


@given(SCORES, st.integers(0, 1000))
def test_neither_order_nor_batches_change_the_evidence(pairs: list[tuple[float, float]], seed: int) -> None:
    a, b = np.array(pairs).T
    order = np.random.default_rng(seed).permutation(len(a))
    one = log_evidence(bets_within(a, b, ratio=0.05))
    assert log_evidence(bets_within(a[order], b[order], ratio=0.05)) == pytest.approx(float(one))
    assert log_evidence_path(bets_within(a, b, ratio=0.05))[-1] == pytest.approx(float(one))


@given(GRADED)
def test_capital_grows_with_the_margin_and_never_falls_below_nothing(
    pairs: list[tuple[float, float]],
) -> None:
    a, b = np.array(pairs).T
    within = [float(log_evidence(bets_within(a, b, ratio=m))) for m in (0.01, 0.05, 0.2, 0.5)]
    beyond = [float(log_evidence(bets_beyond(a, b, ratio=t))) for t in (0.01, 0.05, 0.2, 0.5)]
    assert all(math.isfinite(value) for value in within + beyond)
    assert np.all(np.diff(within) >= -1e-9)
    assert np.all(np.diff(beyond) <= 1e-9)


@pytest.mark.parametrize("flips", [0.03, 0.08, 0.25])
def test_whoever_looks_after_every_item_is_wrong_in_five_percent_at_most(flips: float) -> None:
    # The candidate loses 5 % of what the reference knows: exactly the margin.
    generator = np.random.default_rng(0)
    gained = (flips - 0.03) / 2
    a, b = draw(generator, (2000, 1500), 0.6, gained + 0.03, gained)
    assert ever(log_evidence_path(bets_within(a, b, ratio=0.05))) <= ALPHA
    assert ever(log_evidence_path(bets_beyond(a, b, ratio=0.05))) <= ALPHA
    drop = log_evidence_path(bets_within(a, b, drop=0.03))
    assert ever(drop) <= ALPHA


def test_graded_losses_in_few_items_are_not_passed_at_the_margin() -> None:
    generator = np.random.default_rng(0)
    a = np.where(generator.random((2000, 1000)) < 0.6, 1.0, generator.random((2000, 1000)))
    b = np.where(generator.random(a.shape) < 0.05, 0.0, a)
    assert ever(log_evidence_path(bets_within(a, b, ratio=0.05))) <= ALPHA


def test_lower_is_better_turns_the_bets_round() -> None:
    a, b = np.full(400, 0.5), np.full(400, 0.5)
    assert is_shown(float(log_evidence(bets_within(a, b, ratio=0.1, higher_is_better=False))), ALPHA)
    assert is_shown(float(log_evidence(bets_beyond(a, b + 0.3, ratio=0.1, higher_is_better=False))), ALPHA)
    assert not is_shown(
        float(log_evidence(bets_within(a, b + 0.3, ratio=0.1, higher_is_better=False))), ALPHA
    )


def finite(total: int, right: int, lost: int, gained: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """All items of a benchmark in random order, once per run."""
    a = np.repeat([1.0, 1, 0, 0], [right - lost, lost, gained, total - right - gained])
    b = np.repeat([1.0, 0, 1, 0], [right - lost, lost, gained, total - right - gained])
    orders = np.array([np.random.default_rng(seed).permutation(total) for seed in range(runs)])
    return a[orders], b[orders]


def test_a_verdict_about_the_full_run_is_wrong_in_five_percent_at_most() -> None:
    # 5 % of 600 are lost in the full run: exactly the margin.
    a, b = finite(1000, 600, 60, 30, 2000)
    before_the_end = slice(0, -1)
    assert ever(log_evidence_path(bets_within(a, b, ratio=0.05), 1000), before_the_end) <= ALPHA
    assert ever(log_evidence_path(bets_beyond(a, b, ratio=0.05), 1000), before_the_end) <= ALPHA


def test_the_full_run_is_certain_and_often_before_its_last_item() -> None:
    a, b = finite(400, 300, 8, 8, 50)
    paths = log_evidence_path(bets_within(a, b, ratio=0.05), 400)
    assert np.isinf(paths[:, -1]).all()
    assert np.isinf(paths[:, -10]).all()
    lost, kept = finite(400, 300, 40, 8, 1)
    assert log_evidence(bets_within(lost[0], kept[0], ratio=0.05), 400) == -math.inf
    assert log_evidence(bets_beyond(lost[0], kept[0], ratio=0.05), 400) == math.inf


def test_a_benchmark_that_ends_is_decided_with_fewer_items() -> None:
    a, b = finite(1000, 650, 10, 10, 200)
    bets = bets_within(a, b, ratio=0.05)
    needed = [
        np.median((path >= math.log(1 / ALPHA)).argmax(axis=1))
        for path in (log_evidence_path(bets), log_evidence_path(bets, 1000))
    ]
    assert needed[1] < needed[0] < 300


def test_more_items_than_the_benchmark_has_are_refused() -> None:
    with pytest.raises(ValueError, match="3 units of 2"):
        log_evidence_path(Bets(np.zeros(3), 1.0), 2)


@given(SCORES, st.integers(0, 60))
def test_the_finite_path_is_the_product_of_its_bets(pairs: list[tuple[float, float]], more: int) -> None:
    a, b = np.array(pairs).T
    total = len(a) + more + 1
    path = log_evidence_path(bets_within(a, b, ratio=0.1), total)
    capital, won = np.ones(len(STAKES)), 0.0
    for index, (x, y) in enumerate(pairs):
        value = y - 0.9 * x
        mean = -won / (total - index)
        if 0.9 + mean > 1e-9:
            capital *= 1 + np.array(STAKES) * (value - mean) / (0.9 + mean)
        won += value
        if math.isinf(path[index]):
            assert won > 0.9 * (total - index - 1)
            break
        assert math.exp(path[index]) == pytest.approx(capital.mean(), rel=1e-6)


def test_passages_are_bet_on_whole() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    wrong = 0
    for _ in range(400):
        # Whole passages are lost: one of twenty, exactly the margin.
        b = np.repeat((generator.random(40) >= 0.05).astype(float), 10)
        bets = bets_within(np.ones(400), b, ratio=0.05)
        wrong += is_shown(float(log_evidence(bets.by_group(groups))), ALPHA)
    assert wrong / 400 <= ALPHA
    assert bets.by_group(None) is bets
    assert len(bets.by_group(groups).values) == 40
    assert np.abs(bets.by_group(groups, largest=20).values).max() <= 0.5


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_the_anytime_interval_covers_the_loss_at_every_look(loss: float) -> None:
    generator = np.random.default_rng(1)
    missed = 0
    for _ in range(60):
        a, b = draw(generator, (600,), 0.6, 0.05 + 0.6 * loss, 0.05)
        ends = [anytime_interval(a[:n], b[:n]) for n in (50, 200, 600)]
        missed += any(not low <= loss <= high for low, high in ends)
    assert missed / 60 <= ALPHA


def test_the_anytime_interval_of_everything_scored_is_the_loss_itself() -> None:
    a, b = finite(500, 300, 30, 12, 1)
    low, high = anytime_interval(a[0], b[0], total=500)
    assert low == pytest.approx(0.06, abs=1e-4)
    assert high == pytest.approx(0.06, abs=1e-4)
    half_low, half_high = anytime_interval(a[0, :250], b[0, :250], total=500)
    assert half_low < 0.06 < half_high


@settings(max_examples=30, deadline=None)
@given(GRADED)
def test_the_anytime_interval_holds_its_loss(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    low, high = anytime_interval(a, b)
    assert low <= high
    if a.sum() > 0:
        assert low <= max(min(1 - b.sum() / a.sum(), 1.0), -3.0) + 1e-6


def test_the_t_mixture_is_the_bayes_factor_with_a_normal_effect_size() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 12)
    effects, scales = np.linspace(-8, 8, 1601), np.exp(np.linspace(-4, 4, 1201))
    # Likelihoods over effect sizes (standard normal) and scales (uniform on the log scale), by the trapezoid rule.
    squares, total = float(values @ values), float(values.sum())
    exponent = (
        -0.5 * squares / scales[None, :] ** 2
        + effects[:, None] * total / scales[None, :]
        - 0.5 * len(values) * effects[:, None] ** 2
    )
    marginal = np.trapezoid(np.exp(exponent) * scales[None, :] ** -len(values), np.log(scales), axis=1)
    mixture = np.trapezoid(marginal * np.exp(-0.5 * effects**2) / math.sqrt(2 * math.pi), effects)
    factor = mixture / marginal[effects.size // 2]
    assert log_evidence_t(values)[-1] == pytest.approx(math.log(factor), rel=1e-3)


def test_blocks_of_normal_differences_are_passed_in_five_percent_at_most_at_every_look() -> None:
    generator = np.random.default_rng(0)
    paths = log_evidence_t(generator.normal(size=(4000, 60)))
    assert ever(paths) <= ALPHA
    assert ever(log_evidence_t(generator.normal(0.8, 1, size=(500, 60)))) > 0.95


def test_skewed_blocks_are_passed_in_five_percent_at_most_at_every_look_from_the_eighth() -> None:
    generator = np.random.default_rng(0)
    rises = np.exp(generator.normal(-0.5, 1, (3000, 40, 8))).mean(axis=2)
    assert ever(log_evidence_t(1 - rises), slice(7, None)) > ALPHA
    assert ever(log_evidence_skewed(1 - rises), slice(7, None)) <= ALPHA
    assert ever(log_evidence_skewed(1 - 0.5 * rises)) > 0.95


def test_evidence_of_several_tests_has_a_higher_bar() -> None:
    evidence = math.log(30)
    assert is_shown(evidence, ALPHA)
    assert not is_shown(evidence, ALPHA, tests=2)
    assert all(is_shown(math.log(tests / ALPHA) + 1e-9, ALPHA, tests) for tests in (1, 5, 20))
