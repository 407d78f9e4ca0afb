"""The folder of a report or a leaderboard: nothing is written outside it, and each file is written whole or not at all.

Names of checkpoints, tasks and series come from results folders that others made. They become names of files by
`file_name`, and every path is checked once more when it is written.
"""

import hashlib
import re
from pathlib import Path, PurePosixPath

from kick.errors import InputError
from kick.files import write_atomically

_LONGEST = 100
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def file_name(text: str) -> str:
    """Return text as the name of a file: itself if it is plain and short, else its slug."""
    return text if _PLAIN.fullmatch(text) and len(text) <= _LONGEST else slug(text)


def slug(text: str) -> str:
    """Return text as letters, digits and hyphens, with a hash if that loses something."""
    kept = "".join(character if character.isascii() and character.isalnum() else "-" for character in text)
    if kept == text.replace("_", "-").replace(".", "-") and len(kept) <= _LONGEST:
        return kept
    return f"{kept[:_LONGEST]}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:6]}"


class OutputFolder:
    """A folder that a report or a leaderboard is written to.

    Args:
        root: The folder; it is made with the first file.
        what: What is written there, for messages.

    Raises:
        InputError: `root` is a file.
    """

    def __init__(self, root: Path, what: str) -> None:
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file. Give a folder for {what}.")
        self.root = root
        self.what = what

    def path(self, name: str) -> Path:
        """Return the path of a file in this folder.

        Args:
            name: The path below the folder, with slashes.

        Raises:
            InputError: The path would lead out of the folder, by its name or by a link.
        """
        parts = PurePosixPath(name).parts
        path = self.root.joinpath(*parts)
        if not parts or ".." in parts or parts[0] == "/" or not self._holds(path.parent):
            raise InputError(
                f"{name!r} leads out of {self.root}, the folder of {self.what}. Nothing was written there. If a folder "
                "in it is a link, give another folder."
            )
        return path

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file whole: after a kill it is the old one or the new one.

        Raises:
            InputError: The path leads out of the folder, or the file cannot be written.
        """
        path = self.path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}.") from None
        return path

    def _holds(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root.resolve())
