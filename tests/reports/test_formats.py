"""What the formats have in common: the same numbers in each, and foreign text as text in all."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from kick.reports import write
from kick.store import Store
from kick.types import Skipped
from tests.reports.small import FACTS, HOSTILE, small_results
from tests.results import binary_task, write_pair

HOSTILE_NAME = "=a|b<img src=x>`c`$d$_e_"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_results(tmp_path_factory.mktemp("small") / "r")


def hostile_store(path: Path) -> Store:
    """The name of a metric and reasons for skipping that try everything."""
    task = binary_task(metric=HOSTILE_NAME, metrics=(HOSTILE_NAME,))
    store = write_pair(path, [1, 0, 1], [0, 1, 1], task)
    cell = store.cell("small", "facts")
    assert cell is not None
    skipped = tuple(Skipped(doc_id=index, reason=reason) for index, reason in enumerate(HOSTILE))
    store.write_cell(cell.model_copy(update={"skipped": skipped}), store.items(cell))
    return store


def test_the_tidy_frame_has_a_row_for_every_checkpoint_on_every_task(store: Store, tmp_path: Path) -> None:
    frame = pd.read_parquet(write(store, tmp_path, ["parquet"])[0])
    assert len(frame) == 4 * 4
    assert not frame.duplicated(["checkpoint", "task"]).any()
    row = frame[(frame.checkpoint == "rtn-4") & (frame.task == FACTS.name)].iloc[0]
    assert row["score"] == pytest.approx(15 / 24)
    assert row["recovery"] == pytest.approx(15 / 18)
    assert row["recovery_low"] < row["recovery"] < row["recovery_high"]
    assert (row["lost"], row["gained"], row["n"]) == (3, 0, 24)
    assert (row["method"], row["axis"], row["rate"]) == ("rtn", "bits", 4)


def test_csv_holds_the_numbers_of_the_tidy_frame(store: Store, tmp_path: Path) -> None:
    written, parquet = (
        pd.read_csv(write(store, tmp_path, ["csv"])[0]),
        write(store, tmp_path, ["parquet"])[0],
    )
    frame = pd.read_parquet(parquet)
    assert list(written.columns) == list(frame.columns)
    pd.testing.assert_series_equal(written["score"], frame["score"], rtol=1e-5)
    pd.testing.assert_series_equal(written["delta_low"], frame["delta_low"], rtol=1e-5)


def test_a_table_without_pages_draws_no_figures(store: Store, tmp_path: Path) -> None:
    assert [path.name for path in write(store, tmp_path / "o", ["csv"])] == ["report.csv"]
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["report.csv"]


def test_no_field_of_the_csv_is_a_formula(tmp_path: Path) -> None:
    content = write(hostile_store(tmp_path / "r"), tmp_path, ["csv"])[0].read_text(encoding="utf-8")
    fields = [field for row in csv.reader(io.StringIO(content)) for field in row]
    assert f"'{HOSTILE_NAME}" in fields
    for field in fields:
        assert not re.match(r"[=+@\t\r]|-(?![\d.])", field)


def test_latex_names_every_figure_that_it_writes(store: Store, tmp_path: Path) -> None:
    page, *figures = write(store, tmp_path, ["latex"])
    named = re.findall(r"\\includegraphics\[[^]]*\]\{(.*?)\}", page.read_text(encoding="utf-8"))
    assert named == [f"figures/{name}.pdf" for name in ("overview", "size-bytes", "curve-rtn", "flips")]
    assert sorted(str(path.relative_to(tmp_path)) for path in figures) == sorted(named)


def test_every_row_of_a_latex_table_has_as_many_fields_as_columns(tmp_path: Path) -> None:
    page = write(hostile_store(tmp_path / "r"), tmp_path, ["latex"])[0].read_text(encoding="utf-8")
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", page, flags=re.DOTALL)
    assert tables
    for columns, body in tables:
        for line in body.splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_pdflatex_compiles_the_report_of_hostile_results(tmp_path: Path) -> None:
    page = write(hostile_store(tmp_path / "r"), tmp_path / "out", ["latex"])[0]
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", page.name]
    result = subprocess.run(command, cwd=page.parent, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout.decode(errors="replace")[-2000:]


def test_a_model_card_holds_metadata_that_the_hub_reads(store: Store, tmp_path: Path) -> None:
    paths = write(store, tmp_path, ["model-card"])
    assert [path.name for path in paths] == ["rtn-8.md", "rtn-4.md", "rtn-2.md"]
    card = ModelCard.load(paths[1])
    results = card.data.eval_results
    assert results is not None
    facts = next(result for result in results if result.dataset_name == FACTS.name)
    assert (facts.task_type, facts.metric_type, facts.metric_value) == ("question-answering", "em", 62.5)
    assert "recovery 83 % [" in card.text
    assert "75.0 [" in card.text
