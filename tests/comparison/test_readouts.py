from pathlib import Path

import pandas as pd
import pytest
import yaml

from kick.comparison.readouts import read_readouts
from kick.store import Store
from kick.types import TaskInfo
from tests.results import checkpoint_record, write_scores

OPEN = TaskInfo(
    name="kick_freebaseqa",
    kind="generation",
    family="factoid_qa",
    metric="contains",
    metrics=("contains", "gold_in_question"),
)
LIKELIHOOD = TaskInfo(
    name="kick_freebaseqa_likelihood",
    kind="choice",
    family="factoid_qa",
    metric="acc_norm",
    metrics=("acc_norm",),
    chance=0.25,
)
LETTER = TaskInfo(
    name="kick_mmlu", kind="choice", family="multiple_choice", metric="acc", metrics=("acc",), chance=0.25
)
GENERATED = TaskInfo(
    name="kick_mmlu_generated",
    kind="generation",
    family="multiple_choice",
    metric="acc",
    metrics=("acc", "format_failure"),
    chance=0.25,
)
N = 20


def results(path: Path, *tasks: TaskInfo) -> Store:
    """A reference and a checkpoint that lost the format: it fails where answers are generated."""
    suite = {"name": "readouts", "reference": "dense", "tasks": [task.name for task in tasks]}
    suite["checkpoints"] = [
        checkpoint_record(name).checkpoint.model_dump(mode="json") for name in ("dense", "rtn-3")
    ]
    store = Store.create(path, yaml.safe_dump(suite, sort_keys=False))
    for checkpoint in ("dense", "rtn-3"):
        for task in tasks:
            generated = task in (OPEN, GENERATED)
            right = [float(at % 2 == 0 and not (generated and checkpoint == "rtn-3")) for at in range(N)]
            frame = pd.DataFrame({task.metric: right})
            if task is OPEN:
                frame["gold_in_question"] = [float(at < 4) for at in range(N)]
            if task is GENERATED:
                frame["format_failure"] = 1.0 if checkpoint == "rtn-3" else 0.0
            write_scores(store, checkpoint, task, frame)
    return store


def test_named_items_stand_apart_in_every_readout_of_the_same_items(tmp_path: Path) -> None:
    found = read_readouts(results(tmp_path / "r", OPEN, LIKELIHOOD), ["dense", "rtn-3"])
    assert [(each.way, each.checkpoint) for each in found] == [
        ("open answer", "dense"),
        ("one of four, by likelihood", "dense"),
        ("open answer", "rtn-3"),
        ("one of four, by likelihood", "rtn-3"),
    ]
    for each in found:
        assert each.named is not None
        assert each.others is not None
        assert (each.named.n, each.others.n, each.score.n) == (4, 16, 20)
    assert found[1].score.value == pytest.approx(0.5)


def test_format_failures_are_counted_apart(tmp_path: Path) -> None:
    found = read_readouts(results(tmp_path / "r", LETTER, GENERATED), ["dense", "rtn-3"])
    failures = {(e.way, e.checkpoint): e.format_failures.value for e in found if e.format_failures}
    assert failures == {("letter, generated", "dense"): 0.0, ("letter, generated", "rtn-3"): 1.0}
    assert all(each.named is None for each in found)


def test_what_was_read_in_one_way_only_is_no_comparison_of_readouts(tmp_path: Path) -> None:
    assert read_readouts(results(tmp_path / "r", OPEN), ["dense", "rtn-3"]) == ()
