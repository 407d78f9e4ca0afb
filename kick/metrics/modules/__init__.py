"""kick's metrics for `evaluate.load`: each folder here is a module that loads from this machine, not from the hub.

evaluate.load(str(kick.metrics.modules.path("short_answers")))
"""

from pathlib import Path

from kick.errors import InputError, nearest

NAMES = ("short_answers", "summaries")


def path(name: str) -> Path:
    """The folder of a module, to be given to `evaluate.load`.

    Raises:
        InputError: there is no such module.
    """
    if name not in NAMES:
        raise InputError(f"kick has no evaluate module '{name}'. {nearest(name, NAMES)}")
    return Path(__file__).parent / name
