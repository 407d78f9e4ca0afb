"""Divergence from the reference by item: means, intervals that respect groups, and the noise floor."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kick.comparison import load_pairs
from kick.comparison.divergence import divergence
from kick.store import Store
from kick.types import TaskInfo
from tests.results import binary_task, diverged_from, write_pair, write_scores

KL = [0.1, 0.2, 0.3, 0.4]


def pair(path: Path, task: TaskInfo | None = None, kl: list[float] = KL, **columns: object) -> Store:
    """`small` diverges from `dense` by these means of items."""
    n = len(kl)
    store = write_pair(path, [1.0] * n, [1.0] * n, task, **columns)
    found = {
        "kl": kl,
        "reverse_kl": [2 * value for value in kl],
        "delta_p": [-0.1] * n,
        "same_top": [1.0] * n,
    }
    frame = pd.DataFrame({"em": [1.0] * n, **columns, **found})
    write_scores(store, "small", task or binary_task(), frame, divergence=diverged_from(KL))
    return store


def test_kl_is_the_mean_of_the_items_with_its_interval(tmp_path: Path) -> None:
    store = pair(tmp_path / "r")
    found = divergence(store, load_pairs(store, "dense", "small", "facts"))
    assert found is not None
    half = 3.1824 * np.std(KL, ddof=1) / 2  # Student's t on 3 degrees of freedom
    assert found.kl.value == pytest.approx(0.25)
    assert (found.kl.low, found.kl.high) == pytest.approx((0.25 - half, 0.25 + half), rel=1e-4)
    assert found.kl.n == 4
    assert found.reverse_kl.value == pytest.approx(0.5)
    assert found.delta_p.value == pytest.approx(-0.1)
    assert found.same_top.value == 1.0
    assert found.same_top.low < 1.0
    assert (found.noise_kl, found.noise_same_top) == (None, None)


def test_dependent_items_widen_the_interval(tmp_path: Path) -> None:
    task = binary_task(group_by="title")
    kl, titles = [0.1] * 6 + [0.9] * 6, ["a"] * 6 + ["b"] * 6
    alone, grouped = pair(tmp_path / "a", kl=kl), pair(tmp_path / "g", task, kl, group=titles)
    widths = []
    for store in (alone, grouped):
        found = divergence(store, load_pairs(store, "dense", "small", "facts"))
        assert found is not None
        widths.append(found.kl.high - found.kl.low)
    assert widths[1] > 2 * widths[0]


def test_no_interval_reaches_below_nothing(tmp_path: Path) -> None:
    store = pair(tmp_path / "r", kl=[0.0, 0.0, 0.0, 0.4])
    found = divergence(store, load_pairs(store, "dense", "small", "facts"))
    assert found is not None
    assert found.kl.low == 0.0
    assert found.kl.high > 0.1


def test_items_that_do_not_diverge_at_all_are_no_shares_of_one(tmp_path: Path) -> None:
    store = pair(tmp_path / "r", kl=[0.0] * 4)
    found = divergence(store, load_pairs(store, "dense", "small", "facts"))
    assert found is not None
    assert (found.kl.low, found.kl.high) == (0.0, 0.0)


def test_a_token_that_a_candidate_thinks_impossible_leaves_no_finite_mean(tmp_path: Path) -> None:
    store = pair(tmp_path / "r", kl=[0.1, float("inf"), 0.2, 0.3])
    found = divergence(store, load_pairs(store, "dense", "small", "facts"))
    assert found is not None
    assert (found.kl.value, found.kl.low, found.kl.high) == (float("inf"),) * 3


def test_the_noise_floor_is_the_references_divergence_from_itself(tmp_path: Path) -> None:
    store = pair(tmp_path / "r")
    columns = {
        "kl": [1e-4] * 4,
        "reverse_kl": [1e-4] * 4,
        "delta_p": [0.0] * 4,
        "same_top": [1.0, 1.0, 1.0, 0.5],
    }
    frame = pd.DataFrame({"em": [1.0] * 4, **columns})
    write_scores(store, "dense@noise", binary_task(), frame, divergence=diverged_from([1e-4] * 4))
    found = divergence(store, load_pairs(store, "dense", "small", "facts"))
    assert found is not None
    assert found.noise_kl is not None
    assert found.noise_same_top is not None
    assert found.noise_kl.value == pytest.approx(1e-4)
    assert found.noise_same_top.value == pytest.approx(0.875)


def test_a_noise_floor_of_other_items_is_none(tmp_path: Path) -> None:
    store = pair(tmp_path / "r")
    columns = {name: [1e-4] * 4 for name in ("kl", "reverse_kl", "delta_p", "same_top")}
    frame = pd.DataFrame({"em": [1.0] * 4, **columns})
    plan = {"hash": "another"}
    write_scores(store, "dense@noise", binary_task(), frame, plan=plan, divergence=diverged_from([1e-4] * 4))
    found = divergence(store, load_pairs(store, "dense", "small", "facts"))
    assert found is not None
    assert found.noise_kl is None


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0], [1, 1])
    assert divergence(store, load_pairs(store, "dense", "small", "facts")) is None
