import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import TASKS
from tests.results import make_results, write_pair, write_scores


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


def test_compare_and_gate_give_one_verdict(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    damage = {"dense": 0, "rtn-8": 0, "magnitude-0.1": 0.01, "rtn-3": 0.4}
    make_results(tmp_path / "r", items=400, windows=20, damage=damage)
    kick("gate", tmp_path / "r", "--json")
    gated = {verdict["candidate"]: verdict for verdict in json.loads(capsys.readouterr().out)["verdicts"]}
    assert {verdict["outcome"] for verdict in gated.values()} == {"pass", "inconclusive", "regression"}
    for candidate, verdict in gated.items():
        kick("compare", tmp_path / "r", "dense", candidate, "--json")
        compared = json.loads(capsys.readouterr().out)["verdict"]
        assert compared == verdict
        kick("gate", tmp_path / "r", "--candidate", candidate, "--json")
        (alone,) = json.loads(capsys.readouterr().out)["verdicts"]
        assert alone == verdict


def test_a_metric_that_the_policy_does_not_judge_has_no_verdict(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    kick("compare", results, "dense", "rtn-3", "--task", TASKS[0], "--metric", "f1")
    assert "not judged" in capsys.readouterr().out


def test_responses_cannot_control_the_terminal(
    kick: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    store = make_results(tmp_path / "r", items=50, tasks=TASKS[:1], damage={"dense": 0, "rtn-3": 0.4})
    cell = store.cell("rtn-3", TASKS[0])
    assert cell is not None
    evil = "\x1b]0;title\x07\x1b[2J[bold]\r\x9b31m\u202e"
    write_scores(store, "rtn-3", cell.task, store.items(cell).assign(response=evil))
    assert kick("compare", tmp_path / "r", "dense", "rtn-3", "--items") == 0
    printed = capsys.readouterr().out
    assert "[bold]" in printed
    assert not set(printed) & set("\x1b\x07\r\x9b\u202e")


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


def test_an_escape_sequence_in_a_response_does_not_reach_the_terminal(
    kick: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    response = "\x1b[2J\x1b]0;owned\x07\x9b31mred"
    write_pair(tmp_path / "r", [1, 1, 0], [0, 0, 1], response=[response] * 3, group=[response] * 3)
    assert kick("compare", tmp_path / "r", "dense", "small", "--items", "--by", "group") == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b"} & set(out)
    assert "u001b" in out
