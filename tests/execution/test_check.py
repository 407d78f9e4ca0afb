"""`kick.check`: two models become a verdict from few items, in a folder from which the same call goes on."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

import kick
from kick.compression import make
from kick.errors import InputError
from kick.execution import check_models
from kick.execution.check_session import CheckResult, Look, TaskState
from kick.execution.check_tasks import BASE_TASKS, INSTRUCT_TASKS, default_tasks
from kick.execution.runner import run
from kick.gating import gate
from kick.store import Store
from kick.store.verification import inspect
from kick.suite import Suite
from kick.suite.catalog import read_catalog
from kick.types import Checkpoint, GateResult, Recipe

DENSE = Path(kick.__file__).parent / "world" / "models" / "kick-tiny-4m"
HEAD, TAIL = "kick_world_factoid_head", "kick_world_factoid_tail"
RECIPES = {
    "broken": Recipe(method="magnitude", sparsity=0.7),
    "light": Recipe(method="magnitude", sparsity=0.1),
    "rtn-8": Recipe(method="rtn", bits=8, group_size=128),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with compressed versions of the world's larger model, and a copy of it."""
    folder = tmp_path_factory.mktemp("models")
    for name, recipe in RECIPES.items():
        make(recipe, DENSE, folder / name)
    shutil.copytree(DENSE, folder / "copy")
    return folder


@pytest.fixture(scope="module")
def passed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CheckResult, Store]:
    """An 8-bit candidate that was checked to the end on one task."""
    folder = tmp_path_factory.mktemp("passed") / "r"
    return kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=folder), Store(folder)


def rows(store: Store) -> Counter[tuple[str, int]]:
    """How often each request of each checkpoint was answered."""
    answered: Counter[tuple[str, int]] = Counter()
    for path in (store.root / "journal").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            answered.update((path.name, row) for row in json.loads(line)["rows"])
    return answered


def same_answer(one: GateResult, other: GateResult) -> bool:
    return (one.verdicts, one.outcome, one.exit_code) == (other.verdicts, other.outcome, other.exit_code)


def test_a_broken_model_is_a_regression_after_the_first_block(models: Path, tmp_path: Path) -> None:
    looks: list[Look] = []
    result = kick.check(
        DENSE, [models / "broken"], tasks=[HEAD, TAIL], results=tmp_path / "r", watch=looks.append
    )
    assert (result.outcome, result.exit_code) == ("regression", 1)
    assert result.items == 32
    assert result.items < 0.05 * result.available
    assert looks[0].doing
    assert [task.limit for task in looks[-1].tasks] == [32, 0]
    assert result.verdicts[0].unscored == (TAIL,)


def test_a_lossless_candidate_passes_before_everything_is_scored(
    passed: tuple[CheckResult, Store],
) -> None:
    result, store = passed
    assert result.exit_code == 0
    assert 100 <= result.items < result.available
    assert result.next_command is None
    assert inspect(store) == []


def test_no_item_is_answered_twice(passed: tuple[CheckResult, Store]) -> None:
    result, store = passed
    answered = rows(store)
    assert set(answered.values()) == {1}
    assert len(answered) == 2 * result.items


def test_the_sequential_gate_gives_the_verdict_of_the_check(passed: tuple[CheckResult, Store]) -> None:
    result, store = passed
    assert same_answer(gate(store, "regression", sequential=True), result)


def test_the_folder_is_an_ordinary_one_from_which_a_run_goes_on(
    passed: tuple[CheckResult, Store], tmp_path: Path
) -> None:
    result, store = passed
    copy = shutil.copytree(store.root, tmp_path / "r")
    suite = Suite.read(copy / "suite.yaml")
    assert suite.limit == result.items
    assert run(suite, copy).scored == 0
    assert gate(Store(copy)).verdicts[0].checks[0].candidate_score.n == result.items


def test_a_check_that_is_repeated_scores_nothing_and_says_the_same(
    models: Path, passed: tuple[CheckResult, Store], tmp_path: Path
) -> None:
    result, store = passed
    copy = Path(shutil.copytree(store.root, tmp_path / "r"))
    again = kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=copy)
    assert same_answer(again, result)
    assert (copy / "suite.yaml").read_bytes() == (store.root / "suite.yaml").read_bytes()
    assert rows(Store(copy)) == rows(store)


def test_the_items_are_those_of_a_run_with_that_limit(
    passed: tuple[CheckResult, Store], tmp_path: Path
) -> None:
    _, store = passed
    suite = Suite.read(store.root / "suite.yaml")
    whole = run(suite, tmp_path / "whole").store
    for checkpoint in ("kick-tiny-4m", "rtn-8"):
        one, other = store.cell(checkpoint, HEAD), whole.cell(checkpoint, HEAD)
        assert one is not None
        assert other is not None
        assert one.key == other.key
        pd.testing.assert_frame_equal(store.items(one), whole.items(other))


def test_a_copy_of_the_dense_model_passes_at_once(models: Path, tmp_path: Path) -> None:
    result = kick.check(DENSE, models / "copy", results=tmp_path / "r")
    assert (result.exit_code, result.items) == (0, 0)
    assert result.verdicts[0].identical
    assert not (tmp_path / "r" / "cells").exists()
    assert same_answer(gate(Store(tmp_path / "r"), sequential=True), result)


def test_an_instruct_model_is_asked_other_tasks_than_a_base_model(tmp_path: Path) -> None:
    base = Checkpoint(id="dense", model=str(DENSE))
    assert default_tasks(base) == BASE_TASKS
    folder = Path(shutil.copytree(DENSE, tmp_path / "instruct"))
    (folder / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message.content }}{% endfor %}"
    )
    assert default_tasks(base.model_copy(update={"model": str(folder)})) == INSTRUCT_TASKS
    known = read_catalog().tasks
    assert set(BASE_TASKS) | set(INSTRUCT_TASKS) <= set(known)
    assert {known[task].info.family for task in BASE_TASKS} == {
        known[task].info.family for task in INSTRUCT_TASKS
    }


@pytest.mark.parametrize(("chat", "asked"), [("auto", True), ("off", False)])
def test_a_chat_model_is_asked_by_its_template_unless_that_is_switched_off(
    models: Path, tmp_path: Path, chat: str, asked: bool
) -> None:
    pair = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in (DENSE, models / "rtn-8")]
    for folder in pair:
        (folder / "chat_template.jinja").write_text(
            "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }}{% endfor %}"
        )
    kick.check(*pair, tasks=[HEAD], results=tmp_path / "r", budget="40 items", chat=chat)
    cell = Store(tmp_path / "r").cell(DENSE.name, HEAD)
    assert cell is not None
    prompts = Store(tmp_path / "r").items(cell)["prompt"]
    assert prompts.str.contains("[user] ", regex=False).all() == asked
    assert (cell.identity.plan.chat is not None) == asked


def test_a_choice_task_shows_the_probability_of_the_right_answers(models: Path, tmp_path: Path) -> None:
    result = kick.check(
        DENSE, models / "rtn-8", tasks=["kick_world_choice"], results=tmp_path / "r", budget="40 items"
    )
    (check,) = result.verdicts[0].checks
    warning = check.early_warning
    assert warning is not None
    assert 0.8 < warning.reference < 1
    assert abs(warning.loss) < 0.01
    assert not warning.warns
    assert (check.outcome, result.exit_code) == ("inconclusive", 3)


@pytest.mark.slow
def test_a_verdict_on_a_slightly_pruned_model_is_right_for_the_full_run(models: Path, tmp_path: Path) -> None:
    result = kick.check(DENSE, models / "light", tasks=[TAIL], results=tmp_path / "r")
    suite = Suite.read(tmp_path / "r" / "suite.yaml")
    store = run(suite.model_copy(update={"limit": None}), tmp_path / "full").store
    scores = [store.cell(checkpoint, TAIL) for checkpoint in ("kick-tiny-4m", "light")]
    dense, light = (cell.scores["contains"] for cell in scores if cell)
    loss = 1 - light / dense
    assert loss < 0.05 if result.outcome == "pass" else loss > 0.025


def test_a_budget_that_ends_first_is_inconclusive_and_names_the_command_that_goes_on(
    models: Path, passed: tuple[CheckResult, Store], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    result = kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=folder, budget="50 items")
    assert (result.exit_code, result.items, result.budget_ended) == (3, 50, True)
    assert result.next_command is not None
    assert result.next_command.startswith("kick check ")
    assert result.next_command.endswith("--budget '100 items'")
    assert "more items would decide" in result.verdicts[0].checks[0].reason
    later = kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=folder)
    assert later.exit_code == 0
    assert set(rows(Store(folder)).values()) == {1}
    assert later.verdicts[0].outcome == passed[0].verdicts[0].outcome


def test_a_budget_of_no_time_scores_nothing(models: Path, tmp_path: Path) -> None:
    result = kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=tmp_path / "r", budget="0.001s")
    assert (result.exit_code, result.items) == (3, 0)
    assert result.verdicts[0].unscored == (HEAD,)


def test_several_candidates_are_scored_on_the_same_items(models: Path, tmp_path: Path) -> None:
    result = kick.check(
        DENSE, [models / "rtn-8", models / "broken", models / "copy"], tasks=[HEAD], results=tmp_path / "r"
    )
    outcomes = {verdict.candidate: verdict.outcome for verdict in result.verdicts}
    assert outcomes == {"rtn-8": "pass", "broken": "regression", "copy": "pass"}
    assert result.exit_code == 1


def test_models_that_do_not_fit_together_take_turns(
    models: Path, passed: tuple[CheckResult, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_models, "free_memory", lambda _device: 0.0)
    result = kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=tmp_path / "r")
    assert result.verdicts == passed[0].verdicts
    assert set(rows(Store(tmp_path / "r")).values()) == {1}


def test_a_second_check_on_one_folder_is_refused(models: Path, passed: tuple[CheckResult, Store]) -> None:
    _, store = passed
    before = (store.root / "suite.yaml").read_bytes()
    with store.lock("rtn-8"), pytest.raises(InputError, match="another run is scoring 'rtn-8'"):
        kick.check(DENSE, models / "rtn-8", tasks=[TAIL], results=store.root)
    assert (store.root / "suite.yaml").read_bytes() == before


def test_a_folder_of_other_models_is_refused(models: Path, passed: tuple[CheckResult, Store]) -> None:
    with pytest.raises(InputError, match="results of other models"):
        kick.check(DENSE, models / "light", tasks=[HEAD], results=passed[1].root)


def test_mistakes_are_named_before_anything_is_scored(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    with pytest.raises(InputError, match="is not a budget"):
        kick.check(DENSE, models / "rtn-8", results=folder, budget="soon")
    with pytest.raises(InputError, match="there is no task 'nonsense'"):
        kick.check(DENSE, models / "rtn-8", tasks=["nonsense"], results=folder)
    with pytest.raises(InputError, match="there is no policy file"):
        kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=folder, policy="nonsense")
    with pytest.raises(InputError, match="there is no candidate"):
        kick.check(DENSE, [], tasks=[HEAD], results=folder)
    assert not folder.exists()


@pytest.mark.slow
def test_a_check_that_is_killed_goes_on_to_the_numbers_of_one_that_is_not(
    models: Path, passed: tuple[CheckResult, Store], tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    command = [sys.executable, "-m", "kick", "check", str(DENSE), str(models / "rtn-8"), "--tasks", HEAD]
    process = subprocess.Popen([*command, "--results", str(folder)], stderr=subprocess.DEVNULL)
    # Between the second block of the reference and the verdict.
    while len(list(folder.glob(f"cells/kick-tiny-4m/{HEAD}/*/cell.json"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    result = kick.check(DENSE, models / "rtn-8", tasks=[HEAD], results=folder)
    killed, (unbroken, store) = Store(folder), passed
    assert result.verdicts == unbroken.verdicts
    for checkpoint in ("kick-tiny-4m", "rtn-8"):
        one, other = store.cell(checkpoint, HEAD), killed.cell(checkpoint, HEAD)
        assert one is not None
        assert other is not None
        assert one.key == other.key
        pd.testing.assert_frame_equal(store.items(one), killed.items(other))


@pytest.mark.slow
def test_a_task_that_the_dense_model_cannot_do_is_set_aside(tmp_path: Path) -> None:
    small = DENSE.with_name("kick-tiny-1m")
    make(RECIPES["rtn-8"], small, tmp_path / "rtn-8")
    task = "kick_world_multihop"
    result = kick.check(small, tmp_path / "rtn-8", tasks=[task], results=tmp_path / "r")
    assert (result.exit_code, result.items, result.budget_ended) == (3, 512, False)
    assert "not shown to be above chance" in result.verdicts[0].checks[0].reason


def test_blocks_double_and_a_small_remainder_is_not_left() -> None:
    state, limits = TaskState("task", available=1000), []
    while state.limit < state.available:
        state.limit = state.next_limit()
        limits.append(state.limit)
    assert limits == [32, 64, 128, 256, 512, 1000]
    assert TaskState("task", available=1200, limit=512).next_limit() == 1200
    assert TaskState("task", available=20).next_limit() == 20


def test_a_block_ends_where_a_task_is_expected_to_be_decided() -> None:
    state = TaskState("task", available=10_000, limit=128)
    assert state.next_limit(needed=137) == 160
    assert state.next_limit(needed=200) == 221
    assert state.next_limit(needed=5_000) == 256
    assert state.next_limit(needed=None) == 256
