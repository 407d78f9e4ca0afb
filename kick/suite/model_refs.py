"""Model references, by one grammar: a folder, a .gguf file, `owner/name[/file.gguf]@revision`, or a server."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from kick.errors import InputError
from kick.types import ModelReference

_HUB = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:/(?P<file>(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.gguf))?"
    r"(?:@(?P<revision>[A-Za-z0-9][\w./-]*))?"
)
_SERVER = re.compile(r"https?://", re.IGNORECASE)


def parse_model(
    text: str, at: str, *, revision: str | None = None, folder: Path | None = None
) -> ModelReference:
    """Return the reference to a model: a server, a folder or .gguf file that exists here, else a pinned hub id.

    Args:
        text: the reference; its `${VARIABLES}` are filled in.
        at: the key or option that holds it, for messages.
        revision: the revision of a hub id that has none in its text.
        folder: the start of a relative path. One with variables is the caller's, and starts where kick is called.

    Raises:
        InputError: there is no such folder or file, it is neither of these, a hub id is not pinned or pinned twice,
            a local model or a server has a revision, a variable is not set, or the address of a server holds a secret.
    """
    if _SERVER.match(text):
        return _server(text, revision, at)
    expanded = expand_variables(text, at)
    local = local_path(expanded, folder if folder is not None and text == expanded else Path.cwd())
    if local.exists():
        return _local(local, revision, at)
    match = _HUB.fullmatch(expanded)
    if match is None:
        raise InputError(
            f"{at}: {local} is not a folder or .gguf file. Give the folder of a checkpoint, a .gguf file, or a "
            "hub id (owner/name@revision, or owner/name/file.gguf@revision)."
        )
    if match["revision"] and revision not in (None, match["revision"]):
        raise InputError(
            f"{at}: '{expanded}' names a revision, and `revision` another one ({revision}). Give one of them."
        )
    pinned = match["revision"] or revision
    if pinned is None:
        raise InputError(
            f"{at}: there is no folder {local}, and the hub id '{expanded}' is not pinned. Add "
            "`revision:` with the commit to load, or write owner/name@<sha>, so the scores stay those of one model."
        )
    return ModelReference(repository=match["repository"], file=match["file"], revision=pinned)


def parse_folder(text: str, at: str, *, folder: Path | None = None) -> ModelReference:
    """Return the reference to a folder with a tokenizer or an adapter; as `parse_model`, without files."""
    reference = parse_model(text, at, folder=folder)
    if (
        reference.file is not None
        or reference.server is not None
        or (reference.path is not None and not Path(reference.path).is_dir())
    ):
        raise InputError(
            f"{at}: {reference.name} is not a folder. Give one, or a hub id as owner/name@<sha>."
        )
    return reference


def expand_variables(text: str, at: str) -> str:
    """Return a text with its `${VARIABLES}` filled in; `at` is the key that holds it, for messages.

    Raises:
        InputError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise InputError(
                f"{at}: the environment variable {name} is not set. Set it, or write the path itself."
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def local_path(text: str, folder: Path) -> Path:
    """Return an absolute path without `..`; a relative one starts at `folder`. Symlinks after the last `..` stay."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        # There is no such user, so the tilde is part of a name.
        path = Path(text)
    path = (folder / path).absolute()
    if ".." not in path.parts:
        return path
    # The parent of a symlink is the parent of its target.
    last = len(path.parts) - path.parts[::-1].index("..")
    return Path(*path.parts[:last]).resolve().joinpath(*path.parts[last:])


def _server(text: str, revision: str | None, at: str) -> ModelReference:
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query or "$" in text:
        raise InputError(
            f"{at}: the address of a server is kept with the results, so it must hold no user, password, query or "
            "variable. Put its key into the environment (see docs/engines.md)."
        )
    if not parts.hostname or revision is not None:
        raise InputError(f"{at}: '{text}' is not the address of a server, such as http://127.0.0.1:8000/v1.")
    return ModelReference(server=text.rstrip("/"))


def _local(path: Path, revision: str | None, at: str) -> ModelReference:
    if not path.is_dir() and path.suffix != ".gguf":
        raise InputError(
            f"{at}: {path} is a file. Give the folder that holds config.json and *.safetensors, or a .gguf file."
        )
    if revision is not None:
        raise InputError(f"{at}: {path} is a local model, which has no revision. Remove `revision`.")
    return ModelReference(path=str(path))
