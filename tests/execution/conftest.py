"""The suite that tests of runs begin with."""

import shutil
from pathlib import Path

import pytest

from tests.data_root import make_data_root
from tests.execution.bed import Bed


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data_root(tmp_path_factory.mktemp("data"))


@pytest.fixture
def bed(tmp_path: Path, tiny_llama: Path, data_root: Path) -> Bed:
    shutil.copytree(tiny_llama, tmp_path / "model")
    return Bed(tmp_path, data_root)
