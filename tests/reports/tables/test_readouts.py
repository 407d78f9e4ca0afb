from pathlib import Path

from kick.reports import write
from tests.comparison.test_readouts import GENERATED, LETTER, LIKELIHOOD, OPEN, results


def test_the_readouts_of_the_same_knowledge_stand_side_by_side_with_the_chance_line(tmp_path: Path) -> None:
    store = results(tmp_path / "r", OPEN, LIKELIHOOD, LETTER, GENERATED)
    write(store, tmp_path / "out", ["md", "html", "latex"])
    page = (tmp_path / "out" / "report.md").read_text()
    section = page.split("## The same knowledge, read in several ways")[1].split("\n## ")[0]
    assert "### MMLU, read in 2 ways" in section
    assert "### FreebaseQA, read in 2 ways" in section
    assert "no letter: 100.0" in section
    assert "named: 50.0" in section
    assert section.count("| chance |") == 2
    assert "FreebaseQA, read in 2 ways" in (tmp_path / "out" / "report.html").read_text()
    assert "FreebaseQA, read in 2 ways" in (tmp_path / "out" / "report.tex").read_text()


def test_a_readout_of_a_part_of_the_items_says_so(tmp_path: Path) -> None:
    text = LETTER.model_copy(update={"name": "kick_mmlu_text"})
    write(results(tmp_path / "r", LETTER, text), tmp_path / "out", ["md"])
    page = (tmp_path / "out" / "report.md").read_text()
    header = next(line for line in page.splitlines() if "option text, by likelihood" in line)
    assert header.count("without the items that refer to their options") == 1


def test_a_report_without_several_readouts_has_no_such_section(tmp_path: Path) -> None:
    write(results(tmp_path / "r", OPEN), tmp_path / "out", ["md"])
    assert "read in several ways" not in (tmp_path / "out" / "report.md").read_text()
