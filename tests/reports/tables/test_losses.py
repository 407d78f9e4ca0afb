"""What was lost by category: the worst of those large enough, marked only where it is shown."""

from pathlib import Path

import pytest

from kick.reports.blocks import Table
from kick.reports.findings import gather
from kick.reports.tables import losses
from kick.reports.tables.losses import categories
from tests.results import binary_task, make_results, write_pair

SIZES = {"history": 40, "physics": 40, "law": 40, "music": 3}


def table(path: Path, **lost: int) -> Table:
    """All right in the reference; of each category, as many wrong in the candidate as are lost."""
    groups = [name for name, size in SIZES.items() for _ in range(size)]
    answers = [
        0.0 if index < lost.get(name, 0) else 1.0 for name, size in SIZES.items() for index in range(size)
    ]
    task = binary_task(group_by="subject")
    findings = gather(write_pair(path, [1.0] * len(groups), answers, task, group=groups))
    return categories(findings, findings.tasks[0])


def test_the_hardest_hit_come_first_with_their_knowledge_loss_and_n(tmp_path: Path) -> None:
    (row,) = table(tmp_path, physics=20, law=2).rows
    assert row[0].lines == ("small",)
    assert row[2].lines[0] == "physics"
    assert row[2].lines[1].startswith("delta −50.0 [")
    assert row[2].lines[1].endswith("points *, n = 40")
    assert row[2].lines[2].startswith("knowledge loss 50 % [")
    assert row[3].lines[0] == "law"
    assert "*" not in row[3].lines[1]
    assert row[4].lines == ("–",)  # history lost nothing


def test_small_categories_are_counted_and_not_ranked(tmp_path: Path) -> None:
    (row,) = table(tmp_path, music=3, law=2).rows
    assert row[1].lines == ("3", "1 too small")
    assert "music" not in [field.lines[0] for field in row]


def test_no_loss_is_said(tmp_path: Path) -> None:
    (row,) = table(tmp_path).rows
    assert row[2].lines == ("no category lost",)


def test_a_task_without_categories_has_no_table(tmp_path: Path) -> None:
    findings = gather(write_pair(tmp_path, [1.0, 0.0] * 20, [1.0, 1.0] * 20))
    assert categories(findings, findings.tasks[0]).rows == ()


def test_of_many_candidates_those_hit_hardest_are_shown_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "MAX_CANDIDATES", 1)
    tasks = ["kick_mmlu"]
    damage = {"dense": 0.0, "light": 0.05, "heavy": 0.9}
    findings = gather(make_results(tmp_path, items=200, tasks=tasks, damage=damage))
    shown = categories(findings, findings.tasks[0])
    assert [row[0].lines[0] for row in shown.rows] == ["heavy"]
    assert shown.note.startswith("Left out: 1 candidates")
