"""The command line as a user meets it: quick help, one message for bad input, one JSON document on stdout."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.data_root import make_data_root

Kick = Callable[..., int]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _kick(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from kick.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_imports_neither_torch_nor_transformers_nor_pandas() -> None:
    code = (
        "import sys; from kick.cli import app; from typer.testing import CliRunner;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "print([m for m in ('torch', 'transformers', 'pandas', 'lm_eval', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert _kick("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Seconds of a processor: 0.25 on an idle machine, and more where caches are shared.
    assert min(times) < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "there is no suite file 'nowhere.yaml'"),
        (["run"], "give a suite file, or --reference"),
        (["run", "a.yaml", "--device", "tpu"], "'tpu' is not a device"),
        (["run", "a.yaml", "--data-root", "nowhere"], "--data-root: nowhere is not a folder"),
        (
            ["run", "--reference", "nowhere", "--candidate", "x", "--tasks", "kick_squad"],
            "nowhere is not a folder",
        ),
        (["report", "nowhere"], "nowhere is not a results folder"),
        (["verify", "nowhere"], "nowhere is not a results folder"),
        (["compare", "nowhere", "a", "b"], "nowhere is not a results folder"),
        (["tasks", "show", "kick_squat"], "Did you mean 'kick_squad'?"),
        (["describe", "nowhere"], "nowhere"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_message_and_exit_code_2(
    kick: Kick, capsys: pytest.CaptureFixture[str], here: Path, arguments: list[str], message: str
) -> None:
    assert kick(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_inside_kick_is_one_line_and_no_verdict(
    debug: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module that raises when the command imports it stands for any mistake in kick.
    broken = "import sys; sys.modules['kick.store'] = None; from kick.cli import main; main()"
    if debug:
        monkeypatch.setenv("KICK_DEBUG", "1")
    command = [sys.executable, "-c", broken, "verify", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 70
    message = done.stderr.splitlines()[-1]
    assert message.startswith("internal error: ModuleNotFoundError: ")
    assert "no verdict" in message
    assert "report it" in message
    assert ("Traceback" in done.stderr) is debug
    assert done.stdout == ""


def test_a_message_cannot_control_the_terminal(tmp_path: Path) -> None:
    done = _kick("verify", "no\x1b[31mwhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "no\\u001b[31mwhere is not a results folder" in done.stderr


def test_ctrl_c_says_how_to_go_on(tiny_llama: Path, tmp_path: Path) -> None:
    arguments = ["run", "--reference", tiny_llama, "--candidate", tiny_llama, "--tasks", "kick_squad"]
    command = [sys.executable, "-c", "from kick.cli import main; main()", *map(str, arguments)]
    data_root = make_data_root(tmp_path / "data")
    command += ["--data-root", str(data_root)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    assert process.stderr is not None
    assert "checkpoints x" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors


def test_results_that_cannot_be_written_are_one_message(
    kick: Kick, capsys: pytest.CaptureFixture[str], here: Path, tiny_llama: Path
) -> None:
    (here / "file").write_text("")
    arguments = ["run", "--reference", tiny_llama, "--candidate", tiny_llama, "--tasks", "kick_squad"]
    data_root = make_data_root(here / "data")
    assert kick(*arguments, "--data-root", data_root, "--results", "file/below") == 2
    assert "error: file/below" in capsys.readouterr().err


def test_tasks_are_listed_with_their_families(kick: Kick, capsys: pytest.CaptureFixture[str]) -> None:
    assert kick("tasks", "--json") == 0
    listed = {task["name"]: task for task in json.loads(capsys.readouterr().out)}
    assert listed["kick_mmlu"]["family"] == "multiple_choice"
    assert listed["kick_mmlu"]["chance"] == 0.25
    assert kick("tasks") == 0
    assert "kick_squad" in capsys.readouterr().out


def test_a_suite_runs_reports_and_verifies_from_the_command_line(
    kick: Kick, capsys: pytest.CaptureFixture[str], here: Path, tiny_llama: Path
) -> None:
    suite = {
        "name": "test",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(tiny_llama)}],
        "series": [{"from": "dense", "method": "rtn", "bits": [8, 2], "group_size": 16}],
        "tasks": ["kick_mmlu", "kick_squad"],
        "limit": 3,
        "noise_floor": False,
    }
    (here / "suite.yaml").write_text(yaml.safe_dump(suite))
    data_root = make_data_root(here / "data")
    run = ["run", "suite.yaml", "--data-root", data_root, "--cache", "cache", "--results", "out", "--json"]

    done = _kick(*run, cwd=here)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [printed[key] for key in ("results", "scored", "reused")] == ["out", 6, 0]
    assert len(printed["scores"]) == 6
    assert {line["score"]["n"] for line in printed["scores"]} == {3}
    assert "[6/6] rtn-2" in done.stderr

    assert kick(*run) == 0
    assert json.loads(capsys.readouterr().out) == {**printed, "scored": 0, "reused": 6}

    cells = sorted(path.parent.name for path in (here / "out" / "cells").rglob("cell.json"))
    assert kick("report", "out", "--out", "report") == 0
    assert "rtn-2" in (here / "report" / "report.md").read_text()
    assert cells == sorted(path.parent.name for path in (here / "out" / "cells").rglob("cell.json"))
    capsys.readouterr()

    assert kick("verify", "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "results": "out",
        "cells": 6,
        "problems": [],
        "notes": [],
        "moved": [],
        "signed_by": None,
    }
    items = next((here / "out").rglob("items.parquet"))
    items.write_bytes(items.read_bytes()[:-1] + b"?")
    assert kick("verify", "out") == 1
    assert str(items.relative_to(here)) in capsys.readouterr().out


def test_a_run_of_some_tasks_is_not_enough_for_a_gate(
    kick: Kick, capsys: pytest.CaptureFixture[str], here: Path, tiny_llama: Path
) -> None:
    suite = {
        "name": "test",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(tiny_llama)}],
        "series": [{"from": "dense", "method": "rtn", "bits": [8], "group_size": 16}],
        "tasks": ["kick_squad"],
        "perplexity": {"datasets": ["wikitext2"], "window": 16, "windows": 2},
        "limit": 2,
    }
    (here / "suite.yaml").write_text(yaml.safe_dump(suite))
    data_root = make_data_root(here / "data")
    run = ["run", "suite.yaml", "--data-root", data_root, "--cache", "cache", "--results", "out"]
    assert kick(*run, "--tasks", "kick_squad") == 0
    capsys.readouterr()
    assert kick("gate", "out") == 2
    printed = capsys.readouterr()
    assert "task 'perplexity_wikitext2' of 'dense' is missing" in printed.err
    assert printed.out == ""


def test_two_models_are_compared_without_a_suite_file(
    kick: Kick, capsys: pytest.CaptureFixture[str], here: Path, tiny_llama: Path
) -> None:
    data_root = make_data_root(here / "data")
    arguments = [
        "run",
        "--reference",
        tiny_llama,
        "--candidate",
        tiny_llama,
        "--tasks",
        "kick_squad",
        "--limit",
        2,
    ]
    assert kick(*arguments, "--data-root", data_root, "--results", "out") == 0
    printed = capsys.readouterr().out
    # One line per checkpoint, with its score.
    assert sum(line.split()[1:3] == ["kick_squad", "contains"] for line in printed.splitlines()) == 2
    # One batch each: other batches could not differ, so there is no noise floor.
    assert "2 cells scored" in printed
