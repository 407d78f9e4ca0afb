"""The checkpoints that a run makes from others: each is made once, kept in a cache, and removed if there are too many.

Runs may share a cache. A checkpoint that another run is making is waited for, and one that is being loaded is not
removed. What is half written or damaged is made again.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kick.compression import make, read_made
from kick.compression.recipes import same_steps
from kick.errors import InputError
from kick.execution.jobs import Job, RunContext, Source
from kick.execution.locks import FolderLock
from kick.files import temporary_path
from kick.types.recipes import Step, chain


@dataclass(frozen=True)
class CachedCheckpoint:
    """A made checkpoint in the cache."""

    folder: Path
    # Bytes.
    size: int
    # The time of the last use, in seconds since the epoch.
    used: float


@contextmanager
def checkpoint_folder(source: Source, context: RunContext) -> Iterator[Path]:
    """Hold the folder to load: the source itself, or what its recipe makes of it, which is made if need be.

    A made folder is checked against its fingerprint, and no run removes it before the body ends.

    Raises:
        InputError: a step does not fit its source, or the cache cannot be written.
    """
    with ExitStack() as locks:
        yield _after_steps(source, len(source.keys), context, locks)


def shrink_cache(ahead: Sequence[Job], context: RunContext) -> None:
    """Remove made checkpoints beyond those to keep, except those of the jobs ahead; they can be made again."""
    if context.keep is None:
        return
    needed = {
        folder
        for job in ahead
        if job.missing(context.store)
        for folder in cached_folders(job.source, context)
    }
    for checkpoint in shrink(context.checkpoints, context.keep, needed):
        context.reporter.say(f"removed {checkpoint.folder} ({checkpoint.size / 1e9:.2f} GB)")


def report_cache(context: RunContext) -> None:
    """Say how many made checkpoints there are, and their size."""
    if checkpoints := cached_checkpoints(context.checkpoints):
        size = sum(checkpoint.size for checkpoint in checkpoints) / 1e9
        context.reporter.say(
            f"{len(checkpoints)} made checkpoints, {size:.2f} GB, are kept in {context.checkpoints}"
        )


def cached_folders(source: Source, context: RunContext) -> list[Path]:
    """Return the folders of a checkpoint's steps, in order; whether they exist or not."""
    return [context.checkpoints / key[:24] for key in source.keys]


def cached_checkpoints(cache: Path) -> list[CachedCheckpoint]:
    """Return the made checkpoints of a cache, the one that was used longest ago first."""
    checkpoints = []
    for path in cache.glob("*/kick.json"):
        if path.parent.name.startswith("."):
            continue
        try:
            size = sum(file.stat().st_size for file in path.parent.iterdir())
            checkpoints.append(CachedCheckpoint(path.parent, size, path.stat().st_mtime))
        except FileNotFoundError:
            # Another run has just removed it.
            continue
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.used)


def note_use(folder: Path) -> None:
    """Note that a made checkpoint is used now."""
    os.utime(folder / "kick.json")


def clear_up(cache: Path) -> None:
    """Remove the half written and half removed folders of processes that were killed."""
    for scratch in cache.glob(".*.tmp"):
        name = scratch.name.removeprefix(".").removesuffix(".tmp")
        with FolderLock(cache / name) as lock:
            if not lock.try_exclude():
                continue
            try:
                # Held by whoever writes the folder: `kick.compression.make`, or the conversion of a GGUF file.
                with FileLock(scratch.with_suffix(".lock"), timeout=0):
                    shutil.rmtree(scratch, ignore_errors=True)
            except Timeout:
                continue


def shrink(cache: Path, most: int, needed: Collection[Path]) -> list[CachedCheckpoint]:
    """Remove made checkpoints until the rest takes `most` bytes or less; return those that were removed.

    The one that was used longest ago goes first. Those that are `needed`, or used by another run, stay.
    """
    checkpoints = cached_checkpoints(cache)
    total = sum(checkpoint.size for checkpoint in checkpoints)
    removed = []
    for checkpoint in checkpoints:
        if total <= most:
            break
        if checkpoint.folder in needed:
            continue
        with FolderLock(checkpoint.folder) as lock:
            if lock.try_exclude():
                _remove(checkpoint.folder)
                total -= checkpoint.size
                removed.append(checkpoint)
    return removed


def _after_steps(source: Source, count: int, context: RunContext, locks: ExitStack) -> Path:
    """Return the folder after some steps of a recipe, locked against removal until `locks` closes."""
    if count == 0:
        return source.folder
    folder = cached_folders(source, context)[count - 1]
    lock = locks.enter_context(FolderLock(folder))
    lock.share(lambda: context.reporter.say(f"waiting for another run that makes {folder}"))
    intact = _is_intact(folder, source, count, context)
    while not intact:
        lock.exclude(lambda: context.reporter.say(f"waiting for another run that uses {folder}"))
        if not _is_intact(folder, source, count, context):
            _make(folder, source, count, context)
        lock.share(lambda: None)
        # The lock was free for a moment, in which another run may have removed the folder.
        intact = folder.is_dir()
    note_use(folder)
    return folder


def _is_intact(folder: Path, source: Source, count: int, context: RunContext) -> bool:
    """Return whether a folder is there, and what kick wrote by these steps."""
    if not folder.is_dir():
        return False
    try:
        made = read_made(folder)
    except InputError as error:
        context.reporter.say(str(error))
        return False
    return same_steps(made.recipe.steps, _steps(source, count))


def _steps(source: Source, count: int) -> tuple[Step, ...]:
    """Return all steps from a dense checkpoint to the folder after `count` steps of the suite's recipe."""
    assert source.made is not None
    return source.made.steps[: len(source.made.steps) - len(source.keys) + count]


def _make(folder: Path, source: Source, count: int, context: RunContext) -> None:
    clear_up(context.checkpoints)
    if folder.is_dir():
        context.reporter.say(f"{folder} is made again")
        _remove(folder)
    with ExitStack() as locks:
        start = _after_steps(source, count - 1, context, locks)
        recipe = chain(_steps(source, count))
        checkpoint = source.checkpoint
        part = f" (step {count} of {len(source.keys)})" if len(source.keys) > 1 else ""
        context.reporter.say(f"making {checkpoint.id}{part} from {checkpoint.base} into {folder}")
        samples = context.read_samples(recipe.calibration, source.folder) if recipe.calibration else None
        make(recipe, start, folder, samples=samples, reporter=context.reporter)


def _remove(folder: Path) -> None:
    """Remove a folder as if at once: a half removed one never has its name."""
    scratch = temporary_path(folder)
    folder.rename(scratch)
    shutil.rmtree(scratch, ignore_errors=True)
