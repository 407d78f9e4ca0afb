from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.comparison import compare
from kick.comparison.calibration import calibration_error
from kick.metrics.calibration import calibration_columns
from kick.store import Store
from kick.types import ChoiceCalibration
from tests.results import TASKS, make_results, write_scores

MMLU = TASKS["kick_mmlu"]


def choices(seed: int, *, sharpness: float = 1.0, items: int = 600) -> pd.DataFrame:
    """Items of four choices of a model that is calibrated at a sharpness of 1, and overconfident above."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(items, 4))
    spread = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    gold = [int(draw.choice(4, p=row)) for row in spread]
    rows = [calibration_columns((sharpness * row).tolist(), at) for row, at in zip(values, gold, strict=True)]
    frame = pd.DataFrame(rows)
    return frame.assign(acc=frame["confident_right"])


def compared(tmp_path: Path, reference: pd.DataFrame, candidate: pd.DataFrame) -> ChoiceCalibration | None:
    store = Store.create(tmp_path / "r", "name: r\nreference: dense\n")
    for checkpoint, frame in (("dense", reference), ("rtn-4", candidate)):
        write_scores(store, checkpoint, MMLU, frame)
    return compare(store, "dense", "rtn-4", MMLU.name).calibration


def error_by_hand(confidences: list[float], right: list[bool], bins: int) -> float:
    """The definition, written out: sort, cut into bins that differ by one item at most, weigh the gaps."""
    ordered = sorted(zip(confidences, right, strict=True), key=lambda item: item[0])
    bins = min(bins, len(ordered))
    small, larger = divmod(len(ordered), bins)
    total, start = 0.0, 0
    for at in range(bins):
        part = ordered[start : start + small + (at < larger)]
        start += len(part)
        confidence = sum(value for value, _ in part) / len(part)
        accuracy = sum(good for _, good in part) / len(part)
        total += len(part) / len(ordered) * abs(confidence - accuracy)
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 15))
def test_the_error_equals_the_definition_written_out(items: list[tuple[float, bool]], bins: int) -> None:
    confidences, right = [value for value, _ in items], [good for _, good in items]
    expected = error_by_hand(confidences, right, bins)
    assert calibration_error(np.array(confidences), np.array(right), bins) == pytest.approx(
        expected, abs=1e-12
    )


def test_the_error_of_distinct_confidences_is_that_of_quantile_bins() -> None:
    draw = np.random.default_rng(2)
    items = pd.DataFrame({"confidence": draw.uniform(0.25, 1, 500), "right": draw.random(500) < 0.6})
    bins = items.groupby(pd.qcut(items["confidence"], 10))[["confidence", "right"]].mean()
    expected = (bins["confidence"] - bins["right"]).abs().mean()
    own = calibration_error(items["confidence"].to_numpy(), items["right"].to_numpy(float))
    assert own == pytest.approx(expected, abs=1e-12)


def test_without_items_there_is_no_error() -> None:
    with pytest.raises(ValueError, match="0 confidences and 0 outcomes"):
        calibration_error(np.array([]), np.array([]))


def test_a_candidate_that_became_overconfident_is_shown_to_be_worse_calibrated(tmp_path: Path) -> None:
    found = compared(tmp_path, choices(3), choices(3, sharpness=3.0))
    assert found is not None
    assert found.error.reference.value < 2 * found.reference_if_calibrated
    assert found.error.candidate.low > 0.15
    assert found.error.delta.low > 0.1
    assert found.brier.delta.low > 0
    assert found.error.reference.n == found.brier.delta.n == 600


def test_a_copy_differs_in_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, choices(3), choices(3))
    assert found is not None
    assert found.error.delta.value == found.brier.delta.value == 0.0
    for delta in (found.error.delta, found.brier.delta):
        assert delta.low <= 0.0 <= delta.high


def test_intervals_of_the_error_cover_the_truth(tmp_path: Path) -> None:
    truths = [
        calibration_error(*(frame[name].to_numpy() for name in ("confidence", "confident_right")))
        for frame in (choices(99, items=20_000), choices(99, sharpness=2.0, items=20_000))
    ]
    covered = []
    for seed in range(20):
        found = compared(
            tmp_path / str(seed), choices(seed, items=200), choices(seed, sharpness=2.0, items=200)
        )
        assert found is not None
        pairs = zip(
            (found.error.reference, found.error.candidate, found.error.delta),
            (truths[0], truths[1], truths[1] - truths[0]),
            strict=True,
        )
        covered += [each.low <= truth <= each.high for each, truth in pairs]
    assert sum(covered) >= 57


def test_groups_of_dependent_items_are_drawn_whole(tmp_path: Path) -> None:
    clustered = pd.concat([choices(4, sharpness=3.0, items=100)] * 6, ignore_index=True)
    alone = compared(tmp_path / "a", clustered, clustered)
    groups = np.tile(np.arange(100), 6).astype(str)
    together = compared(tmp_path / "b", clustered.assign(group=groups), clustered.assign(group=groups))
    assert alone is not None
    assert together is not None
    widths = [each.error.reference.high - each.error.reference.low for each in (alone, together)]
    assert widths[1] > 1.5 * widths[0]
    assert together.reference_if_calibrated > 1.5 * alone.reference_if_calibrated


def test_cells_without_its_columns_have_no_calibration(tmp_path: Path) -> None:
    store = make_results(tmp_path / "r", items=40, tasks=["kick_mmlu"])
    assert compare(store, "dense", "rtn-4", "kick_mmlu").calibration is None
