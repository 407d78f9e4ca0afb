"""Locks of a results folder. They end with the process that holds them; a disk without locks is said, not assumed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from kick.errors import InputError


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: the lock file; its folder is made if it does not exist.
        wait: wait until the lock is free.

    Raises:
        filelock.Timeout: another process holds it, and `wait` is False.
        InputError: the file cannot be written, or its disk has no locks.
    """
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        path.parent.mkdir(exist_ok=True)
        lock.acquire()
    except Timeout:
        # An OSError as well.
        raise
    except NotImplementedError:
        raise InputError(_no_locks(path, "its file system has none")) from None
    except OSError as error:
        raise InputError(_no_locks(path, error.strerror or str(error))) from None
    try:
        # filelock's stand-in where a disk has no locks: it outlives a killed process, and blocks the next one.
        if isinstance(lock, SoftFileLock):
            raise InputError(_no_locks(path, "its file system has none"))
        yield
    finally:
        lock.release()


def _no_locks(path: Path, reason: str) -> str:
    return f"{path} cannot be locked: {reason}. Give a results folder on a disk that can be written and has file locks."
