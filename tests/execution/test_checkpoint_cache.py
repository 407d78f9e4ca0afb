"""The cache of made checkpoints: what goes, what stays, and what runs that share it do to each other."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from kick.execution.checkpoint_cache import cached_checkpoints, clear_up, note_use, shrink
from kick.execution.locks import FolderLock
from tests.execution.bed import Bed


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three made checkpoints of 1,002 bytes, `a` used longest ago."""
    for age, name in enumerate(("c", "b", "a"), start=1):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"0" * 1000)
        (tmp_path / name / "kick.json").write_text("{}")
        os.utime(tmp_path / name / "kick.json", (1e9 - age, 1e9 - age))
    return tmp_path


def names(cache: Path) -> list[str]:
    return [checkpoint.folder.name for checkpoint in cached_checkpoints(cache)]


def test_the_checkpoint_that_was_used_longest_ago_goes_first(cache: Path) -> None:
    note_use(cache / "a")
    assert names(cache) == ["b", "c", "a"]
    removed = shrink(cache, 2100, ())
    assert [checkpoint.folder.name for checkpoint in removed] == ["b"]
    assert names(cache) == ["c", "a"]


def test_a_needed_checkpoint_stays_however_large(cache: Path) -> None:
    shrink(cache, 0, {cache / "b"})
    assert names(cache) == ["b"]


def test_nothing_goes_while_there_is_room(cache: Path) -> None:
    assert shrink(cache, 3006, ()) == []
    assert sum(checkpoint.size for checkpoint in cached_checkpoints(cache)) == 3006


def test_a_checkpoint_that_another_run_loads_is_not_removed(cache: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from kick.execution.locks import FolderLock\n"
        "with FolderLock(Path(sys.argv[1])) as lock:\n"
        "    lock.share(lambda: None); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(cache / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        shrink(cache, 0, ())
        assert names(cache) == ["a"]
        other.communicate("")
    shrink(cache, 0, ())
    assert names(cache) == []


def test_a_removed_folder_never_has_its_name_while_half_of_it_is_gone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kick.execution.checkpoint_cache.shutil.rmtree", fail)
        with pytest.raises(KeyboardInterrupt):
            shrink(cache, 2100, ())
    assert not (cache / "a").exists()
    assert len(list(cache.glob(".a.*.tmp"))) == 1
    clear_up(cache)
    assert list(cache.glob(".*.tmp")) == []


def test_leftovers_of_a_killed_process_go_and_folders_that_are_written_stay(cache: Path) -> None:
    for name in ("dead", "converted", "made"):
        (cache / f".{name}.tmp").mkdir()
        (cache / f".{name}.tmp" / "model.safetensors").write_bytes(b"0")
        (cache / f".{name}.lock").touch()
    with FileLock(cache / ".converted.lock"), FolderLock(cache / "made") as making:
        making.exclude(lambda: None)
        clear_up(cache)
    assert sorted(path.name for path in cache.glob(".*.tmp")) == [".converted.tmp", ".made.tmp"]
    assert names(cache) == ["a", "b", "c"]


def test_an_exclusive_lock_is_waited_for_and_the_wait_is_said_once(tmp_path: Path) -> None:
    waits: list[str] = []
    with FolderLock(tmp_path / "a") as first:
        first.exclude(lambda: waits.append("first"))
        released = threading.Timer(0.3, lambda: first.share(lambda: None))
        released.start()
        with FolderLock(tmp_path / "a") as second:
            assert not second.try_exclude()
            second.share(lambda: waits.append("second"))
        released.join()
    assert waits == ["second"]


def test_what_a_killed_run_left_half_removed_goes_also_if_nothing_is_left_to_score(bed: Bed) -> None:
    bed.run()
    half_removed = bed.folder / "cache" / "checkpoints" / ".0123456789abcdef.here-1-1-00000000.tmp"
    half_removed.mkdir()
    (half_removed / "model.safetensors").write_bytes(b"0")
    assert bed.run().scored == 0
    assert not half_removed.exists()
