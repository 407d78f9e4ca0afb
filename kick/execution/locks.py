"""Shared and exclusive locks between the runs that use one cache, of this machine and of others on a shared disk."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from kick.errors import InputError
from kick.store.locking import take


class FolderLock:
    """A lock on a folder that may not exist yet: shared while it is read, exclusive while it is made or removed.

    It ends with the process that holds it. The lock file is next to the folder, below `locks/`, and stays: a file that
    is removed and made again would be two locks.

    Args:
        folder: the folder; its parent is created.

    Raises:
        InputError: the place cannot be written, or its file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.parent / "locks" / f"{folder.name}.lock"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror}). Give another --cache."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def share(self, before_waiting: Callable[[], object]) -> None:
        """Wait until nobody makes or removes the folder, and keep others from doing so.

        Args:
            before_waiting: called once if the lock is not free at once.
        """
        self._wait(fcntl.LOCK_SH, before_waiting)

    def exclude(self, before_waiting: Callable[[], object]) -> None:
        """Wait until nobody else uses the folder, and keep others from doing so; a shared lock is given up."""
        self._wait(fcntl.LOCK_EX, before_waiting)

    def try_exclude(self) -> bool:
        """Take the exclusive lock if it is free; return whether it was."""
        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _wait(self, kind: int, before_waiting: Callable[[], object]) -> None:
        if not self._lock(kind | fcntl.LOCK_NB):
            before_waiting()
            self._lock(kind)

    def _lock(self, operation: int) -> bool:
        try:
            take(self._descriptor, self.path, operation)
        except BlockingIOError:
            return False
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be locked ({error.strerror}). Give a --cache on a disk that has file locks."
            ) from None
        return True
