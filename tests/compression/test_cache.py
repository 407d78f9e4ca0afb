import os
from pathlib import Path

import pytest
from filelock import FileLock

from kick.compression.cache import clear_up, kept, shrink, used_now


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
    return [one.folder.name for one in kept(cache)]


def test_what_was_used_longest_ago_goes_first(cache: Path) -> None:
    used_now(cache / "a")
    assert names(cache) == ["b", "c", "a"]
    gone = shrink(cache, 2100, ())
    assert [one.folder.name for one in gone] == ["b"]
    assert names(cache) == ["c", "a"]


def test_what_is_needed_stays_however_large(cache: Path) -> None:
    shrink(cache, 0, {cache / "b"})
    assert names(cache) == ["b"]


def test_nothing_goes_while_there_is_room(cache: Path) -> None:
    assert shrink(cache, 3006, ()) == []
    assert sum(one.size for one in kept(cache)) == 3006


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(cache: Path) -> None:
    for name in ("dead", "alive"):
        (cache / f".{name}.tmp").mkdir()
        (cache / f".{name}.tmp" / "model.safetensors").write_bytes(b"0")
        (cache / f".{name}.lock").touch()
    with FileLock(cache / ".alive.lock"):
        clear_up(cache)
    assert not (cache / ".dead.tmp").exists()
    assert not (cache / ".dead.lock").exists()
    assert (cache / ".alive.tmp").exists()
    assert names(cache) == ["a", "b", "c"]
