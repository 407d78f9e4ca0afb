"""Budgets of a check: what an option names, and what is left."""

import time

import pytest

from kick.errors import InputError
from kick.execution.budget import Budget


@pytest.mark.parametrize(
    ("text", "seconds", "items"),
    [
        (None, None, None),
        ("90s", 90, None),
        ("10m", 600, None),
        ("1.5 h", 5400, None),
        ("2000 items", None, 2000),
        ("2000", None, 2000),
    ],
)
def test_a_budget_is_a_time_or_a_number_of_items(
    text: str | None, seconds: float | None, items: int | None
) -> None:
    budget = Budget.parse(text)
    assert (budget.seconds, budget.items) == (seconds, items)


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", "0 items", "1.5 items", "10 minutes of fame"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        Budget.parse(text)


def test_a_budget_of_items_affords_what_is_left_of_it() -> None:
    budget = Budget.parse("100 items")
    assert budget.affordable(64, None) == 64
    budget.used = 64
    assert budget.affordable(64, None) == 36
    budget.used = 100
    assert budget.affordable(64, None) == 0


def test_a_budget_of_time_affords_what_the_measured_speed_allows() -> None:
    budget = Budget.parse("10s")
    assert budget.affordable(64, None) == 64
    assert budget.affordable(64, 1.0) in (9, 10)
    budget.started = time.monotonic() - 11
    assert budget.affordable(64, None) == 0


@pytest.mark.parametrize(("text", "doubled"), [("10m", "20m"), ("20s", "40s"), ("500 items", "1000 items")])
def test_the_next_command_doubles_the_budget(text: str, doubled: str) -> None:
    assert Budget.parse(text).doubled() == doubled
