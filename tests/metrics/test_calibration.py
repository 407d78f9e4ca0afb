import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from kick.metrics.calibration import brier, calibration_columns, probabilities

logs = st.lists(st.floats(-50, 0), min_size=2, max_size=10)


def test_certainty_in_the_right_choice_has_no_brier_score_and_in_a_wrong_one_the_worst() -> None:
    assert brier([0.0, -100.0], 0) == pytest.approx(0.0)
    assert brier([0.0, -100.0], 1) == pytest.approx(2.0)
    assert brier([-1.0, -1.0], 0) == pytest.approx(0.5)


def test_numbers_that_are_none_get_no_probability() -> None:
    assert probabilities([math.nan, -1.0]) == [0.0, 1.0]
    assert probabilities([math.nan, math.nan]) == [0.5, 0.5]


def test_an_item_holds_the_probability_of_its_most_probable_choice_and_whether_that_is_right() -> None:
    values = [math.log(0.2), math.log(0.7), math.log(0.1)]
    right, wrong = calibration_columns(values, 1), calibration_columns(values, 2)
    assert right == pytest.approx({"brier": 0.14, "confidence": 0.7, "confident_right": 1.0})
    assert wrong == pytest.approx({"brier": 1.34, "confidence": 0.7, "confident_right": 0.0})


def test_the_mean_brier_score_is_that_of_scikit_learn() -> None:
    values = np.random.default_rng(5).normal(size=(200, 4)) * 3
    gold = np.random.default_rng(6).integers(0, 4, 200)
    own = [brier(row, int(at)) for row, at in zip(values.tolist(), gold, strict=True)]
    spread = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    theirs = brier_score_loss(gold, spread, labels=[0, 1, 2, 3], scale_by_half=False)
    assert np.mean(own) == pytest.approx(theirs, abs=1e-12)


@given(logs, st.data())
def test_probabilities_add_up_and_the_brier_score_is_within_0_and_2(
    values: list[float], data: st.DataObject
) -> None:
    assert sum(probabilities(values)) == pytest.approx(1.0)
    assert 0.0 <= brier(values, data.draw(st.integers(0, len(values) - 1))) <= 2.0 + 1e-9
