import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import TASKS
from tests.results import make_results


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
