import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.metrics.calibration import brier, calibration_error, calibration_estimate, probabilities

logs = st.lists(st.floats(-50, 0), min_size=2, max_size=10)


def test_certainty_in_the_right_choice_has_no_brier_score_and_in_a_wrong_one_the_worst() -> None:
    assert brier([0.0, -100.0], 0) == pytest.approx(0.0)
    assert brier([0.0, -100.0], 1) == pytest.approx(2.0)
    assert brier([-1.0, -1.0], 0) == pytest.approx(0.5)


def test_numbers_that_are_none_get_no_probability() -> None:
    assert probabilities([math.nan, -1.0]) == [0.0, 1.0]
    assert probabilities([math.nan, math.nan]) == [0.5, 0.5]


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert calibration_error([0.9] * 10, [True] * 9 + [False], bins=1) == pytest.approx(0.0)
    assert calibration_error([1.0] * 10, [True] * 5 + [False] * 5, bins=1) == pytest.approx(0.5)


def test_without_items_there_is_no_error() -> None:
    with pytest.raises(ValueError, match="0 confidences and 0 outcomes"):
        calibration_error([], [])


def test_a_calibrated_model_has_a_small_error_and_an_interval_that_holds_it() -> None:
    draw = random.Random(3)
    items = []
    for _ in range(2000):
        sure = draw.uniform(0.5, 1.0)
        items.append(([math.log(sure), math.log(1 - sure + 1e-9)], int(draw.random() > sure)))
    estimate = calibration_estimate(items)
    assert estimate.value < 0.05
    assert estimate.low <= estimate.value <= estimate.high
    assert calibration_estimate([(values, 1 - gold) for values, gold in items]).low > 0.3


@given(logs, st.data())
def test_probabilities_add_up_and_the_brier_score_is_within_0_and_2(
    values: list[float], data: st.DataObject
) -> None:
    assert sum(probabilities(values)) == pytest.approx(1.0)
    assert 0.0 <= brier(values, data.draw(st.integers(0, len(values) - 1))) <= 2.0 + 1e-9
