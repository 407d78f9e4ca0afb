"""From a checkpoint of a suite to a folder on this machine: a local folder as it is, a hub id by download."""

import re
from pathlib import Path

from kick.errors import InputError
from kick.types import Checkpoint

_HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_WANTED = ["*.safetensors", "*.json", "*.model", "*.tiktoken", "*.txt", "*.jinja"]
_UNWANTED = ["*/*", "consolidated*"]  # files in subfolders, and Mistral's second copy of the weights


def resolve(checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint; a hub id is downloaded at its revision, or taken from the hub's cache.

    Only safetensors, JSON, tokenizer and chat template files are fetched, and Python files if remote code is
    trusted.

    Raises:
        InputError: no such folder, no such repository or revision, a hub id without a revision, or no
            network.
    """
    folder = Path(checkpoint.model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise InputError(
            f"checkpoint '{checkpoint.id}': {folder} is a file. Give the folder that holds config.json and "
            "*.safetensors."
        )
    if not _HUB_ID.match(checkpoint.model) or checkpoint.model.startswith("."):
        raise InputError(f"checkpoint '{checkpoint.id}': there is no folder {folder}.")
    if checkpoint.revision is None:
        raise InputError(
            f"checkpoint '{checkpoint.id}': '{checkpoint.model}' is no folder here, and as a hub id it needs "
            "a revision. Pin one, so that the scores stay those of one model: 'revision: <commit sha>'."
        )
    return _download(checkpoint, checkpoint.revision)


def locate(model: str) -> Path:
    """The folder of a model given on the command line: a folder, or a hub id as `owner/name@revision`.

    Raises:
        InputError: as `resolve`.
    """
    name, _, revision = (model, "", "") if Path(model).expanduser().exists() else model.partition("@")
    return resolve(Checkpoint(id=name, model=name, revision=revision or None))


def _download(checkpoint: Checkpoint, revision: str) -> Path:
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

    what = f"checkpoint '{checkpoint.id}': {checkpoint.model} at revision {revision}"
    download = partial(
        snapshot_download,
        checkpoint.model,
        revision=revision,
        allow_patterns=[*_WANTED, "*.py"] if checkpoint.trust_remote_code else _WANTED,
        ignore_patterns=_UNWANTED,
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
