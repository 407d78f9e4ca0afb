"""Commands that are killed in front of a call that changes the disk, and runs that share a folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "attack_kill.py"


def attack(scratch: Path, *options: str) -> str:
    """Return the table; the script ends with 1 if a command did not go on as if nothing had happened."""
    command = [sys.executable, str(SCRIPT), "--scratch", str(scratch), *options]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("case", ["run", "series --keep", "leaderboard", "compress", "manifest"])
def test_a_command_that_is_killed_at_a_write_goes_on(case: str, tmp_path: Path) -> None:
    assert case in attack(tmp_path, "--case", case, "--points", "12", "--random", "0")


@pytest.mark.slow
def test_four_runs_share_a_folder_and_a_cache_while_reports_are_written(tmp_path: Path) -> None:
    assert "together" in attack(tmp_path, "--case", "together")
