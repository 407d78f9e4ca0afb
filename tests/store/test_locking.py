"""Locks that hold within one machine only are told from the mount table."""

import logging
from pathlib import Path

import pytest

from kick.store.locking import held, why_within_a_machine

ROOT = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


def mount(place: str, kind: str, options: str = "rw") -> str:
    """A line of /proc/self/mountinfo."""
    return f"40 25 0:52 / {place} rw,relatime shared:2 - {kind} server:/export {options}\n"


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("nfs", "rw,vers=3,nolock,local_lock=all", "of type nfs with nolock, local_lock=all"),
        ("nfs", "rw,local_lock=flock", "of type nfs with local_lock=flock"),
        ("cifs", "rw,nobrl", "of type cifs with nobrl"),
        ("fuse.sshfs", "rw,user_id=0", "of type fuse.sshfs: its locks hold within one machine"),
        ("lustre", "rw,localflock", "of type lustre with localflock"),
    ],
)
def test_a_network_disk_with_locks_of_one_machine_is_told(kind: str, options: str, words: str) -> None:
    reason = why_within_a_machine(Path("/data/results"), ROOT + mount("/data", kind, options))
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("nfs", "rw,vers=3,local_lock=none"),
        ("nfs4", "rw"),
        ("cifs", "rw"),
        ("lustre", "rw,flock"),
        ("xfs", "rw"),
    ],
)
def test_nothing_is_said_of_a_disk_that_keeps_its_locks(kind: str, options: str) -> None:
    assert why_within_a_machine(Path("/data/results"), ROOT + mount("/data", kind, options)) is None


def test_the_disk_is_that_of_the_folder_itself() -> None:
    mounts = ROOT + mount("/data\\040of\\040mine", "fuse.sshfs") + mount("/data\\040of\\040mine/fast", "xfs")
    assert why_within_a_machine(Path("/data of mine/results"), mounts) is not None
    assert why_within_a_machine(Path("/data of mine/fast/results"), mounts) is None
    assert why_within_a_machine(Path("/database"), mounts) is None
    assert why_within_a_machine(Path("/data"), ROOT + mount("/data", "9p") + mount("/data", "ext4")) is None


@pytest.mark.parametrize("mounts", ["", "garbage", "1 2 3 - \n", ROOT + "40 25\n"])
def test_a_mount_table_that_cannot_be_read_says_nothing(mounts: str) -> None:
    assert why_within_a_machine(Path("/data"), mounts) is None


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), held(tmp_path / "locks" / "a.lock", wait=False):
        assert caplog.messages == []
