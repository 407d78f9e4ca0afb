from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kick.comparison import load_pairs
from kick.comparison.items import changed_items, choice_margins, losses_by_category
from kick.errors import InputError
from tests.results import binary_task, make_results, write_pair, write_scores


def test_the_items_that_flipped_come_with_both_responses(tmp_path: Path) -> None:
    store = write_pair(tmp_path, [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], response=["a", "b", "c", "d", "e"])
    frame = pd.DataFrame({"em": [1, 0, 1, 0, 0], "response": ["a", "x", "y", "z", "e"]})
    write_scores(store, "small", binary_task(), frame)
    changed = changed_items(load_pairs(store, "dense", "small", "facts"))
    assert changed["change"].tolist() == ["lost", "gained", "other wrong"]
    assert changed["doc_id"].tolist() == [1, 2, 3]
    assert changed["reference_response"].tolist() == ["b", "c", "d"]
    assert changed["candidate_response"].tolist() == ["x", "y", "z"]
    assert changed["prompt"].tolist() == ["Question 1?", "Question 2?", "Question 3?"]
    assert changed["reference_margin"].isna().all()


def test_graded_items_are_worse_or_better(tmp_path: Path) -> None:
    changed = changed_items(
        load_pairs(write_pair(tmp_path, [0.5, 0.5, 0.5], [0.7, 0.5, 0.2]), "dense", "small", "facts")
    )
    assert changed["change"].tolist() == ["worse", "better"]
    assert changed["candidate_score"].tolist() == [0.2, 0.7]


def test_the_margin_is_the_lead_of_the_likeliest_choice() -> None:
    margins = choice_margins([np.array([-3.0, -1.0, -1.5]), np.array([])])
    assert margins[0] == pytest.approx(0.5)
    assert np.isnan(margins[1])


def test_changed_items_survive_parquet(tmp_path: Path) -> None:
    store = make_results(
        tmp_path / "results", items=80, tasks=["kick_mmlu"], damage={"dense": 0, "rtn-3": 0.3}
    )
    changed = changed_items(load_pairs(store, "dense", "rtn-3", "kick_mmlu"))
    changed.to_parquet(tmp_path / "items.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "items.parquet"), changed)
    assert changed["reference_margin"].notna().all()


def test_losses_by_category_put_the_largest_first_and_adjust_for_looking(tmp_path: Path) -> None:
    groups = ["history"] * 40 + ["physics"] * 40
    candidate = [1.0] * 38 + [0.0] * 2 + [1.0] * 20 + [0.0] * 20
    store = write_pair(tmp_path, [1.0] * 80, candidate, group=groups)
    losses = losses_by_category(load_pairs(store, "dense", "small", "facts"))
    assert [loss.category for loss in losses] == ["physics", "history"]
    physics, history = losses
    assert physics.delta.value == -0.5
    assert physics.knowledge_loss is not None
    assert (physics.knowledge_loss.value, physics.n) == (0.5, 40)
    assert physics.delta.low < -0.5 < physics.delta.high
    expected = stats.false_discovery_control([physics.p_value, history.p_value])
    assert [physics.p_fdr, history.p_fdr] == pytest.approx(expected)


def test_numbers_become_four_bands(tmp_path: Path) -> None:
    popularity = np.arange(200) * 10.0
    store = write_pair(tmp_path, [1.0] * 200, [0.0] * 50 + [1.0] * 150, popularity=popularity)
    losses = losses_by_category(load_pairs(store, "dense", "small", "facts"), "popularity")
    assert [loss.n for loss in losses] == [50, 50, 50, 50]
    assert losses[0].delta.value == -1


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    pairs = load_pairs(write_pair(tmp_path, [1, 0], [1, 0], topic=["a", "b"]), "dense", "small", "facts")
    with pytest.raises(InputError, match=r"keeps no categories in 'topics'.*Did you mean 'topic'"):
        losses_by_category(pairs, "topics")
    with pytest.raises(InputError, match="keeps no categories in 'group'"):
        losses_by_category(pairs)
