"""Each family's README: every task has its row, and the row says what the task's YAML says."""

import re
from pathlib import Path

import pytest

from kick.suite.catalog import CatalogTask, read_catalog

TASKS = read_catalog().tasks
LICENCE = re.compile(r"CC-BY|Apache-2\.0|MIT|research use")


def readme(task: CatalogTask) -> str:
    return (task.path.parent / "README.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, dict[str, str]]:
    """The rows of the tables whose first column is `task`, by task; "the same" stands for the cell above."""
    found: dict[str, dict[str, str]] = {}
    header: list[str] = []
    above: dict[str, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            header, above = [], {}
        elif not header:
            header = cells if cells[0] == "task" else ["-"]
        elif header[0] == "task" and set(cells[0]) != {"-"}:
            row = dict(zip(header, cells, strict=True))
            above = {name: above[name] if cell == "the same" else cell for name, cell in row.items()}
            found[cells[0].strip("`")] = above
    return found


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_readme_of_a_family_has_every_task_with_what_its_yaml_says(name: str) -> None:
    task = TASKS[name]
    text = readme(task)
    row = rows(text).get(name)
    assert row is not None, f"{task.path.parent.name}/README.md has no row for {name}"
    assert row["prompt"]
    assert f"`{task.info.metric}`" in row["metric"]
    assert LICENCE.search(row.get("licence", text))
    data = row.get("data, split", text)
    data = rows(text)[known[1]]["data, split"] if (known := re.search(r"as `(\w+)`", data)) else data
    assert re.search(rf"\b{task.config['test_split']}\b", data)
    if task.items is not None:
        assert (size := re.search(r"[\d,]+", row["items"]))
        assert int(size[0].replace(",", "")) == task.items


def test_every_folder_of_tasks_has_a_readme() -> None:
    folders = {task.path.parent for task in TASKS.values()}
    assert all((Path(folder) / "README.md").is_file() for folder in folders)
