"""Real keys of minisign for tests."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class KeyPair:
    """The files of a key without a password."""

    secret: Path
    public: Path


def make_keys(folder: Path, name: str) -> KeyPair:
    """Make a key; skips the test where minisign is not installed."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    keys = KeyPair(folder / f"{name}.key", folder / f"{name}.pub")
    command = ["minisign", "-G", "-W", "-f", "-p", str(keys.public), "-s", str(keys.secret)]
    subprocess.run(command, check=True, capture_output=True)
    return keys
