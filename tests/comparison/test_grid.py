from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kick.comparison import compare_all
from kick.comparison.curves import crossing
from kick.comparison.grid import series_axis, series_members, suite_checkpoints
from kick.errors import InputError
from kick.store import Store, noise_id
from kick.types import Curve, CurvePoint, falling
from tests.results import TASKS, checkpoint_record, make_results, write_scores

FACTS = "kick_freebaseqa"


def curve(store: Store, series: str, task: str) -> Curve:
    """The candidates of a series on a task, from light to heavy compression."""
    records = {record.checkpoint.id: record for record in store.checkpoints()}
    steps = series_members(suite_checkpoints(store), records)[series]
    axis = series_axis(steps)
    assert axis is not None
    compared = {pair.candidate: pair for pair in compare_all(store).comparisons if pair.task == task}
    points = [CurvePoint(rate=step.rate, comparison=compared[name]) for name, step in steps.items() if step]
    points.sort(key=lambda point: point.rate, reverse=falling(axis))
    return Curve(series=series, axis=axis, task=task, points=tuple(points))


def test_every_candidate_is_compared_on_every_task(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=40, windows=9)
    result = compare_all(store)
    assert result.reference == "dense"
    assert len(result.comparisons) == 7 * len(TASKS)
    assert result.refusals == ()


def test_what_cannot_be_compared_is_listed_with_its_reason(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=40, tasks=[FACTS], damage={"dense": 0, "rtn-4": 0.1, "rtn-3": 0.3})
    write_scores(store, "rtn-4", TASKS[FACTS], pd.DataFrame({"em": [1.0], "f1": [1.0]}))
    store.write_checkpoint(checkpoint_record("rtn-3"))
    result = compare_all(store)
    assert result.comparisons == ()
    reasons = {refusal.candidate: refusal.reason for refusal in result.refusals}
    assert "limit: 40 | 1" in reasons["rtn-4"]
    assert f"task '{FACTS}' of 'rtn-3' is missing" in reasons["rtn-3"]


def test_p_values_are_adjusted_over_all_comparisons(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=100, tasks=[FACTS, "kick_hotpotqa"])
    comparisons = compare_all(store).comparisons
    count = len(comparisons)
    ordered = sorted(comparisons, key=lambda comparison: comparison.p_value or 0)
    holm, fdr = 0.0, 1.0
    for rank, comparison in enumerate(ordered):
        assert comparison.p_value is not None
        holm = max(holm, min(1.0, comparison.p_value * (count - rank)))
        assert comparison.p_holm == pytest.approx(holm)
    for rank, comparison in reversed(list(enumerate(ordered))):
        fdr = min(fdr, (comparison.p_value or 0) * count / (rank + 1))
        assert comparison.p_fdr == pytest.approx(fdr)


def test_a_noise_run_is_no_candidate(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=40, tasks=[FACTS], damage={"dense": 0, "rtn-8": 0})
    cell = store.cell("dense", FACTS)
    assert cell is not None
    write_scores(store, noise_id("dense"), TASKS[FACTS], store.items(cell), tier="batch of 1")
    comparisons = compare_all(store).comparisons
    assert [comparison.candidate for comparison in comparisons] == ["rtn-8"]
    assert comparisons[0].noise_floor is not None


def test_an_unknown_reference_is_refused(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=10, tasks=[FACTS], damage={"dense": 0, "rtn-8": 0})
    with pytest.raises(InputError, match=r"there is no checkpoint 'dens'.*Did you mean 'dense'"):
        compare_all(store, "dens")


def test_a_rank_falls_from_the_whole_and_dropped_layers_rise_from_none(tmp_path: Path) -> None:
    damage = {
        "dense": 0.0,
        "low-rank-0.5": 0.3,
        "low-rank-0.8": 0.1,
        "layer-drop-2": 0.3,
        "layer-drop-1": 0.1,
    }
    store = make_results(tmp_path, items=60, windows=9, damage=damage)
    assert [point.rate for point in curve(store, "low-rank", FACTS).points] == [0.8, 0.5]
    assert [point.rate for point in curve(store, "layer-drop", FACTS).points] == [1, 2]


def test_a_curve_crosses_the_loss_on_the_straight_line_between_two_points(tmp_path: Path) -> None:
    damage = {"dense": 0.0, "magnitude-0.1": 0.0, "magnitude-0.3": 0.2, "magnitude-0.5": 0.6}
    facts = curve(make_results(tmp_path, items=2000, tasks=[FACTS], damage=damage), "magnitude", FACTS)
    recoveries = [point.comparison.ratio.value for point in facts.points if point.comparison.ratio]
    crossed = crossing(facts)
    assert crossed is not None
    assert crossed.rate == pytest.approx(
        np.interp(0.05, [0, *(1 - recovery for recovery in recoveries)], [0, 0.1, 0.3, 0.5])
    )
    assert crossed.earliest is not None
    assert crossed.latest is not None
    assert 0.1 < crossed.earliest < crossed.rate < crossed.latest < 0.3


def test_bits_are_crossed_downwards_and_perplexity_upwards(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=600, windows=20)
    crossed = crossing(curve(store, "rtn", "perplexity_wikitext2"))
    assert crossed is not None
    assert crossed.rate is not None
    assert 3 < crossed.rate < 4
    assert crossed.latest is not None
    assert crossed.latest <= crossed.rate <= (crossed.earliest or 0)


def test_a_loss_that_is_not_reached_is_crossed_nowhere(tmp_path: Path) -> None:
    damage = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.0}
    store = make_results(tmp_path, items=2000, tasks=[FACTS], damage=damage)
    crossed = crossing(curve(store, "rtn", FACTS))
    assert crossed is not None
    assert (crossed.rate, crossed.latest, crossed.last) == (None, None, 4)
