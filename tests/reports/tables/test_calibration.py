from pathlib import Path

from kick.reports import write
from kick.store import Store
from tests.comparison.test_calibration import MMLU, choices
from tests.reports.small import small_results
from tests.results import write_scores

SUITE = """
name: calibration
reference: dense
checkpoints:
  - {id: dense, model: dense}
  - {id: rtn-4, model: rtn-4}
tasks: [kick_mmlu]
"""


def test_brier_score_and_calibration_error_have_intervals_and_paired_changes(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "r", SUITE)
    write_scores(store, "dense", MMLU, choices(3))
    write_scores(store, "rtn-4", MMLU, choices(3, sharpness=3.0))
    write(store, tmp_path / "out", ["md", "html", "latex"])
    page = (tmp_path / "out" / "report.md").read_text()
    section = page.split("## Are the probabilities of choices right?")[1].split("\n## ")[0]
    dense, candidate = (line for line in section.splitlines() if line.startswith(("| `dense`", "| `rtn-4`")))
    assert "Brier 0.6" in dense
    assert "by chance" in dense
    assert "change" not in dense
    assert candidate.count("change +") == 2


def test_a_report_without_choices_has_no_such_section(tmp_path: Path) -> None:
    write(small_results(tmp_path / "r"), tmp_path / "out", ["md"])
    assert "probabilities of choices" not in (tmp_path / "out" / "report.md").read_text()
