"""The folder of a leaderboard on the disk: kick replaces and removes only files that it can prove it wrote.

Proof is a manifest next to the pages, with the SHA-256 of every file of the board. It is written before the first page,
so a board that was killed half way is still known to be kick's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from kick.errors import InputError
from kick.files import file_sha256, read_bytes
from kick.reports.output import OutputFolder

MANIFEST = "kick-board.json"
_FILE = re.compile(r"(index|checkpoints/[A-Za-z0-9-]+|badges/[A-Za-z0-9-]+)\.(html|json|csv|svg)")
_HASH = re.compile(r"[0-9a-f]{64}")

Listed = dict[str, list[str]]


class Site:
    """The folder of a leaderboard.

    Args:
        root: The folder; it is made with the first file.

    Raises:
        InputError: `root` is a file, a results folder, or holds files that kick did not write.
    """

    def __init__(self, root: Path) -> None:
        self._folder = OutputFolder(root, "the leaderboard")
        if (root / "suite.yaml").exists():
            raise InputError(f"{root} is a results folder. Give a folder of its own for the leaderboard.")
        self._listed = self._read()
        if self._listed is None and (foreign := sorted(_foreign(root))):
            raise InputError(
                f"{root} holds files that kick did not write: {', '.join(foreign[:3])}"
                f"{', ...' if len(foreign) > 3 else ''}. Give a new or empty folder for the leaderboard."
            )

    def replace(self, files: Mapping[str, str]) -> None:
        """Write a board and remove the pages of the one before that it has no more.

        A page that was changed since kick wrote it is not removed.

        Args:
            files: The content of every file by its path below the folder.

        Raises:
            InputError: A file of the board is there already and kick did not write it, or a file cannot be written.
                Nothing is written in the first case.
        """
        listed = self._listed or {}
        for name in files:
            path = self._folder.path(name)
            if name not in listed and path.exists() and not _never_finished(path):
                raise InputError(
                    f"{path} is there already and kick did not write it. Move it away, or give another folder for the "
                    "leaderboard."
                )
        hashes = {name: sha256(content.encode()).hexdigest() for name, content in files.items()}
        both = {
            name: list(dict.fromkeys([*listed.get(name, []), *([hashes[name]] if name in hashes else [])]))
            for name in sorted({*listed, *hashes})
        }
        self._write(both)
        for name, content in files.items():
            self._folder.write(name, content)
        for name in listed.keys() - files.keys():
            path = self._folder.path(name)
            if path.is_file() and not path.is_symlink() and file_sha256(path) in listed[name]:
                path.unlink()
        self._write({name: [hashes[name]] for name in sorted(hashes)})

    def _write(self, listed: Listed) -> None:
        self._folder.write(MANIFEST, json.dumps({"files": listed}, indent=1) + "\n")

    def _read(self) -> Listed | None:
        """Return the files of the last board with the hashes that each may have; None if there was no board."""
        path = self._folder.path(MANIFEST)
        if not path.exists():
            return None
        try:
            listed: Listed = json.loads(read_bytes(path))["files"]
            sound = all(
                _FILE.fullmatch(name) and all(_HASH.fullmatch(one) for one in hashes)
                for name, hashes in listed.items()
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise InputError(
                f"{path} is not a manifest that kick wrote, so nothing in its folder can be replaced. Give a new "
                "or empty folder for the leaderboard."
            )
        return listed


def _foreign(root: Path) -> Iterator[str]:
    """Yield what a folder without a manifest holds; hidden files, as those of git, do not count."""
    for path in root.iterdir() if root.is_dir() else ():
        if path.name.startswith(".") or _never_finished(path):
            continue
        if path.is_symlink() or not path.is_dir():
            yield path.name
        else:
            yield from (f"{path.name}/{below.name}" for below in path.iterdir())


def _never_finished(path: Path) -> bool:
    """Return whether a file is an index page without content, which a killed write of an older kick left."""
    return path.name == "index.html" and path.is_file() and path.stat().st_size == 0
