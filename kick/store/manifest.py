"""A list of every file of a results folder, to be handed on, kept elsewhere, or signed.

The checksums inside a results folder show that its files fit each other. A manifest that was kept elsewhere, or whose
signature fits, shows that they are the files that were there when it was written.
"""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from kick.errors import InputError
from kick.files import file_sha256, is_temporary
from kick.store.layout import BROKEN, MANIFEST
from kick.store.records import read_record, write_record
from kick.store.store import Store
from kick.store.verification import inspect
from kick.types import ListedFile, Manifest

# Top-level names that are not results: locks, what was moved aside, and the manifest itself.
_LEFT_OUT = ("locks", BROKEN, MANIFEST)


def write_manifest(store: Store) -> Manifest:
    """List every file of a results folder in its `manifest.json`.

    Raises:
        InputError: something in the folder is broken, or missing.
    """
    problems = [one for one in inspect(store) if one.is_problem and one.path != MANIFEST]
    if problems:
        raise InputError(f"{store.root}: no manifest is written of results that are not whole: {problems[0]}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(kick=version("llm-kick"), written=now, files=_files(store.root))
    write_record(store.root / MANIFEST, manifest)
    return manifest


def read_manifest(store: Store) -> Manifest:
    """Return the manifest of a results folder.

    Raises:
        InputError: there is none, or it is not the one that was written.
    """
    path = store.root / MANIFEST
    if not path.is_file():
        raise InputError(f"{path} is missing. `kick verify --manifest write` makes it.")
    return read_record(path, Manifest)


def differences(store: Store, manifest: Manifest) -> list[str]:
    """Return how a results folder differs from a manifest, one sentence per file."""
    listed, actual = manifest.files, _files(store.root)
    problems = []
    for name in sorted(listed.keys() | actual.keys()):
        if name not in actual:
            problems.append(f"{store.root / name} is in the manifest and not in the folder.")
        elif name not in listed:
            problems.append(f"{store.root / name} is in the folder and not in the manifest.")
        elif actual[name] != listed[name]:
            problems.append(
                f"{store.root / name} is not the file in the manifest: its SHA-256 or size differs."
            )
    return problems


def _files(root: Path) -> dict[str, ListedFile]:
    files = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        # A signature is next to the manifest and bears its name: manifest.json.minisig.
        left_out = parts[0] in _LEFT_OUT or parts[0].startswith(f"{MANIFEST}.")
        if left_out or any(is_temporary(Path(part)) for part in parts) or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        files[name] = ListedFile(sha256=file_sha256(path), bytes=path.stat().st_size)
    return files
