import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_root import make_data_root
from tests.hub import serve

Kick = Callable[..., int]
SUITE = "name: s\nreference: dense\ncheckpoints: [{{id: dense, model: {model}}}]\ntasks: [kick_squad]\n"
SQUAD = "rajpurkar__squad/plain_text/validation.parquet"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE.format(model=tmp_path / "model"))
    return path


def test_a_mirror_is_pulled_from_the_hub_that_the_environment_names(suite: Path, tmp_path: Path) -> None:
    served = tmp_path / "hub/rajpurkar/squad/plain_text/validation-00000-of-00001.parquet"
    served.parent.mkdir(parents=True)
    shutil.copy(make_data_root(tmp_path / "source") / SQUAD, served)
    with serve(tmp_path / "hub") as hub:
        command = [
            sys.executable,
            "-c",
            "from kick.cli import main; main()",
            "data",
            "pull",
            str(suite),
            "--json",
        ]
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "KICK_DATA_ROOT": "mirror",
        }
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert [state["state"] for state in json.loads(done.stdout)] == ["unchanged"]
    assert (tmp_path / "mirror" / SQUAD).read_bytes() == served.read_bytes()


def test_a_mirror_of_unknown_origin_cannot_be_judged_and_a_missing_file_is_a_no(
    kick: Kick, capsys: pytest.CaptureFixture[str], suite: Path, tmp_path: Path
) -> None:
    root = make_data_root(tmp_path / "data")
    assert kick("data", "check", suite, "--data-root", root) == 3
    assert f"{SQUAD}: unknown" in capsys.readouterr().out
    (root / SQUAD).unlink()
    assert kick("data", "check", suite, "--data-root", root) == 1
    assert "0 of 1 files are as published" in capsys.readouterr().out


def test_a_data_root_that_is_not_there_is_bad_input(
    kick: Kick, capsys: pytest.CaptureFixture[str], suite: Path, tmp_path: Path
) -> None:
    assert kick("data", "check", suite, "--data-root", tmp_path / "nowhere") == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_a_network_that_is_down_is_one_message_and_leaves_no_file(suite: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "kick", "data", "pull", str(suite), "--data-root", "mirror"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error: rajpurkar/squad (plain_text, validation) at commit" in done.stderr
    assert "could not be fetched from the hub: [Errno 111] Connection refused" in done.stderr
    assert done.stderr.rstrip().endswith("Connect to the network, and pull again.")
    assert not (tmp_path / "mirror" / SQUAD).exists()
