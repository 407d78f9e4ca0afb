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


def test_a_line_per_candidate_comes_first_and_details_are_of_what_does_not_pass(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    kick("gate", results)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Regression: policy regression, reference dense"
    assert lines[1].startswith("  ✓ rtn-8: pass; 2 of 2 checks pass")
    assert lines[2].startswith("  ✗ rtn-3: regression; perplexity_wikitext2 ")
    assert "rtn-3 against dense" in lines
    assert "rtn-8 against dense" not in lines
    kick("gate", results, "-v")
    assert "rtn-8 against dense" in capsys.readouterr().out


def test_an_inconclusive_answer_names_the_next_command(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_results(tmp_path / "few", items=60, tasks=TASKS[:1], damage={"dense": 0, "rtn-8": 0.03})
    assert kick("gate", tmp_path / "few") == 3
    printed = capsys.readouterr().out
    command = printed.splitlines()[-1].split()
    assert command[:2] == ["kick", "run"]
    assert command[2:6] == [
        str(tmp_path / "few" / "suite.yaml"),
        "--results",
        str(tmp_path / "few"),
        "--tasks",
    ]
    assert command[6] == TASKS[0]
    assert int(command[8]) > 60


def test_what_is_missing_is_named_and_is_no_verdict(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = make_results(tmp_path / "r", items=300, windows=20, tasks=TASKS, damage={"dense": 0, "rtn-8": 0})
    for checkpoint in ("dense", "rtn-8"):
        record = store.checkpoint(checkpoint)
        assert record is not None
        store.write_checkpoint(record.model_copy(update={"cells": {TASKS[0]: record.cells[TASKS[0]]}}))
    assert kick("gate", tmp_path / "r") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"task '{TASKS[1]}' of 'dense' is missing" in printed.err


def test_control_characters_reach_neither_the_terminal_nor_the_xml(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps({"name": "evil\x1b[31m\x00\ufffe\u202e"}))
    make_results(tmp_path / "r", items=300, tasks=TASKS[:1], damage={"dense": 0, "rtn-8": 0})
    kick(
        "gate",
        tmp_path / "r",
        "--policy",
        policy,
        "--junit",
        tmp_path / "j.xml",
        "--summary",
        tmp_path / "s.md",
    )
    printed = capsys.readouterr()
    assert "evil\\u001b" in printed.out
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert root.get("name") == "kick gate: evil\\u001b[31m\\u0000\\ufffe\\u202e"
    for text in (printed.out, printed.err, (tmp_path / "s.md").read_text()):
        assert not set(text) & set("\x1b\x00\ufffe\u202e")


def test_lm_evals_own_output_is_gated(kick: Callable[..., int], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    right = (generator.random(500) < 0.7).astype(float)
    lost = np.where(generator.random(500) < 0.3, 0.0, right)
    dense = write_run(tmp_path / "dense", "dense", right.tolist())
    same = write_run(tmp_path / "same", "same", right.tolist())
    small = write_run(tmp_path / "small", "small", lost.tolist())
    assert kick("gate", dense, same) == 0
    assert kick("gate", dense, small) == 1
    assert kick("gate", dense, same, small) == 1
    assert kick("gate", dense, tmp_path / "nowhere") == 2
    assert kick("gate", dense, dense) == 2


def test_the_gate_says_the_same_of_an_imported_folder(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    right = (np.random.default_rng(0).random(300) < 0.7).astype(float).tolist()
    dense, same = (write_run(tmp_path / name, name, right) for name in ("dense", "same"))
    assert kick("import", "lm-eval", dense, same, "--out", tmp_path / "r") == 0
    assert "8 cells of dense, same imported from lm-eval" in capsys.readouterr().out
    assert kick("gate", tmp_path / "r", "--json") == 0
    imported = json.loads(capsys.readouterr().out)
    assert kick("gate", dense, same, "--json") == 0
    assert json.loads(capsys.readouterr().out) == imported
    assert kick("report", tmp_path / "r", "--out", tmp_path / "report") == 0
    assert kick("compare", tmp_path / "r", "dense", "same") == 0
    capsys.readouterr()
    assert kick("import", "lm-eval", dense, same, "--out", tmp_path / "again", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["checkpoints"], document["cells"]) == (["dense", "same"], 8)


def test_an_inconclusive_gate_over_lm_eval_names_no_command_of_kick(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dense, small = (write_run(tmp_path / name, name, [1.0, 0.0] * 20) for name in ("dense", "small"))
    assert kick("gate", dense, small) == 3
    assert "kick run" not in capsys.readouterr().out
