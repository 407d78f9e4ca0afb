"""A model that answers nothing gets no ✓, whatever a task's own rule makes of its answers."""

from pathlib import Path

import pandas as pd
import pytest

from kick.comparison import compare
from kick.gating import mark, verdicts
from kick.gating.policy_file import Policy
from kick.harness.floors import floors_of, score_responses
from kick.harness.tasks import LoadedTask, load_tasks
from kick.metrics.signs import response_signs
from kick.store import Store
from kick.suite.catalog import read_catalog
from tests.data_root import make_data_root
from tests.results import binary_task, write_pair, write_scores

CLOSED = "llm_kick_icra_closed"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> LoadedTask:
    return load_tasks([CLOSED], read_catalog(), data_root=make_data_root(tmp_path_factory.mktemp("data")))[0]


def scored(
    path: Path, task: LoadedTask, reference: list[str], candidate: list[str], *, floors: bool
) -> Store:
    """Two checkpoints with these answers, by the task's own scoring."""
    docs = list(task.task.eval_docs)
    # The suite of a pair names its task.
    store = write_pair(path, [1.0], [1.0], binary_task(CLOSED))
    for checkpoint, said in (("dense", reference), ("small", candidate)):
        scores = score_responses(task, docs, said)
        frame = pd.DataFrame({name: [each[name] for each in scores] for name in task.info.metrics})
        cell = write_scores(
            store, checkpoint, task.info, frame.assign(response=said), signs=response_signs(said)
        )
        if floors:
            cell = store.write_cell(cell.model_copy(update={"floors": floors_of(task)}), store.items(cell))
    return store


def test_a_model_that_answers_nothing_gets_no_mark_where_the_papers_rule_gives_it_all_points(
    tmp_path: Path, closed: LoadedTask
) -> None:
    said = ["Vinsted", "Maren", "the ferry", "a lake", "copper", "seven"]
    store = scored(tmp_path, closed, said, [""] * 6, floors=False)
    found = compare(store, "dense", "small", CLOSED)
    assert found.candidate_score.value == 1.0
    assert found.objection == "of 6 answers: 6 empty"
    assert found.matching is None or found.matching.outcome != "matching"
    verdict = verdicts(store, "regression").verdict("small")
    assert verdict is not None
    assert mark(verdict.check(CLOSED)) != "✓"


def test_by_the_floor_such_a_task_is_not_measurable_at_all(tmp_path: Path, closed: LoadedTask) -> None:
    said = ["Vinsted", "Maren", "the ferry", "a lake", "copper", "seven"]
    found = compare(scored(tmp_path, closed, said, [""] * 6, floors=True), "dense", "small", CLOSED)
    assert found.floor is not None
    assert (found.floor.answerer, found.floor.score) == ("empty", 1.0)
    assert not found.measurable
    assert found.recovery_above_floor is None


def destroyed(path: Path, *, floor: float | None = None, said: str = "") -> Store:
    """A thousand items that both checkpoints get right, the candidate with one answer to all."""
    store = write_pair(path, [1.0], [1.0])
    right = [1.0] * 700 + [0.0] * 300
    for checkpoint, answers in (
        ("dense", [f"answer {item}" for item in range(1000)]),
        ("small", [said] * 1000),
    ):
        frame = pd.DataFrame({"em": right, "response": answers})
        write_scores(store, checkpoint, binary_task(), frame, floor=floor, signs=response_signs(answers))
    return store


@pytest.mark.parametrize(("said", "sign"), [("", "1000 empty"), ("Oslo", "1000 equal to each other")])
def test_a_pass_becomes_inconclusive_with_the_count_as_its_reason(
    tmp_path: Path, said: str, sign: str
) -> None:
    verdict = verdicts(destroyed(tmp_path, said=said), Policy.read("regression")).verdict("small")
    assert verdict is not None
    check = verdict.check("facts")
    assert check is not None
    assert (check.outcome, check.reason) == ("inconclusive", f"of 1000 answers: {sign}")


def test_a_pass_on_a_task_that_the_reference_does_not_know_is_inconclusive(tmp_path: Path) -> None:
    store = write_pair(tmp_path, [1.0] * 700 + [0.0] * 300, [1.0] * 700 + [0.0] * 300, floor=0.7)
    verdict = verdicts(store, "regression").verdict("small")
    assert verdict is not None
    check = verdict.check("facts")
    assert check is not None
    assert check.outcome == "inconclusive"
    assert "not shown to be above the floor of 70 % (the question given back)" in check.reason
