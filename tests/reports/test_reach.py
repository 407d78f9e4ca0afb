"""How far a series goes is read from the verdicts of its checkpoints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.reports.reach import Reach, reach
from kick.types import Check, Estimate, Outcome

RATES = (0.1, 0.3, 0.5)
NAMES = ("a", "b", "c")


def check(loss: float, outcome: Outcome) -> Check:
    def estimate(value: float) -> Estimate:
        return Estimate(value=value, low=value, high=value, n=200, method="t")

    return Check(
        kind="task",
        name="facts",
        metric="em",
        reference_score=estimate(0.8),
        candidate_score=estimate(0.8 * (1 - loss)),
        margin=0.05,
        tolerated=0.025,
        loss=estimate(loss),
        p_within=0.5,
        p_loss=0.5,
        outcome=outcome,
    )


def of(*checks: Check | None) -> Reach | None:
    given_checks = {name: one for name, one in zip(NAMES, checks, strict=True) if one}
    return reach("sparsity", RATES, NAMES, given_checks)


def test_it_is_what_was_measured_what_passes_and_where_a_regression_begins() -> None:
    found = of(check(0.01, "pass"), check(0.03, "inconclusive"), check(0.4, "regression"))
    assert found is not None
    assert (found.within, found.passes, found.fails) == (0.3, 0.1, 0.5)
    assert (found.first, found.last, found.n, found.margin) == (0.1, 0.5, (200,), 0.05)


def test_a_pass_beyond_a_checkpoint_that_does_not_pass_does_not_count() -> None:
    found = of(check(0.06, "inconclusive"), check(0.0, "pass"), check(0.0, "pass"))
    assert found is not None
    assert (found.within, found.passes, found.fails) == (0.0, 0.0, None)


def test_a_checkpoint_that_was_not_judged_is_left_out() -> None:
    found = of(None, check(0.0, "pass"), None)
    assert found is not None
    assert (found.first, found.passes, found.last) == (0.3, 0.3, 0.3)
    assert of(None, None, None) is None


@given(st.lists(st.sampled_from(["pass", "regression", "inconclusive"]), min_size=3, max_size=3))
def test_what_passes_ends_before_the_first_regression(outcomes: list[Outcome]) -> None:
    losses = {"pass": 0.01, "inconclusive": 0.04, "regression": 0.2}
    found = of(*(check(losses[outcome], outcome) for outcome in outcomes))
    assert found is not None
    if found.fails is not None:
        assert found.passes < found.fails
    assert found.passes <= found.within or found.within == pytest.approx(0.5)
