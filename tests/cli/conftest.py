"""A results folder to judge, and the command line as a function."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kick.cli import main
from tests.results import PERPLEXITY, make_results

TASKS = ["kick_freebaseqa", PERPLEXITY.name]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gate") / "results"
    make_results(path, items=600, windows=20, tasks=TASKS, damage={"dense": 0, "rtn-8": 0, "rtn-3": 0.4})
    return path


@pytest.fixture
def kick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line; returns its exit code."""

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["kick", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    return run
