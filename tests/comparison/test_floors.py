"""A score counts as far as it is above what answerers without knowledge score, and only if somebody answered."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kick.comparison import compare
from kick.comparison.families import compare_family
from kick.comparison.floors import signs_object
from kick.comparison.pairing import load_pairs
from kick.comparison.ranking import standings
from kick.comparison.sample import PairedSample
from kick.metrics.signs import response_signs
from kick.store import Store
from kick.types import Cell, Comparison, Estimate, TaskInfo
from tests.results import binary_task, write_pair, write_scores


def shares(right: int, n: int = 200) -> list[float]:
    """As many items, of which the first ones are right."""
    return [1.0] * right + [0.0] * (n - right)


def compared(path: Path, reference: int, candidate: int, floor: float | None, n: int = 200) -> Comparison:
    store = write_pair(path, shares(reference, n), shares(candidate, n), floor=floor)
    return compare(store, "dense", "small", "facts")


def above(comparison: Comparison) -> Estimate:
    assert comparison.recovery_above_floor is not None
    return comparison.recovery_above_floor


def test_the_floor_is_taken_off_both_scores(tmp_path: Path) -> None:
    found = compared(tmp_path, 120, 80, floor=0.2)
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(80 / 120)
    assert above(found).value == pytest.approx((0.4 - 0.2) / (0.6 - 0.2))
    assert above(found).low < above(found).value < above(found).high
    assert found.floor is not None
    assert found.floor.answerer == "the question given back"
    assert found.kept == found.recovery_above_floor


def test_a_candidate_that_scores_the_floor_or_less_keeps_nothing(tmp_path: Path) -> None:
    at_floor, below = compared(tmp_path / "1", 120, 40, 0.2), compared(tmp_path / "2", 120, 0, 0.2)
    assert above(at_floor).value == 0.0
    assert above(at_floor).low == 0.0
    assert 0 < above(at_floor).high < 0.3
    assert (above(below).value, above(below).low, above(below).high) == (0.0, 0.0, 0.0)


def test_a_reference_that_is_not_shown_to_be_above_the_floor_is_not_measurable(tmp_path: Path) -> None:
    found = compared(tmp_path, 44, 44, floor=0.2)
    assert not found.measurable
    assert found.not_measurable == (
        "the reference scores 22 %, which is not shown to be above the floor of 20 % (the question given back)"
    )
    assert found.recovery_above_floor is None
    assert found.kept is None
    assert found.matching is not None
    assert found.matching.outcome == "cannot tell"


@pytest.mark.parametrize("right", range(0, 41, 4))
@pytest.mark.parametrize("floor", [0.05, 0.25, 0.5])
def test_being_above_the_floor_is_shown_by_the_exact_binomial_test(right: int, floor: float) -> None:
    scores = np.array(shares(right, 40))
    p_value = PairedSample(scores, scores).reference_evidence(floor)
    exact = stats.binomtest(right, 40, floor, "greater").pvalue
    assert p_value == pytest.approx(exact, rel=0.05) if right else p_value == 1.0


def test_without_a_floor_recovery_is_plain_and_nothing_else_is_claimed(tmp_path: Path) -> None:
    found = compared(tmp_path, 120, 80, floor=None)
    assert (found.floor, found.recovery_above_floor, found.measurable) == (None, None, True)
    assert found.kept == found.ratio


def test_the_reference_as_its_own_candidate_keeps_all(tmp_path: Path) -> None:
    store = write_pair(tmp_path, shares(120), shares(80), floor=0.2)
    itself = above(compare(store, "dense", "dense", "facts"))
    assert (itself.value, itself.low, itself.high) == (1.0, 1.0, 1.0)


def test_lower_is_better_has_no_floor(tmp_path: Path) -> None:
    task = binary_task(higher_is_better=False)
    found = compare(write_pair(tmp_path, shares(40), shares(80), task, floor=0.2), "dense", "small", "facts")
    assert (found.floor, found.recovery_above_floor, found.measurable) == (None, None, True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.4), st.booleans())
def test_recovery_above_the_floor_lies_within_its_interval_and_falls_with_the_floor(
    seed: int, floor: float, graded: bool
) -> None:
    rng = np.random.default_rng(seed)
    a = rng.random(80) if graded else (rng.random(80) < 0.8).astype(float)
    b = np.where(rng.random(80) < 0.3, 0.0, a)
    sample = PairedSample(a, b, floor=floor)
    found = sample.recovery_above_floor
    if found is None:
        assert not sample.measurable
        return
    assert 0 <= found.low <= found.value <= found.high
    assert sample.ratio is not None
    assert found.value <= sample.ratio.value + 1e-9


def test_the_interval_covers_the_true_recovery_above_the_floor() -> None:
    rng = np.random.default_rng(5)
    runs = covered = 0
    for _ in range(200):
        a = (rng.random(200) < 0.6).astype(float)
        b = np.where(a == 1, rng.random(200) < 0.7, rng.random(200) < 0.1).astype(float)
        found = PairedSample(a, b, floor=0.2).recovery_above_floor
        assert found is not None
        truth = (0.6 * 0.7 + 0.4 * 0.1 - 0.2) / (0.6 - 0.2)
        runs, covered = runs + 1, covered + (found.low <= truth <= found.high)
    assert covered / runs >= 0.93


def written(store: Store, task: TaskInfo, scores: dict[str, list[float]], floor: float) -> None:
    for checkpoint, values in scores.items():
        write_scores(store, checkpoint, task, pd.DataFrame({"em": values}), floor=floor)


def test_a_family_takes_the_floors_off_and_leaves_out_what_is_not_measurable(tmp_path: Path) -> None:
    store = write_pair(tmp_path, shares(120), shares(80), floor=0.2)
    guessed, known = binary_task("guessed"), binary_task("known")
    written(store, guessed, {"dense": shares(42), "small": shares(42)}, 0.2)
    written(store, known, {"dense": shares(160), "small": shares(100)}, 0.1)
    pairs = [load_pairs(store, "dense", "small", task) for task in ("facts", "guessed", "known")]
    family = compare_family("factoid_qa", pairs)
    assert family.tasks == ("facts", "known")
    assert family.left_out == ("guessed",)
    assert family.recovery_above_floor is not None
    assert family.recovery_above_floor.value == pytest.approx((0.45 - 0.15) / (0.7 - 0.15))
    alone = compare_family("factoid_qa", pairs[1:2])
    assert (alone.tasks, alone.measurable, alone.kept) == (("guessed",), False, None)


def test_two_destroyed_candidates_share_their_rank_whatever_they_score(tmp_path: Path) -> None:
    reference = np.array(shares(120))
    scores = {"empty": shares(0), "constant": shares(38), "good": shares(110)}
    samples = [[PairedSample(reference, np.array(values), floor=0.2) for values in scores.values()]]
    ranked = standings([*scores], samples, np.ones((1, 3)))
    assert ranked["empty"].kept.value == ranked["constant"].kept.value == 0.0
    assert ranked["empty"].tied == ("constant",)
    assert ranked["good"].kept.value == pytest.approx((0.55 - 0.2) / (0.6 - 0.2))
    assert (ranked["good"].best, ranked["good"].worst) == (1, 1)


def cells(path: Path, reference: list[str], candidate: list[str]) -> tuple[Cell, Cell]:
    store = Store.create(path, "name: test\nreference: dense\n")
    both = {"dense": reference, "small": candidate}
    frames = {name: pd.DataFrame({"em": np.ones(len(said)), "response": said}) for name, said in both.items()}
    dense, small = (
        write_scores(store, name, binary_task(), frame, signs=response_signs(both[name]))
        for name, frame in frames.items()
    )
    return dense, small


ANSWERS = ["Oslo", "Bergen", "Voss", "Odda", "Flam", "Alta", "Bodo", "Moss"]


@pytest.mark.parametrize(
    ("candidate", "objection"),
    [
        (ANSWERS, None),
        ([""] * 3 + ANSWERS[3:], "of 8 answers: 3 empty"),
        ([""] * 2 + ANSWERS[2:], None),
        (["Oslo"] * 5 + ANSWERS[5:], "of 8 answers: 5 equal to each other"),
        (["la la la"] * 8, "of 8 answers: 8 repeating themselves, 8 equal to each other"),
    ],
)
def test_answers_that_are_none_object_beyond_a_quarter(
    tmp_path: Path, candidate: list[str], objection: str | None
) -> None:
    assert signs_object(*cells(tmp_path, ANSWERS, candidate)) == objection


def test_a_reference_that_answers_alike_itself_is_no_objection(tmp_path: Path) -> None:
    yes = ["yes"] * 5 + ["no"] * 3
    assert signs_object(*cells(tmp_path, yes, ["yes"] * 6 + ["no"] * 2)) is None


def test_cells_without_counted_signs_raise_no_objection(tmp_path: Path) -> None:
    dense, small = cells(tmp_path, ANSWERS, [""] * 8)
    assert signs_object(dense, small.model_copy(update={"signs": None})) is None
    assert signs_object(dense.model_copy(update={"signs": None}), small) == "of 8 answers: 8 empty"


def test_a_text_has_bits_per_byte_with_the_paired_interval_of_its_loss(tmp_path: Path) -> None:
    from tests.results import PERPLEXITY

    rng = np.random.default_rng(1)
    losses = 3 + 0.3 * rng.random(40)
    store = write_pair(tmp_path, [1.0, 0.0], [1.0, 0.0])
    for checkpoint, cost in (("dense", 0.0), ("small", 0.2)):
        frame = pd.DataFrame(
            {"nll": losses + cost, "units": np.full(40, 99), "bytes_per_unit": np.full(40, 4.0)}
        )
        write_scores(store, checkpoint, PERPLEXITY, frame)
    bits = compare(store, "dense", "small", PERPLEXITY.name).bits_per_byte
    assert bits is not None
    assert bits.reference.value == pytest.approx(losses.mean() / math.log(2) / 4)
    assert bits.delta.value == pytest.approx(0.2 / math.log(2) / 4)
    assert bits.delta.low <= bits.delta.value <= bits.delta.high
    assert bits.candidate.value - bits.reference.value == pytest.approx(bits.delta.value)
