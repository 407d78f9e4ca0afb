"""`kick check` on the command line, and the action that runs it: the exit code is the answer."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

import kick as package
from kick.compression import make
from kick.types import Recipe

ROOT = Path(__file__).parents[2]
DENSE = Path(package.__file__).parent / "world" / "models" / "kick-tiny-4m"
TASK = "kick_world_factoid_head"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "broken"
    make(Recipe(method="magnitude", sparsity=0.7), DENSE, folder)
    return folder


def test_a_regression_is_printed_written_and_returned(
    broken: Path,
    kick: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary, junit, results = tmp_path / "summary.md", tmp_path / "junit.xml", tmp_path / "r"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert kick("check", DENSE, broken, "--tasks", TASK, "--results", results, "--junit", junit) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(
        "Regression: policy regression, reference kick-tiny-4m\n  ✗ broken: regression"
    )
    # First what is scored at what margin, then how long it may take, then the state after each block.
    said = printed.err
    assert f"broken against kick-tiny-4m, in blocks from 32 items on: {TASK} (450 items)" in said
    assert "a pass shows that less than 5 % is lost, a regression that more than 2.5 % is" in said
    assert re.search(rf"{TASK}  32 of 450  broken  .* lost \[.*\]  ✗ regression", said)
    assert "32 of 450 items (7.1 %)" in said
    assert summary.read_text().startswith("## kick gate: Regression")
    assert len(ElementTree.parse(junit).findall(".//failure")) == 1
    assert kick("gate", results, "--sequential") == 1
    capsys.readouterr()
    assert kick("check", DENSE, broken, "--tasks", TASK, "--results", results, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["exit_code"], document["items"]) == ("regression", 1, 32)


def test_a_budget_that_ends_first_is_exit_code_3_with_the_next_command(
    broken: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    light = tmp_path / "light"
    make(Recipe(method="rtn", bits=8, group_size=128), DENSE, light)
    options = ["--tasks", TASK, "--results", tmp_path / "r", "--budget", "40 items"]
    assert kick("check", DENSE, light, *options) == 3
    printed = capsys.readouterr()
    assert "at least if nothing is lost" in printed.err
    assert printed.out.splitlines()[-1].endswith("--budget '80 items'")


def test_mistakes_are_exit_code_2(
    broken: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert kick("check", DENSE, tmp_path / "nowhere") == 2
    assert kick("check", DENSE, broken, "--budget", "soon") == 2
    assert kick("check", DENSE, broken, "--device", "tpu") == 2
    assert kick("gate", tmp_path, tmp_path, "--sequential") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "'soon' is not a budget" in printed.err


def steps() -> list[dict[str, object]]:
    """The shell steps of the action, in order."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    return [step for step in action["runs"]["steps"] if "run" in step]


def inputs(given: dict[str, str]) -> dict[str, str]:
    """The values of the action's inputs, with its defaults."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    missing = [
        name for name, entry in action["inputs"].items() if entry.get("required") and name not in given
    ]
    assert not missing
    return {name: given.get(name, entry.get("default", "")) for name, entry in action["inputs"].items()}


def run_step(step: dict[str, object], given: dict[str, str], folder: Path, path: str, **more: str) -> int:
    """Run one step as GitHub does: bash -e, the inputs filled in, the files of the job beside it."""
    values = inputs(given)
    written = step.get("env") or {}
    assert isinstance(written, dict)
    env = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: values[match[1]], str(value))
        for name, value in written.items()
    }
    assert "${{" not in str(step["run"])
    job = {
        "PATH": path,
        "HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        **more,
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", str(step["run"])]
    return subprocess.run(command, env={**job, **env}, cwd=folder, check=False).returncode


@pytest.mark.slow
def test_the_action_installs_kick_and_ends_red_or_green(broken: Path, tmp_path: Path) -> None:
    install, check = steps()
    site = tmp_path / "site"
    # What kick needs is there; kick itself comes from the action's own source, into a folder of its own.
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        # pip reads the variable as the value of `build_isolation`: 0 turns the isolation off.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_TARGET": str(site),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, module in (("pip", "pip"), ("kick", "kick")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m {module} "$@"\n')
        tool.chmod(0o755)
    path = f"{tools}:{os.defpath}"
    given = {"dense": str(DENSE), "candidate": f"{broken}\n", "tasks": TASK, "budget": "200 items"}
    assert run_step(install, given, tmp_path, path, **offline) == 0
    assert (site / "kick" / "_tasks").is_dir()
    assert run_step(check, given, tmp_path, path, PYTHONPATH=str(site)) == 1
    assert (tmp_path / "summary.md").read_text().startswith("## kick gate: Regression")
    assert (tmp_path / "output").read_text() == "results=kick-results\n"
    assert (tmp_path / "kick.xml").is_file()
    green = tmp_path / "green"
    green.mkdir()
    shutil.copytree(DENSE, green / "copy")
    given["candidate"] = str(green / "copy")
    assert run_step(check, given, green, path, PYTHONPATH=str(site)) == 0
