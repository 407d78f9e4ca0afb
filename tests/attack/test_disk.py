"""Full disks, read-only ones, folders without permission: one message with path and reason, nothing half written.

The same command goes on once there is room.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kick.files import is_temporary
from kick.store import Store
from kick.store.verification import inspect
from tests.attack.commands import Disk, attacked_results, disk, kick
from tests.data_root import make_data_root
from tests.store.folders import tree

FULL, READ_ONLY = "No space left on device", "Read-only file system"


def suite(model: Path, folder: Path) -> tuple[object, ...]:
    """Write a suite with states, a made checkpoint, a tier and journals; returns the command without its folders."""
    keys = {
        "name": "test",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(model)}],
        "series": [{"from": "dense", "method": "rtn", "bits": [4], "group_size": 16}],
        "tasks": ["kick_mmlu", "kick_squad"],
        "divergence": True,
        "limit": 3,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(keys))
    data = make_data_root(folder / "data")
    return ("run", folder / "suite.yaml", "--data-root", data, "--device", "cpu", "--json")


def items(results: Path) -> dict[tuple[str, str, str], pd.DataFrame]:
    store = Store(results)
    return {(cell.checkpoint, cell.task.name, cell.key): store.items(cell) for cell in store.cells()}


def assert_equal(one: Path, other: Path) -> None:
    ours, theirs = items(one), items(other)
    assert ours.keys() == theirs.keys()
    for key, frame in ours.items():
        pd.testing.assert_frame_equal(frame, theirs[key])


def assert_nothing_half_written(root: Path) -> None:
    assert not [path for path in root.rglob("*") if is_temporary(path) or path.suffix == ".tmp"]
    if (root / "results" / "suite.yaml").exists():
        assert [
            str(one) for one in inspect(Store(root / "results")) if one.kind in ("broken", "unknown")
        ] == []


def run_on_full_disks(model: Path, folder: Path, shares: tuple[float, ...]) -> None:
    with disk() as small:
        command = (
            *suite(model, folder),
            "--results",
            small.root / "results",
            "--cache",
            small.root / "cache",
        )
        empty = small.used()
        assert kick(*command).code == 0
        needed = small.used() - empty
        shutil.copytree(small.root / "results", folder / "whole")
        for share in shares:
            for name in ("results", "cache"):
                shutil.rmtree(small.root / name)
            small.fill(but=int(share * needed))
            ended = kick(*command)
            assert ended.code == 2, (share, ended.said)
            assert str(small.root) in ended.message, share
            assert FULL in ended.message or "Make room" in ended.message or "No space" in ended.message, share
            assert_nothing_half_written(small.root)
            small.empty()
            assert kick(*command).code == 0
            assert_equal(small.root / "results", folder / "whole")
            assert_nothing_half_written(small.root)


def test_a_run_on_a_full_disk_stops_with_one_message_and_goes_on(tiny_llama: Path, tmp_path: Path) -> None:
    run_on_full_disks(tiny_llama, tmp_path, (0.3,))


@pytest.mark.slow
def test_a_run_goes_on_wherever_the_disk_was_full(tiny_llama: Path, tmp_path: Path) -> None:
    run_on_full_disks(tiny_llama, tmp_path, (0, 0.05, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95))


def _report(root: Path) -> tuple[object, ...]:
    return ("report", root / "results", "--format", "md,html,csv,parquet,model-card", "--out", root / "out")


def _board(root: Path) -> tuple[object, ...]:
    return ("leaderboard", root / "results", "--out", root / "out")


def _junit(root: Path) -> tuple[object, ...]:
    return ("gate", root / "results", "--policy", "regression", "--junit", root / "out" / "junit.xml")


def _flips(root: Path) -> tuple[object, ...]:
    candidate = Store(root / "results").suite()["checkpoints"][1]["id"]
    return ("compare", root / "results", "dense", candidate, "--parquet", root / "out" / "flips.parquet")


def _manifest(root: Path) -> tuple[object, ...]:
    return ("verify", root / "results", "--manifest", "write")


COMMANDS = (_report, _board, _junit, _flips, _manifest)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attacked_results(tmp_path_factory.mktemp("scored") / "results")


@contextmanager
def disk_of(results: Path) -> Iterator[Disk]:
    with disk() as one:
        shutil.copytree(results, one.root / "results")
        yield one


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_written_beside_results_is_whole_or_not_there_on_a_full_disk(
    command: Callable[[Path], tuple[object, ...]], scored: Path
) -> None:
    with disk_of(scored) as full:
        full.fill(but=0)
        before = tree(full.root)
        ended = kick(*command(full.root))
        assert ended.code == 2, ended.said
        assert FULL in ended.message
        assert str(full.root) in ended.message
        assert tree(full.root) == before
        full.empty()
        assert kick(*command(full.root)).code in (0, 1, 3)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_disk_is_one_message(command: Callable[[Path], tuple[object, ...]], scored: Path) -> None:
    with disk_of(scored) as one:
        before = tree(one.root)
        with one.read_only():
            ended = kick(*command(one.root))
        assert (ended.code, READ_ONLY in ended.message) == (2, True), ended.said
        assert str(one.root) in ended.message
        assert tree(one.root) == before
        assert kick(*command(one.root)).code in (0, 1, 3)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root for a while."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_without_permission_is_one_message(
    command: Callable[[Path], tuple[object, ...]], scored: Path
) -> None:
    with disk_of(scored) as one:
        words, before = command(one.root), tree(one.root)
        with as_nobody():
            ended = kick(*words)
        assert (ended.code, "Permission denied" in ended.message) == (2, True), ended.said
        assert str(one.root) in ended.message
        assert tree(one.root) == before


def test_a_run_into_a_read_only_folder_is_one_message(tiny_llama: Path, tmp_path: Path) -> None:
    with disk() as one:
        command = (*suite(tiny_llama, tmp_path), "--cache", tmp_path / "cache")
        with one.read_only():
            ended = kick(*command, "--results", one.root / "results")
        assert (ended.code, READ_ONLY in ended.message) == (2, True), ended.said


def test_a_cache_that_cannot_be_written_keeps_no_other_checkpoint_from_being_scored(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with disk() as one:
        command = (
            *suite(tiny_llama, tmp_path),
            "--results",
            tmp_path / "results",
            "--cache",
            one.root / "cache",
        )
        with one.read_only():
            ended = kick(*command)
        assert (ended.code, READ_ONLY in ended.message) == (2, True), ended.said
        assert str(one.root) in ended.message
        assert {cell.checkpoint for cell in Store(tmp_path / "results").cells()} >= {"dense"}
        assert kick(*command).code == 0
