"""The checkpoints that a run makes from others: each once, kept in a cache, and removed where there are too many."""

from collections.abc import Sequence
from pathlib import Path

from kick.execution.jobs import Job, Room, Source


def materialise(source: Source, room: Room) -> Path:
    """The folder to load: the source itself, or the compressed copy of it, made once, kept, and checked each time."""
    checkpoint = source.checkpoint
    if checkpoint.recipe is None:
        return source.folder
    from kick.compression import make, read_made
    from kick.compression.cache import clear_up, used_now

    recipe = checkpoint.recipe
    out = _made_folder(source, room)
    if out.is_dir():
        read_made(out)
        used_now(out)
    else:
        clear_up(room.made)
        room.reporter.say(f"making {checkpoint.id} from {checkpoint.base} into {out}")
        samples = room.sampled(recipe.calibration, source.folder) if recipe.calibration else None
        make(recipe, source.folder, out, samples=samples, reporter=room.reporter)
    return out


def _made_folder(source: Source, room: Room) -> Path:
    return room.made / source.made[:24]


def shrink_cache(ahead: Sequence[Job], room: Room) -> None:
    """Remove made checkpoints beyond those to keep, but for those of the jobs ahead; they can be made again."""
    from kick.compression.cache import shrink

    if room.keep is not None:
        needed = {_made_folder(job.source, room) for job in ahead if job.missing(room.store)}
        for one in shrink(room.made, room.keep, needed):
            room.reporter.say(f"removed {one.folder} ({one.size / 1e9:.2f} GB)")


def say_kept(room: Room) -> None:
    """Say how many made checkpoints there are, and their size."""
    from kick.compression.cache import kept

    if there := kept(room.made):
        size = sum(one.size for one in there) / 1e9
        room.reporter.say(f"{len(there)} made checkpoints, {size:.2f} GB, are kept in {room.made}")
