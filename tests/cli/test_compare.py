import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import TASKS
from tests.results import make_results, write_pair


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


def test_an_escape_sequence_in_a_response_does_not_reach_the_terminal(
    kick: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    response = "\x1b[2J\x1b]0;owned\x07\x9b31mred"
    write_pair(tmp_path / "r", [1, 1, 0], [0, 0, 1], response=[response] * 3, group=[response] * 3)
    assert kick("compare", tmp_path / "r", "dense", "small", "--items", "--by", "group") == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b"} & set(out)
    assert "u001b" in out
