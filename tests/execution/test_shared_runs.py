"""Runs that share a results folder or a cache, and folders that a run finds damaged."""

import shutil
import threading
from pathlib import Path

import pytest

from kick.errors import InputError
from kick.execution.locks import FolderLock
from kick.store import Store
from tests.execution.bed import Bed


@pytest.fixture
def small(bed: Bed) -> Bed:
    """A bed with one task of two items."""
    bed.keys.update(tasks=["kick_mmlu"], limit=2)
    return bed


def test_a_checkpoint_that_another_run_holds_does_not_keep_the_others_from_being_scored(small: Bed) -> None:
    small.run(only="dense")
    store = Store(small.folder / "results")
    shutil.rmtree(store.root / "cells")
    with (
        store.lock("dense"),
        pytest.raises(InputError, match="not scored: dense: another run is scoring 'dense'"),
    ):
        small.run()
    assert store.cell("magnitude-0.5", "kick_mmlu") is not None
    assert store.cell("dense", "kick_mmlu") is None
    assert small.run().scored == 1


def test_a_checkpoint_that_another_run_is_making_is_waited_for(
    small: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    small.run()
    (made,) = (path.parent for path in (small.folder / "cache").rglob("kick.json"))
    finished = shutil.move(made, small.folder / "finished")
    shutil.rmtree(small.folder / "results")
    with FolderLock(made) as other:
        other.exclude(lambda: None)

        def finish() -> None:
            shutil.move(finished, made)
            other.share(lambda: None)

        timer = threading.Timer(1.0, finish)
        while_waiting = threading.Thread(target=_start_when_waiting, args=(timer, small.folder / "results"))
        while_waiting.start()
        assert small.run().scored == 2
        while_waiting.join()
        timer.join()
    said = capsys.readouterr().err
    assert "waiting for another run that makes" in said
    assert said.count("making ") == 1


def _start_when_waiting(timer: threading.Timer, results: Path) -> None:
    """Let the other run finish once the dense checkpoint is scored: the next one is then waited for."""
    done = threading.Event()
    while not list(results.glob("cells/dense/*/*/cell.json")):
        done.wait(0.05)
    timer.start()


def test_a_half_checkpoint_in_the_cache_is_made_again(small: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    small.run()
    (made,) = (path.parent for path in (small.folder / "cache").rglob("kick.json"))
    (made / "model.safetensors").unlink()
    shutil.rmtree(small.folder / "results")
    assert small.run().scored == 2
    assert "is made again" in capsys.readouterr().err


def test_a_damaged_record_is_moved_aside_and_measured_again(
    small: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    store = small.run().store
    path = store.root / "checkpoints" / "magnitude-0.5.json"
    before = store.checkpoint("magnitude-0.5")
    path.write_text(path.read_text()[:200])
    for tier in (store.root / "tiers").glob("*.json"):
        tier.write_text("{")
    assert small.run().scored == 0
    after = store.checkpoint("magnitude-0.5")
    assert before is not None
    assert after is not None
    assert (after.description, after.cells) == (before.description, before.cells)
    assert path.with_name("magnitude-0.5.json.damaged").is_file()
    said = capsys.readouterr().err
    assert "It is moved to magnitude-0.5.json.damaged" in said
    assert "The self-test is taken again" in said


def test_a_cache_whose_disk_grants_a_lock_twice_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    with (
        FolderLock(tmp_path / "made") as lock,
        pytest.raises(InputError, match="grants a lock that somebody"),
    ):
        lock.exclude(lambda: None)
