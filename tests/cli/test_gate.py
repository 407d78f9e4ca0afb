import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from kick.cli import main
from kick.types import GateResult, Verdict
from tests.comparison.test_lm_eval_samples import write_run
from tests.results import PERPLEXITY, make_results, write_scores

TASKS = ["kick_freebaseqa", PERPLEXITY.name]
DAMAGE = {"dense": 0.0, "rtn-8": 0.0, "rtn-3": 0.4}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gate") / "results"
    make_results(path, items=600, windows=20, tasks=TASKS, damage=DAMAGE)
    return path


@pytest.fixture
def kick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line; returns its exit code."""

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["kick", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    return run


def test_exit_code_0_is_a_pass(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("gate", results, "--candidate", "rtn-8") == 0
    assert "Pass" in capsys.readouterr().out


def test_exit_code_1_is_a_regression(results: Path, kick: Callable[..., int], tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    assert kick("gate", results, "--junit", junit) == 1
    root = ElementTree.parse(junit).getroot()
    assert [len(suite.findall("testcase/failure")) for suite in root.iter("testsuite")] == [0, 2]


def test_exit_code_2_is_bad_input(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert kick("gate", tmp_path) == 2
    assert kick("gate", results, "--policy", "nonsense") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "is not a results folder" in printed.err
    assert "there is no policy file 'nonsense'" in printed.err


def test_exit_code_3_is_too_few_items(kick: Callable[..., int], tmp_path: Path) -> None:
    make_results(tmp_path / "few", items=60, tasks=TASKS[:1], damage={"dense": 0, "rtn-8": 0})
    assert kick("gate", tmp_path / "few") == 3


def test_json_is_one_document_that_holds_the_exit_code(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    code = kick("gate", results, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code == 1
    assert [verdict["outcome"] for verdict in document["verdicts"]] == ["pass", "regression"]
    fields = {name: document[name] for name in ("policy", "reference")}
    verdicts = tuple(
        Verdict.model_validate({name: verdict[name] for name in ("candidate", "checks")})
        for verdict in document["verdicts"]
    )
    assert GateResult(**fields, verdicts=verdicts).exit_code == code


def test_an_infinite_perplexity_is_still_json(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = make_results(tmp_path / "r", windows=9, tasks=TASKS[1:], damage={"dense": 0, "rtn-3": 0.4})
    cell = store.cell("rtn-3", TASKS[1])
    assert cell is not None
    write_scores(store, "rtn-3", cell.task, store.items(cell).assign(nll=np.inf))

    def no_such_number(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    for command, *ids in (("gate",), ("compare", "dense", "rtn-3")):
        kick(command, tmp_path / "r", *ids, "--json")
        json.loads(capsys.readouterr().out, parse_constant=no_such_number)
    assert kick("power", tmp_path / "r") == 2
    assert "a perplexity that is not finite" in capsys.readouterr().err


def test_the_step_summary_is_appended(
    results: Path, kick: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    kick("gate", results, "--candidate", "rtn-8")
    assert summary.read_text().startswith("before\n## kick gate: Pass")


def test_lm_evals_own_output_is_gated(kick: Callable[..., int], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    right = (generator.random(500) < 0.7).astype(float)
    lost = np.where(generator.random(500) < 0.3, 0.0, right)
    dense = write_run(tmp_path / "dense", "dense", right.tolist())
    same = write_run(tmp_path / "same", "same", right.tolist())
    small = write_run(tmp_path / "small", "small", lost.tolist())
    assert kick("gate", dense, same) == 0
    assert kick("gate", dense, small) == 1
    assert kick("gate", dense, tmp_path / "nowhere") == 2


def test_compare_prints_flips_and_writes_them(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    parquet = tmp_path / "items.parquet"
    assert kick("compare", results, "dense", "rtn-3", "--items", "--parquet", parquet) == 0
    assert "rtn-3 against dense" in capsys.readouterr().out
    changed = pd.read_parquet(parquet)
    assert {"lost", "other wrong"} <= set(changed["change"])
    assert kick("compare", results, "dense", "rtn-3", "--task", TASKS[0], "--items", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (comparison,) = document["comparisons"]
    assert (
        len([item for item in document["items"] if item["change"] == "lost"]) == comparison["flips"]["lost"]
    )
    assert comparison["delta_bootstrap"]["low"] < comparison["delta"]["value"]


def test_compare_shows_what_replicates_have_in_common(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    damage = {"dense": 0, "w4-seed1": 0.1, "w4-seed2": 0.2}
    make_results(tmp_path / "r", items=100, tasks=["kick_mmlu"], damage=damage)
    code = kick(
        "compare", tmp_path / "r", "dense", "w4-seed1", "--replicate", "w4-seed2", "--by", "group", "--json"
    )
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["replicates"][0]["candidates"] == ["w4-seed1", "w4-seed2"]
    assert document["categories"]["kick_mmlu"][0]["delta"]["value"] < 0


def test_power_says_how_many_items_decide(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("power", results, "--candidate", "rtn-8", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["task"] for row in rows] == TASKS
    assert rows[0]["items_to_match"] > 10
    assert kick("power", results) == 0
    assert kick("power", results, "--margin", "5") == 2
