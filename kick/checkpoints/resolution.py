"""From a checkpoint of a suite to files on this machine: local ones as they are, those of a hub id by download."""

import re
from pathlib import Path

from kick.checkpoints.folder import TOKENIZER_FILES, tokenizer_files
from kick.errors import InputError
from kick.types import Checkpoint

HUB_ID = re.compile(r"(?P<repository>[\w.-]+(/[\w.-]+)?)(?P<file>(?<=[^/])/[\w./-]+\.gguf)?")
_WANTED = ["*.safetensors", "*.json", "*.model", "*.tiktoken", "*.txt", "*.jinja"]
_UNWANTED = ["*/*", "consolidated*"]  # files in subfolders, and Mistral's second copy of the weights


def resolve(checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint, or its GGUF file; a hub id is downloaded at its revision, or taken from its cache.

    Only safetensors, JSON, tokenizer and chat template files are fetched, and Python files if remote code is
    trusted; of `owner/name/file.gguf` that file alone.

    Raises:
        InputError: no such file or folder, several GGUF files to choose from, no such repository or revision, a hub
            id without a revision, or no network.
    """
    path = Path(checkpoint.model).expanduser()
    if path.is_dir():
        return _gguf_alone(path) or path
    if path.is_file():
        if path.suffix == ".gguf":
            return path
        raise InputError(
            f"checkpoint '{checkpoint.id}': {path} is a file. Give the folder that holds config.json and "
            "*.safetensors, or a .gguf file."
        )
    match = HUB_ID.fullmatch(checkpoint.model)
    if not match or checkpoint.model.startswith("."):
        raise InputError(f"checkpoint '{checkpoint.id}': there is no folder {path}.")
    if checkpoint.revision is None:
        raise InputError(
            f"checkpoint '{checkpoint.id}': '{checkpoint.model}' is no folder here, and as a hub id it needs "
            "a revision. Pin one, so that the scores stay those of one model: 'revision: <commit sha>'."
        )
    what = f"checkpoint '{checkpoint.id}': {checkpoint.model} at revision {checkpoint.revision}"
    if match["file"]:
        file = match["file"].removeprefix("/")
        return _download(what, match["repository"], checkpoint.revision, [file]) / file
    wanted = [*_WANTED, "*.py"] if checkpoint.trust_remote_code else _WANTED
    return _download(what, match["repository"], checkpoint.revision, wanted)


def locate(model: str) -> Path:
    """The folder or GGUF file of a model given on the command line; of a hub id as `owner/name@revision`.

    Raises:
        InputError: as `resolve`.
    """
    name, revision = split_revision(model)
    return resolve(Checkpoint(id=name, model=name, revision=revision))


def resolve_tokenizer(checkpoint: Checkpoint, model: Path) -> Path:
    """The folder of a checkpoint's tokenizer: the one that it names, or that of its model.

    Raises:
        InputError: the one that it names is not there.
    """
    if checkpoint.tokenizer is None and model.is_dir():
        return model
    if checkpoint.tokenizer is None:
        if tokenizer_files(model.parent):
            return model.parent
        raise InputError(
            f"checkpoint '{checkpoint.id}': {model} has no tokenizer that can be trusted: what transformers builds "
            "from a GGUF file may split texts otherwise and leave out the BOS token. Set `tokenizer` to the folder "
            "or hub id of the model that the file was made from."
        )
    return _further(checkpoint, "tokenizer", checkpoint.tokenizer, list(TOKENIZER_FILES))


def resolve_adapter(checkpoint: Checkpoint) -> Path | None:
    """The folder of a checkpoint's adapter, or None if it has none.

    Raises:
        InputError: it is not there.
    """
    if checkpoint.adapter is None:
        return None
    return _further(checkpoint, "adapter", checkpoint.adapter, _WANTED)


def _further(checkpoint: Checkpoint, key: str, given: str, wanted: list[str]) -> Path:
    """A folder that a checkpoint names beside its model."""
    name, revision = split_revision(given)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if revision is None or not HUB_ID.fullmatch(name):
        raise InputError(
            f"checkpoint '{checkpoint.id}': {key}: {folder} is no folder. Give one, or a hub id as "
            "owner/name@<commit sha>."
        )
    return _download(
        f"checkpoint '{checkpoint.id}': the {key} {name} at revision {revision}", name, revision, wanted
    )


def split_revision(model: str) -> tuple[str, str | None]:
    """`owner/name@revision` as its two parts; a path that exists here has no revision."""
    if Path(model).expanduser().exists():
        return model, None
    name, _, revision = model.partition("@")
    return name, revision or None


def _gguf_alone(folder: Path) -> Path | None:
    """The GGUF file of a folder that holds no other weights, or None."""
    files = sorted(folder.glob("*.gguf"))
    if not files or list(folder.glob("*.safetensors")):
        return None
    if len(files) > 1:
        raise InputError(
            f"{folder} holds {len(files)} GGUF files ({', '.join(file.name for file in files[:3])}). "
            "Name the file itself."
        )
    return files[0]


def _download(what: str, repository: str, revision: str, wanted: list[str]) -> Path:
    from functools import partial

    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    unwanted = [] if wanted[0].endswith(".gguf") else _UNWANTED
    download = partial(
        snapshot_download, repository, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted
    )
    try:
        return Path(download())
    except GatedRepoError:
        raise InputError(
            f"{what} is gated. Accept its terms on the hub and log in with 'hf auth login'."
        ) from None
    except RevisionNotFoundError:
        raise InputError(
            f"{what} does not exist: the repository has no such revision. Check the commit sha."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(
            f"{what} was not found: no such folder here and no such repository on the hub. Check the name; "
            "for a private repository log in with 'hf auth login'."
        ) from None
    except (httpx.HTTPError, HfHubHTTPError, OSError) as error:
        try:
            return Path(download(local_files_only=True))
        except OSError:
            raise InputError(
                f"{what} is not whole in the hub's cache and cannot be downloaded ({type(error).__name__}). "
                "Connect to the network (HF_HUB_OFFLINE unset), or download it elsewhere and give its folder."
            ) from None
