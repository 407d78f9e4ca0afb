import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from kick.comparison.statistics.binary import (
    PairedTable,
    difference_interval,
    difference_score,
    ratio_interval,
    ratio_score,
    wilson,
)

Z = float(stats.norm.ppf(0.975))
# Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009): worked example
# of Fagerland, Lydersen and Laake, Statistics in Medicine 33, 2014.
BENTUR = PairedTable(both=1, lost=7, gained=1, neither=12)

counts = st.integers(0, 60)
tables = st.builds(PairedTable, both=counts, lost=counts, gained=counts, neither=counts)


def test_intervals_of_the_published_example() -> None:
    assert difference_interval(BENTUR, Z) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert ratio_interval(BENTUR, Z) == pytest.approx((0.065, 0.907), abs=5e-4)


@pytest.mark.parametrize(("right", "n"), [(0, 7), (3, 7), (7, 7), (655, 1001), (1, 1)])
def test_wilson_agrees_with_scipy_and_statsmodels(right: int, n: int) -> None:
    ours = wilson(right / n, n, Z)
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)


def test_the_difference_score_at_zero_is_mcnemars() -> None:
    table = PairedTable(59, 6, 16, 80)
    theirs = mcnemar([[59, 6], [16, 80]], exact=False, correction=False)
    assert difference_score(table, 0.0) ** 2 == pytest.approx(theirs.statistic)


@pytest.mark.parametrize("table", [BENTUR, PairedTable(40, 12, 5, 43), PairedTable(500, 60, 30, 410)])
@pytest.mark.parametrize("delta", [-0.2, -0.03, 0.0, 0.1])
def test_the_difference_score_standardises_by_the_restricted_likelihood(
    table: PairedTable, delta: float
) -> None:
    same = table.both + table.neither

    def loss(lost: float) -> float:
        gained, rest = lost + delta, 1 - 2 * lost - delta
        return -(table.lost * math.log(lost) + table.gained * math.log(gained) + same * math.log(rest))

    low, high = max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9
    lost = optimize.minimize_scalar(loss, bounds=(low, high), options={"xatol": 1e-12}).x
    variance = 2 * lost + delta - delta**2
    expected = ((table.gained - table.lost) / table.n - delta) / math.sqrt(variance / table.n)
    assert difference_score(table, delta) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("table", [BENTUR, PairedTable(40, 12, 5, 43), PairedTable(500, 60, 30, 410)])
@pytest.mark.parametrize("theta", [0.5, 0.95, 1.0, 1.3])
def test_the_ratio_score_standardises_by_the_restricted_likelihood(table: PairedTable, theta: float) -> None:
    def shares(free: np.ndarray) -> tuple[float, float, float, float]:
        # both and lost are free in (0, 1) after a logistic map; gained follows from the hypothesis.
        both, lost = 1 / (1 + np.exp(-free))
        gained = theta * (both + lost) - both
        return both, lost, gained, 1 - both - lost - gained

    def loss(free: np.ndarray) -> float:
        each = shares(free)
        if min(each) <= 0:
            return 1e9
        return -float(np.dot([table.both, table.lost, table.gained, table.neither], np.log(each)))

    starts = [np.log([0.3, 0.2]), np.log([0.1, 0.1]), np.log([0.5, 0.1]), np.log([0.05, 0.3])]
    best = min(
        (
            optimize.minimize(
                loss, x0, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 9000}
            )
            for x0 in starts
        ),
        key=lambda fit: fit.fun,
    )
    both, lost, gained, _ = shares(best.x)
    variance = both * (1 - theta) ** 2 + lost * theta**2 + gained
    distance = (table.both + table.gained - theta * (table.both + table.lost)) / table.n
    assert ratio_score(table, theta) == pytest.approx(distance / math.sqrt(variance / table.n), rel=1e-3)


@given(tables)
def test_intervals_hold_the_estimate_and_stay_within_what_is_possible(table: PairedTable) -> None:
    assume(table.n > 0)
    estimate = (table.gained - table.lost) / table.n
    low, high = difference_interval(table, Z)
    assert -1 <= low <= estimate + 1e-9
    assert estimate - 1e-9 <= high <= 1
    assume(table.both + table.lost > 0)
    low, high = ratio_interval(table, Z)
    ratio = (table.both + table.gained) / (table.both + table.lost)
    assert 0 <= low <= ratio + 1e-9
    assert ratio - 1e-9 <= high


@given(tables)
def test_reference_and_candidate_exchanged_give_the_mirrored_interval(table: PairedTable) -> None:
    assume(table.n > 0)
    mirrored = PairedTable(table.both, table.gained, table.lost, table.neither)
    low, high = difference_interval(table, Z)
    assert difference_interval(mirrored, Z) == pytest.approx((-high, -low), abs=1e-9)
    assume(table.both > 0)
    low, high = ratio_interval(table, Z)
    assert ratio_interval(mirrored, Z) == pytest.approx((1 / high, 1 / low), rel=1e-6)


@given(tables, st.floats(0.5, 0.99))
def test_a_ratio_outside_the_interval_is_the_one_that_the_test_rejects(
    table: PairedTable, theta: float
) -> None:
    assume(table.both + table.lost > 0)
    low, _ = ratio_interval(table, Z)
    assume(abs(low - theta) > 1e-6)
    assert (ratio_score(table, theta) > Z) == (theta < low)


def test_no_item_flipped_leaves_room_for_what_more_items_would_show() -> None:
    low, high = difference_interval(PairedTable(60, 0, 0, 40), Z)
    assert -low == pytest.approx(high)
    assert high == pytest.approx(Z**2 / (100 + Z**2), abs=1e-9)  # about the rule of three


def test_one_item_says_next_to_nothing() -> None:
    low, high = difference_interval(PairedTable(1, 0, 0, 0), Z)
    assert low < -0.75
    assert high > 0.75


def test_everything_lost_and_everything_gained() -> None:
    assert difference_interval(PairedTable(0, 50, 0, 0), Z)[0] == -1
    assert difference_interval(PairedTable(0, 0, 50, 0), Z)[1] == 1
    assert ratio_interval(PairedTable(0, 50, 0, 50), Z)[0] == 0
