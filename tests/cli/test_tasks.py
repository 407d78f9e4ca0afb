import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_root import make_data_root
from tests.harness.test_checks import write_task

Kick = Callable[..., int]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    return make_data_root(tmp_path / "data")


def test_tasks_are_listed_with_their_sizes(kick: Kick, capsys: pytest.CaptureFixture[str]) -> None:
    assert kick("tasks", "ls", "--json") == 0
    listed = {task["name"]: task for task in json.loads(capsys.readouterr().out)}
    assert listed["kick_mmlu"]["items"] == 14042
    assert listed["kick_cnn_dailymail_long"]["items"] is None
    assert kick("tasks") == 0
    assert "14,042" in capsys.readouterr().out


def test_fit_tasks_pass_and_items_that_do_not_fit_are_listed(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path, tiny_llama: Path
) -> None:
    arguments = ["tasks", "check", "kick_webquestions", "kick_hotpotqa", "--data-root", data_root]
    assert kick(*arguments, "--model", tiny_llama, "--json") == 0
    checks = {check["task"]: check for check in json.loads(capsys.readouterr().out)["tasks"]}
    assert checks["kick_webquestions"]["failures"] == []
    assert checks["kick_webquestions"]["skipped"] == []
    assert checks["kick_hotpotqa"]["answer_in_prompt"] is True


def test_check_tells_what_answerers_without_knowledge_score(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path
) -> None:
    assert kick("tasks", "check", "kick_squad", "--data-root", data_root, "--json") == 0
    floors = json.loads(capsys.readouterr().out)["tasks"][0]["floors"]
    assert {"empty", "the question given back", "the most frequent answer"} <= {
        floor["answerer"] for floor in floors["floors"]
    }
    assert kick("tasks", "check", "kick_squad", "--data-root", data_root) == 0
    assert "kick_squad: floors (contains): empty 0.0 %" in capsys.readouterr().out


def test_show_renders_an_item_with_its_tokens_gold_and_floors(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path, tiny_llama: Path
) -> None:
    arguments = ["tasks", "show", "kick_squad", "--data-root", data_root, "--item", "1"]
    assert kick(*arguments, "--model", tiny_llama) == 0
    printed = capsys.readouterr().out
    assert "# kick_squad: item 1 of 6" in printed
    assert "--- prompt ---\nThe ferry to Vinsted" in printed
    assert "--- gold ---\nMaren Holt" in printed
    assert "tokens ---" in printed
    assert "0.0 %  empty" in printed
    assert kick(*arguments, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["item"]["target"], shown["tokens"]) == ("Maren Holt", None)


def test_show_names_the_choices_of_a_likelihood_task(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path
) -> None:
    assert kick("tasks", "show", "kick_mmlu_text", "--data-root", data_root) == 0
    assert "--- choices ---\n' 3'\n' 1'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "kick_squad", "--item", "99"], "--item 99: kick_squad has the items 0 to 5"),
        (["show", "kick_readouts", "--item", "0"], "kick_readouts is a group. Name one of kick_mmlu"),
        (["check", "kick_squad", "--item", "0"], "--item is an option of `kick tasks show`"),
        (["ls"], "--data-root and --model are options of"),
    ],
)
def test_what_cannot_be_shown_is_bad_input(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path, arguments: list[str], message: str
) -> None:
    assert kick("tasks", *arguments, "--data-root", data_root) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_unfit_task_is_exit_code_1(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path, tmp_path: Path
) -> None:
    folder = write_task(tmp_path / "tasks", "leaky", "{{question}} ({{answers[0]}})")
    assert kick("tasks", "check", "leaky", "--include", folder, "--data-root", data_root) == 1
    printed = capsys.readouterr().out
    assert "UNFIT" in printed
    assert "leaky: reference in prompt: item 0: 'copper' is in the prompt" in printed


def test_a_task_without_data_cannot_be_judged(
    kick: Kick, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert kick("tasks", "check", "kick_squad", "--data-root", tmp_path) == 3
    assert "kick_squad: not checked:" in capsys.readouterr().out


def test_a_name_that_is_no_task_is_bad_input(kick: Kick, capsys: pytest.CaptureFixture[str]) -> None:
    assert kick("tasks", "check", "kick_squat") == 2
    assert "Did you mean 'kick_squad'?" in capsys.readouterr().err


def test_a_run_stops_before_scoring_where_a_prompt_tells_the_answer(
    kick: Kick, capsys: pytest.CaptureFixture[str], data_root: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = write_task(tmp_path / "tasks", "leaky", "{{question}} ({{answers[0]}})")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"name: leaky\nreference: dense\ncheckpoints: [{{id: dense, model: {tiny_llama}}}]\n"
        f"tasks: [leaky]\ninclude_path: [{folder}]\n"
    )
    assert kick("run", suite, "--data-root", data_root, "--results", tmp_path / "out") == 2
    assert "leaky: its scores would be wrong" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("cell.json"))
