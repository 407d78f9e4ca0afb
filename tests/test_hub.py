"""Downloads from the hub: every failure is one message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import errors

from kick import hub
from kick.errors import InputError

DEAD = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
PROGRAM = """
import sys
from functools import partial
from huggingface_hub import HfApi, snapshot_download
from kick.errors import InputError
from kick.hub import fetch
calls = [
    partial(snapshot_download, "a/b", revision="main"),
    partial(snapshot_download, "a/b", revision="0" * 40, repo_type="dataset"),
    lambda: list(HfApi().list_repo_tree("a/b")),
]
for call in calls:
    try:
        fetch("the data set a/b", call, advice="Connect to the network.")
    except InputError as error:
        print(error)
"""


def test_a_network_that_is_down_is_a_message_whatever_function_asks(tmp_path: Path) -> None:
    environment = {**os.environ, **DEAD, "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("the data set a/b could not be fetched from the hub: ")
        assert line.endswith("Connect to the network.")


def test_the_cache_answers_where_the_hub_does_not() -> None:
    def down() -> str:
        raise errors.OfflineModeIsEnabled("offline")

    assert hub.fetch("x", down, cached=lambda: "kept") == "kept"
    with pytest.raises(InputError, match="x could not be fetched from the hub: offline"):
        hub.fetch("x", down, cached=down)


def test_a_name_that_no_hub_has_is_told() -> None:
    def misnamed() -> str:
        raise errors.HFValidationError("no")

    with pytest.raises(InputError, match="x was not found"):
        hub.fetch("x", misnamed)
