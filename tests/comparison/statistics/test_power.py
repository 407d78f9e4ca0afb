from pathlib import Path

import numpy as np
import pytest

from kick.comparison import load_pairs
from kick.comparison.matching import margin_tests
from kick.comparison.paired import loss_test
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.power import detectable, items_needed, items_to_decide, plan_binary, power_of
from tests.results import PERPLEXITY, write_pair


@pytest.mark.parametrize(("flipping", "items"), [(0.10, 580), (0.20, 1160), (0.30, 1740)])
def test_the_items_that_a_margin_of_327_points_needs(flipping: float, items: int) -> None:
    assert items_needed(flipping, 0.0327) == pytest.approx(items, rel=0.01)


def test_what_is_detectable_is_what_as_many_items_are_needed_for() -> None:
    assert items_needed(0.1, detectable(0.1, 1000)) == 1000


def test_no_difference_and_no_variance_need_no_number() -> None:
    assert items_needed(0.1, 0.0) is None
    assert items_needed(0.0, 0.03) is None
    assert items_needed(float("inf"), 0.03) is None


def test_the_power_promised_is_the_power_found() -> None:
    generator = np.random.default_rng(0)
    lost, gained = 0.065, 0.035
    n = items_needed(lost + gained - (gained - lost) ** 2, lost - gained)
    assert n is not None
    found = 0
    for _ in range(400):
        flips = generator.choice([-1.0, 1.0, 0.0], n, p=[lost, gained, 1 - lost - gained])
        a = np.where(flips == 1, 0.0, 1.0)
        found += loss_test(PairedSample(a, a + flips)) <= 0.05
    assert found / 400 == pytest.approx(0.8, abs=0.06)


def test_power_comes_from_the_items_that_flip(tmp_path: Path) -> None:
    a = [1.0] * 600 + [0.0] * 400
    b = [1.0] * 570 + [0.0] * 30 + [1.0] * 30 + [0.0] * 370
    power = power_of(load_pairs(write_pair(tmp_path, a, b), "dense", "small", "facts"), 0.05)
    assert power.discordance == pytest.approx(0.06)
    assert power.items_to_match == plan_binary((0.57, 0.03, 0.03, 0.37), 0.05)
    assert power.items_to_decide == items_needed(0.06 * 1000 / 999, 0.03)
    assert power.detectable_loss == pytest.approx(2.4865 * np.sqrt(0.06 / 1000), rel=0.01)


def test_perplexity_power_is_relative(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    nll = generator.normal(3, 0.1, 100)
    store = write_pair(tmp_path, nll, nll + generator.normal(0, 0.1, 100), PERPLEXITY, units=[2047] * 100)
    power = power_of(load_pairs(store, "dense", "small", PERPLEXITY.name), 0.05)
    assert power.discordance is None
    assert power.items_to_match is not None
    assert 10 < power.items_to_match < 60


def test_where_nothing_flipped_the_items_promised_are_enough_if_nothing_flips_still() -> None:
    right = np.repeat([1.0, 0.0], [4, 26])
    needed = items_to_decide(PairedSample(right, right).moments, 0.0, 0.05 * right.mean())
    assert needed == pytest.approx(406, abs=1)
    more = np.repeat([1.0, 0.0], [round(needed * 4 / 30), needed - round(needed * 4 / 30)])
    assert margin_tests(PairedSample(more, more), ratio=0.05)[0] == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("flips", [0.02, 0.08, 0.25])
def test_the_power_that_a_plan_promises_for_a_match_is_found(flips: float) -> None:
    generator = np.random.default_rng(0)
    shares = (0.65 - flips / 2, flips / 2, flips / 2, 0.35 - flips / 2)
    n = plan_binary(shares, 0.05)
    assert n is not None
    shown = 0
    for _ in range(600):
        counts = generator.multinomial(n, shares)
        sample = PairedSample(np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts))
        shown += margin_tests(sample, ratio=0.05)[0] <= 0.05
    assert shown / 600 == pytest.approx(0.8, abs=0.07)
    assert plan_binary((0.55, 0.1, 0.0, 0.35), 0.05) is None
