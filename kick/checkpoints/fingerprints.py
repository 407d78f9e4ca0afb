"""Identify a checkpoint by a hash of its content: folders with the same fingerprint give the same scores."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kick.checkpoints.folder import config_json, tokenizer_files, weight_files
from kick.checkpoints.untrusted import check_files, read_json
from kick.errors import InputError
from kick.files import digest, file_sha256

# Fields that say who wrote a file and where, and change nothing about the model.
_IGNORED = {
    "transformers_version",
    "_name_or_path",
    "name_or_path",
    "_commit_hash",
    "is_local",
    "local_files_only",
    "tokenizer_file",
}


def fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of a GGUF file, or of a folder's weights, configs, remote code and tokenizer.

    Names and dates do not matter. Weights are hashed file by file, so another shard layout is another
    fingerprint. JSON files are hashed without the fields that only record versions and paths, and without regard to
    the order of keys.

    Raises:
        InputError: the folder holds no checkpoint.
    """
    if folder.suffix == ".gguf" and folder.is_file():
        return file_sha256(folder)
    config_json(folder)
    configs = [path for path in (folder / "config.json", folder / "generation_config.json") if path.is_file()]
    return _digest([*weight_files(folder), *configs, *sorted(folder.glob("*.py")), *tokenizer_files(folder)])


def tokenizer_fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of the tokenizer files alone: equal for a model and what was compressed from it.

    Raises:
        InputError: the folder holds no tokenizer.
    """
    check_files(folder)
    files = tokenizer_files(folder)
    if not files:
        raise InputError(
            f"{folder} holds no tokenizer. Copy the tokenizer files of the original model into it."
        )
    return _digest(files)


def _digest(files: Iterable[Path]) -> str:
    return digest([(path.name, _file_digest(path)) for path in sorted(set(files))], length=64)


def _file_digest(path: Path) -> str:
    # tokenizer.json is large and carries no such fields.
    if path.suffix == ".json" and path.name != "tokenizer.json":
        data = read_json(path, "Copy it again.")
        return digest(_without_ignored(data), length=64)
    return file_sha256(path)


def _without_ignored(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_ignored(value) for key, value in data.items() if key not in _IGNORED}
    if isinstance(data, list):
        return [_without_ignored(value) for value in data]
    return data
