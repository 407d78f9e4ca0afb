import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import TASKS


def test_power_says_how_many_items_decide(
    results: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("power", results, "--candidate", "rtn-8", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["task"] for row in rows] == TASKS
    assert rows[0]["items_to_match"] > 10
    assert kick("power", results) == 0
    assert kick("power", results, "--margin", "5") == 2
