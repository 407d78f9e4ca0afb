"""Locks of a results folder. They end with the process that holds them; a disk without locks is said, not assumed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kick.errors import InputError


class LockHeldError(Exception):
    """Another run holds a lock."""


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file; it stays when the lock is free again.

    Args:
        path: the lock file; its folder is made if it does not exist.
        wait: wait until the lock is free.

    Raises:
        LockHeldError: another run holds it, and `wait` is False.
        InputError: the file cannot be written, or its disk has no locks.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeldError from None
        except OSError as error:
            raise _refusal(path, error) from None
        yield
    finally:
        os.close(descriptor)


def _refusal(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be locked: {error.strerror}. Give a results folder on a disk that can be written and has file "
        "locks."
    )
