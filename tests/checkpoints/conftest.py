"""Checkpoint folders to break, and the tools to break them with."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Llama that the test may change."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))
