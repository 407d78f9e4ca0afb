"""Commands of kick in this process, and disks of their own for them."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from kick.cli import main
from tests.results import make_results


def attacked_results(path: Path) -> Path:
    """Make a results folder that every command accepts, a few items large."""
    damage = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.1}
    return make_results(path, items=24, tasks=("kick_freebaseqa", "kick_mmlu"), damage=damage).root


class Ended:
    """How a command ended: its exit code and what it printed."""

    def __init__(self, code: int, printed: str, said: str) -> None:
        self.code, self.printed, self.said = code, printed, said

    @property
    def message(self) -> str:
        """The last line on stderr."""
        return self.said.rstrip().rpartition("\n")[2]


def kick(*words: object) -> Ended:
    """Run a command; whatever it raises beside an exit is a traceback for a user."""
    printed, said = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["kick", *map(str, words)]),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
    ):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ended(code, printed.getvalue(), said.getvalue())


class Disk:
    """A file system in memory of a few megabytes, which can be filled and made read-only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._filler = root / "filler"

    def used(self) -> int:
        """Return the bytes in use."""
        status = os.statvfs(self.root)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def fill(self, but: int) -> None:
        """Fill the disk but for so many bytes."""
        status = os.statvfs(self.root)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(status.f_bfree * status.f_frsize - but, 1))

    def empty(self) -> None:
        """Make room again."""
        self._filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Make the file system read-only for a while."""
        _mount("-o", "remount,ro", str(self.root))
        try:
            yield
        finally:
            _mount("-o", "remount,rw", str(self.root))


@contextmanager
def disk(size: str = "64m") -> Iterator[Disk]:
    """Mount a disk; skips the test where that is not allowed."""
    root = Path(tempfile.mkdtemp(prefix="kick-disk-"))
    try:
        _mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(root))
    except (OSError, subprocess.CalledProcessError):
        root.rmdir()
        pytest.skip("file systems cannot be mounted here")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
        root.rmdir()


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)
