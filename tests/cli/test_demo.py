"""`kick demo`: the embedded default from one command, with no network and nothing but the package."""

import subprocess
import sys
from pathlib import Path

import pytest

from kick.store import Store


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo, run in an empty home folder with the hub out of reach."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {"HOME": str(folder), "HF_ENDPOINT": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin"}
    command = [str(Path(sys.executable).with_name("kick")), "demo", "--results", str(folder / "results")]
    return folder / "results", subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder
    )


def test_it_ends_well_and_says_where_the_report_is(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    results, run = demo
    assert run.returncode == 0, run.stderr
    assert f"{results / 'report' / 'report.html'}" in run.stdout
    assert (results / "report" / "report.html").is_file()
    assert (results / "report" / "report.md").is_file()


def test_it_tells_what_was_known_and_where_it_was_lost(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    told = demo[1].stdout
    for line in (
        "What kick-tiny-4m knows of its world:",
        "magnitude: where 5 % of the dense model's score is lost",
        "rtn: where 5 % of the dense model's score is lost",
        "The verdicts, by the policy regression, and whether perplexity warned:",
        "kick-tiny-1m (",
    ):
        assert line in told


def test_every_checkpoint_is_scored_on_every_task(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    records = Store(demo[0]).checkpoints()
    assert len(records) == 17  # the noise floor among them
    assert {len(record.cells) for record in records if record.checkpoint.id != "kick-tiny-4m@noise"} == {8}


def test_a_second_run_only_reads(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    results, first = demo
    again = subprocess.run(
        [str(Path(sys.executable).with_name("kick")), "demo", "--results", str(results)],
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    assert "scored" not in again.stdout
    assert first.stdout.split("\nThe report:")[0] == again.stdout.split("\nThe report:")[0]
