import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from kick.types import GateResult, Verdict
from tests.cli.conftest import TASKS
from tests.execution.test_lm_eval_import import write_run
from tests.results import make_results, write_scores


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
    fields = {name: document[name] for name in ("policy", "reference", "alpha")}
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
