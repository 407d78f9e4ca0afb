"""Where the paths of a suite file point: variables filled in, folders from that of the suite, hub ids."""

import os
import re
from pathlib import Path

from kick.errors import InputError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?P<file>/[\w./-]+\.gguf)?")


def elsewhere(text: str | None, folder: Path, at: str) -> str | None:
    """A key that names a further folder: its path, or a hub id as owner/name@revision."""
    if text is None:
        return None
    expanded = expand_variables(text, at)
    local = local_path(expanded, folder if text == expanded else Path.cwd())
    name, _, revision = expanded.partition("@")
    if local.is_dir():
        return str(local)
    if not (HUB_ID.fullmatch(name) and revision):
        raise InputError(f"{at}: {local} is not a folder. Give one, or a hub id as owner/name@<commit sha>.")
    return expanded


def expand_variables(text: str, at: str) -> str:
    """A text with its `${VARIABLES}` filled in; `at` is the key that it stands under, for messages."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise InputError(
                f"{at}: the environment variable {name} is not set. Set it, or write the path itself."
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def local_path(text: str, folder: Path) -> Path:
    """An absolute path; a relative one is taken from `folder`."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else (folder / path).absolute()
