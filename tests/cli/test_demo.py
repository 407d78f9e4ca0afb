"""`kick demo`: the embedded default from one command, with no network and nothing but the package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kick.reports.demo_story import story
from kick.reports.findings import gather
from kick.store import Store

pytestmark = pytest.mark.slow

KICK = str(Path(sys.executable).with_name("kick"))
GENERATED = {
    *(f"kick_world_factoid_{band}" for band in ("head", "torso", "tail")),
    "kick_world_incontext",
    "kick_world_multihop",
    "kick_world_summary",
}
POINTS = (
    *(f"magnitude-{sparsity}" for sparsity in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.787)),
    "magnitude-2of4-0.5",
    *(f"rtn-{bits}" for bits in (8, 6, 5, 4, 3, 2)),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo, run in an empty home folder with the hub out of reach."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {
        "HOME": str(folder),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    command = [KICK, "demo", "--results", str(folder / "results")]
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
    scored = {record.checkpoint.id: set(record.cells) for record in Store(demo[0]).checkpoints()}
    every_task = {*GENERATED, "kick_world_choice", "perplexity_world"}
    expected = dict.fromkeys(("kick-tiny-4m", "kick-tiny-1m", *POINTS), every_task)
    # Choices and windows are batched alike in a batch of any size: they have no noise.
    assert scored == {**expected, "kick-tiny-4m@noise": GENERATED}


def test_a_second_run_only_reads_and_tells_the_same(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    results, first = demo
    command = [KICK, "demo", "--results", str(results), "--json"]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    counts = json.loads(again.stdout)
    assert (counts["scored"], counts["reused"]) == (0, 16 * 8 + len(GENERATED))
    assert first.stdout.startswith(story(gather(Store(results))))
