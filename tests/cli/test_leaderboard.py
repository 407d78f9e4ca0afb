import json
from collections.abc import Callable
from pathlib import Path

import pytest


def test_the_board_is_written_and_counted(
    results: Path, tmp_path: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("leaderboard", results, "--out", tmp_path / "site", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "page": str(tmp_path / "site" / "index.html"),
        "ranked": 2,
        "incomplete": 0,
        "refused": [],
    }
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.parametrize("given", [["nowhere"], ["nowhere", "nor-here"]])
def test_an_unknown_folder_is_bad_input_and_nothing_is_written(
    results: Path,
    given: list[str],
    tmp_path: Path,
    kick: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = [tmp_path / name for name in given]
    assert kick("leaderboard", results, *folders, "--out", tmp_path / "site") == 2
    assert "nowhere is not a results folder" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_a_site_needs_a_folder(results: Path, tmp_path: Path, kick: Callable[..., int]) -> None:
    (tmp_path / "file").write_text("")
    assert kick("leaderboard", results, "--out", tmp_path / "file") == 2
    assert kick("leaderboard", results) == 2
