"""`kick report` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kick.cli import app
from kick.errors import InputError
from tests.reports.small import small_results


def test_json_is_one_document_that_names_the_files(tmp_path: Path) -> None:
    store = small_results(tmp_path / "r")
    result = CliRunner().invoke(app, ["report", str(store.root), "--format", "csv, parquet", "--json"])
    assert result.exit_code == 0
    files = [Path(path) for path in json.loads(result.stdout)["files"]]
    assert files == [store.root / "report" / "report.csv", store.root / "report" / "report.parquet"]
    assert all(path.is_file() for path in files)


def test_a_report_changes_no_result(tmp_path: Path) -> None:
    store = small_results(tmp_path / "r")
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    CliRunner().invoke(app, ["report", str(store.root), "--format", "csv", "--out", str(tmp_path / "out")])
    assert {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()} == before


def test_a_folder_without_results_is_bad_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("formats", ["pdf", "md,docx", ""])
def test_an_unknown_format_writes_nothing(tmp_path: Path, formats: str) -> None:
    store = small_results(tmp_path / "r")
    result = CliRunner().invoke(app, ["report", str(store.root), "--format", formats])
    assert isinstance(result.exception, InputError)
    assert not (store.root / "report").exists()
