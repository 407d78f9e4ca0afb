"""Locks of files. They end with the process that holds them; a disk without locks is said, not assumed.

A lock is believed only after a second try to take it was refused. The locks of some network file systems hold within
one machine: that is read from the mount table and said once, since runs of several machines would not see each other.
"""

import fcntl
import functools
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kick.errors import InputError

log = logging.getLogger(__name__)

# File systems whose locks hold within one machine, and the mount options that make them so; without options: always.
_WITHIN_A_MACHINE: dict[str, tuple[str, ...]] = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("local_lock=all", "local_lock=flock"),
    "cifs": ("nobrl",),
    "smb3": ("nobrl",),
    "lustre": ("localflock",),
    "fuse.sshfs": (),
    "9p": (),
    "virtiofs": (),
    "vboxsf": (),
}
_ESCAPE = re.compile(r"\\([0-7]{3})")


class LockHeldError(Exception):
    """Another run holds a lock."""


class UnkeptLockError(OSError):
    """A disk grants a lock that somebody holds."""


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file; it stays when the lock is free again.

    Args:
        path: the lock file; its folder is made if it does not exist.
        wait: wait until the lock is free.

    Raises:
        LockHeldError: another run holds it, and `wait` is False.
        InputError: the file cannot be written, or its disk has no locks or does not keep them.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        try:
            take(descriptor, path, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeldError from None
        except OSError as error:
            raise _refusal(path, error) from None
        yield
    finally:
        os.close(descriptor)


def take(descriptor: int, path: Path, operation: int) -> None:
    """Take a lock, and see that nobody else gets it; say so once if it holds within this machine only.

    Args:
        descriptor: the open lock file.
        path: its path.
        operation: of `fcntl.flock`.

    Raises:
        BlockingIOError: somebody holds the lock, and the operation does not wait.
        UnkeptLockError: the disk grants the lock a second time.
        OSError: the disk has no locks.
    """
    fcntl.flock(descriptor, operation)
    probe = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        raise UnkeptLockError(None, "its disk grants a lock that somebody holds")
    finally:
        os.close(probe)
    _say_where_locks_hold(path.parent)


def why_within_a_machine(folder: Path, mounts: str) -> str | None:
    """Return why locks below a folder hold within one machine only; None: nothing tells that they do.

    Args:
        folder: an absolute path without links.
        mounts: the mount table, as in /proc/self/mountinfo.
    """
    place, kind, options = Path("/"), "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(described) < 3:
            continue
        mounted = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # The longest place counts, and of mounts in one place the last.
        if folder.is_relative_to(mounted) and mounted.is_relative_to(place):
            place, kind, options = mounted, described[0], described[2]
    reasons = _WITHIN_A_MACHINE.get(kind)
    if reasons is None:
        return None
    stated = [option for option in options.split(",") if option in reasons]
    if reasons and not stated:
        return None
    how = f" with {', '.join(stated)}" if stated else ""
    return (
        f"{place} is a file system of type {kind}{how}: its locks hold within one machine. Runs of several machines at "
        "a time need a results folder and a cache each."
    )


@functools.cache
def _say_where_locks_hold(folder: Path) -> None:
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        # Only Linux tells.
        return
    if reason := why_within_a_machine(folder.resolve(), mounts):
        log.warning(reason)


def _refusal(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be locked: {error.strerror}. Give a results folder on a disk that can be written and has file "
        "locks."
    )
