"""What every test may ask for: a small real model on disk, and nothing from any network."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # One worker per core: more threads would only wait for each other. Processes that tests start inherit it.
    os.environ["OMP_NUM_THREADS"] = "1"
# How long an example takes depends on the machine.
settings.register_profile("kick", deadline=None)
settings.load_profile("kick")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama (float32, 384 tokens, BOS) and its tokenizer."""
    from tests.tiny import save_model

    return save_model(tmp_path_factory.mktemp("models") / "tiny-llama", scale=10)


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Llama that the test may change."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))
