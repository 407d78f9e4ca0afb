"""The floor table of docs/tasks.md, and the script that makes it of `kick tasks check --json`."""

import json
import re
from pathlib import Path

import pytest

from kick.suite.catalog import read_catalog
from scripts.floor_table import main, table

DOCS = Path(__file__).parents[2] / "docs/tasks.md"


def check(task: str, **floors: float) -> dict[str, object]:
    named = [{"answerer": answerer.replace("_", " "), "score": score} for answerer, score in floors.items()]
    record = {"metric": "contains", "higher_is_better": True, "items": 1234, "floors": named}
    return {"task": task, "floors": record}


def test_a_row_has_the_best_answerer_of_each_column_and_the_floor() -> None:
    floors = {
        "empty": 0.0,
        "the_most_frequent_answer": 0.021,
        "the_first_option_named": 0.1,
        "the_last_option_named": 0.2,
        "chance": 0.25,
    }
    text = table({"tasks": [check("mine", **floors)], "not_checked": {}})
    assert (
        text.splitlines()[-1]
        == "| `mine` | `contains` | 1,234 | 0.0 | - | 2.1 | - | 20.0 | - | 25.0 | 25.0 |"
    )


def test_tasks_without_data_are_named_below() -> None:
    text = table({"tasks": [check("mine", empty=0.0)], "not_checked": {"theirs": "no such file"}})
    assert text.endswith("because their data are not in the mirror: `theirs`.")


def test_an_answerer_without_a_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="'an oracle' is in no column"):
        table({"tasks": [check("mine", an_oracle=1.0)], "not_checked": {}})


def test_the_table_replaces_the_one_in_a_page(tmp_path: Path) -> None:
    page, checks = tmp_path / "page.md", tmp_path / "checks.json"
    page.write_text("before\n<!-- floors -->\nold\n<!-- /floors -->\nafter\n")
    checks.write_text(json.dumps({"tasks": [check("mine", empty=0.0)], "not_checked": {}}))
    main([str(checks), "--write", str(page)])
    assert "old" not in page.read_text()
    assert page.read_text().startswith("before\n<!-- floors -->\n\n| task |")
    assert page.read_text().endswith("\n\n<!-- /floors -->\nafter\n")


def test_the_page_has_every_task_in_its_table_or_below_it() -> None:
    part = re.search(r"<!-- floors -->(.*)<!-- /floors -->", DOCS.read_text(), re.DOTALL)
    assert part is not None
    assert sorted(re.findall(r"`(k?\w*kick_\w+)`", part[1])) == sorted(read_catalog().tasks)
