"""The report of a small fixed results folder, to the letter.

After a change that is meant: `KICK_WRITE_GOLDEN=1 pytest tests/reports/test_golden.py`, and read the difference.
"""

import os
from pathlib import Path

import pytest

from kick.reports import write
from tests.reports.small import small_results

GOLDEN = Path(__file__).parent / "golden"
PAGES = ("report.md", "report.csv", "report.tex")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    write(small_results(folder / "r"), folder / "report", ["md", "csv", "latex"])
    return folder / "report"


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_the_golden_one(report: Path, page: str) -> None:
    written = (report / page).read_text(encoding="utf-8")
    if os.environ.get("KICK_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / page).write_text(written, encoding="utf-8")
    assert written == (GOLDEN / page).read_text(encoding="utf-8")
