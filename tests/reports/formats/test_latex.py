"""The LaTeX report by a real pdflatex."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kick.reports import write
from tests.reports.small import HOSTILE, small_results


@pytest.mark.real
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_report_of_hostile_text_compiles_with_every_figure_and_no_text_outside_the_page(
    tmp_path: Path,
) -> None:
    page = write(small_results(tmp_path / "r", HOSTILE), tmp_path / "out", ["latex"], published=True)[0]
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", page.name]
    result = subprocess.run(command, cwd=page.parent, capture_output=True, check=False)
    log = (page.parent / "report.log").read_text(encoding="utf-8", errors="replace").replace("\n", "")
    assert result.returncode == 0, log[-2000:]
    for figure in ("overview", "size-bytes", "flips", "curve-rtn"):
        assert f"figures/{figure}.pdf" in log
    overfull = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]
    assert max(overfull, default=0.0) < 20
