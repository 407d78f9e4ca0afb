"""Where made checkpoints are kept: how much room they take, and which go when there is too little."""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class Kept:
    """A made checkpoint in the cache."""

    folder: Path
    size: int  # bytes
    used: float  # when it was last used: seconds since the epoch


def kept(cache: Path) -> list[Kept]:
    """The made checkpoints of a cache, the one that was used longest ago first."""
    found = [
        Kept(
            folder=path.parent,
            size=sum(file.stat().st_size for file in path.parent.iterdir()),
            used=path.stat().st_mtime,
        )
        for path in cache.glob("*/kick.json")
        if not path.parent.name.startswith(".")
    ]
    return sorted(found, key=lambda one: one.used)


def used_now(folder: Path) -> None:
    """Note that a made checkpoint was used."""
    os.utime(folder / "kick.json")


def clear_up(cache: Path) -> None:
    """Remove what processes that were killed left half written."""
    for scratch in cache.glob(".*.tmp"):
        try:
            with FileLock(scratch.with_suffix(".lock"), timeout=0):
                shutil.rmtree(scratch, ignore_errors=True)
        except Timeout:
            continue  # it is being written
        scratch.with_suffix(".lock").unlink(missing_ok=True)


def shrink(cache: Path, most: int, needed: Collection[Path]) -> list[Kept]:
    """Remove made checkpoints until the rest takes `most` bytes or less; returns those that went.

    What was used longest ago goes first, and what is `needed` stays, however large it is.
    """
    there = kept(cache)
    total = sum(one.size for one in there)
    gone = []
    for one in there:
        if total <= most:
            break
        if one.folder not in needed:
            shutil.rmtree(one.folder)
            total -= one.size
            gone.append(one)
    return gone
