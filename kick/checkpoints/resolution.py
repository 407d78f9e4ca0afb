"""From a model reference to files on this machine: local ones as they are, those on the hub by download."""

from functools import partial
from pathlib import Path

from kick.checkpoints.folder import TOKENIZER_FILES, tokenizer_files
from kick.errors import InputError
from kick.hub import fetch
from kick.types import ModelReference

_WANTED = ["*.safetensors", "*.json", "*.model", "*.tiktoken", "*.txt", "*.jinja"]
# Files in subfolders, and Mistral's second copy of the weights.
_UNWANTED = ["*/*", "consolidated*"]


def resolve(model: ModelReference, *, trust_remote_code: bool = False) -> Path:
    """Return the folder of a model, or its GGUF file; one on the hub is downloaded, or taken from the hub's cache.

    Only safetensors, JSON, tokenizer and chat template files are fetched, and Python files if remote code is
    trusted; of `owner/name/file.gguf` that file alone.

    Raises:
        InputError: no such file or folder, several GGUF files to choose from, no such repository or revision, or no
            network.
    """
    if model.server is not None:
        raise InputError(
            f"{model.server} is the address of a server, which an engine asks; here the model's files are needed."
        )
    if model.path is not None:
        path = _existing(model.path)
        return _gguf_alone(path) or path if path.is_dir() else path
    if model.file is not None:
        return _download(model, [model.file]) / model.file
    return _download(model, [*_WANTED, "*.py"] if trust_remote_code else _WANTED)


def resolve_tokenizer(tokenizer: ModelReference | None, model: Path) -> Path:
    """Return the folder of a checkpoint's tokenizer: the one that is named, or that of its model.

    Args:
        tokenizer: the folder that is named; None: the model's own.
        model: the model's folder or GGUF file.

    Raises:
        InputError: the tokenizer is not there, or a GGUF file has none next to it.
    """
    if tokenizer is not None:
        return _folder(tokenizer, list(TOKENIZER_FILES))
    if model.is_dir():
        return model
    if tokenizer_files(model.parent):
        return model.parent
    raise InputError(
        f"{model} has no tokenizer that can be trusted: what transformers builds from a GGUF file may split texts "
        "otherwise and leave out the BOS token. Set `tokenizer` to the folder or hub id of the model that the file "
        "was made from."
    )


def resolve_adapter(adapter: ModelReference) -> Path:
    """Return the folder of an adapter.

    Raises:
        InputError: it is not there.
    """
    return _folder(adapter, _WANTED)


def _folder(reference: ModelReference, wanted: list[str]) -> Path:
    return _existing(reference.path) if reference.path is not None else _download(reference, wanted)


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise InputError(f"there is no folder or file {path}.")
    return path


def _gguf_alone(folder: Path) -> Path | None:
    """Return the GGUF file of a folder that holds no other weights, or None."""
    files = sorted(folder.glob("*.gguf"))
    if not files or list(folder.glob("*.safetensors")):
        return None
    if len(files) > 1:
        raise InputError(
            f"{folder} holds {len(files)} GGUF files ({', '.join(file.name for file in files[:3])}). "
            "Name the file itself."
        )
    return files[0]


def _download(reference: ModelReference, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    download = partial(
        snapshot_download,
        reference.repository,
        revision=reference.revision,
        allow_patterns=wanted,
        ignore_patterns=[] if reference.file else _UNWANTED,
    )
    return Path(
        fetch(
            f"{reference.name} at revision {reference.revision}",
            download,
            cached=partial(download, local_files_only=True),
            advice="It is not whole in the hub's cache. Connect to the network (HF_HUB_OFFLINE unset), or download it "
            "elsewhere and give its folder.",
        )
    )
