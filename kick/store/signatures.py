"""Signatures of manifests, made and checked by minisign, which signs with Ed25519 and a key on one line.

The program is optional, and is run as it is installed. A signature says that the holder of the key vouches for exactly
the files in the manifest; it does not say that the scores are right. See docs/security.md.
"""

import base64
import binascii
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kick.errors import InputError
from kick.files import read_bytes, read_text, write_atomically
from kick.store.layout import MANIFEST, SIGNATURE
from kick.store.manifest import differences, read_manifest, write_manifest
from kick.store.records import parse_record
from kick.store.store import Store
from kick.types import Manifest, Origin

# Bytes of a key or a signature file; real ones have a few hundred.
_MOST_BYTES = 4096
# The signature algorithm and its id, in front of the 32 bytes of an Ed25519 key.
_ALGORITHM, _KEY_BYTES = b"Ed", 2 + 8 + 32


@dataclass(frozen=True)
class PublicKey:
    """A public key of minisign."""

    # The line of base64 that stands for it.
    line: str

    @property
    def id(self) -> str:
        """The id that minisign shows: 16 hex digits."""
        return base64.b64decode(self.line)[2:10][::-1].hex().upper()


def find_minisign() -> str:
    """Return the path of the program.

    Raises:
        InputError: it is not installed.
    """
    program = shutil.which("minisign")
    if program is None:
        raise InputError(
            "minisign, which signs and checks manifests, is not installed. Install it, and try again."
        )
    return program


def read_public_key(given: str) -> PublicKey:
    """Return a public key.

    Args:
        given: the file that `minisign -G` wrote, or the line of base64 in it.

    Raises:
        InputError: it is neither.
    """
    for line in (given, *_lines(Path(given))):
        if _is_key(line.strip()):
            return PublicKey(line.strip())
    raise InputError(
        f"{given[:100]!r} is not a public key of minisign. Give the file that `minisign -G` wrote (minisign.pub), or "
        "the line in it that begins with RW."
    )


def _lines(path: Path) -> list[str]:
    """Return the lines of a file; none if what was given is not one."""
    try:
        return read_text(path, _MOST_BYTES).split("\n")
    except (InputError, OSError, ValueError):
        return []


def _is_key(line: str) -> bool:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(key) == _KEY_BYTES and key.startswith(_ALGORITHM)


def sign_manifest(store: Store, secret_key: Path) -> Manifest:
    """List every file of a results folder in its manifest, and sign that; minisign asks for the password if need be.

    Args:
        store: the results folder.
        secret_key: the secret key that `minisign -G` wrote.

    Raises:
        InputError: something in the folder is broken or missing, minisign is not installed, or it did not sign.
    """
    program = find_minisign()
    if not secret_key.is_file():
        raise InputError(f"{secret_key} is missing. Give the secret key that `minisign -G` wrote.")
    manifest = write_manifest(store)
    with tempfile.TemporaryDirectory() as scratch:
        signature = Path(scratch) / SIGNATURE
        files = ["-s", str(secret_key), "-m", str(store.root / MANIFEST), "-x", str(signature)]
        # What it asks and answers goes to the terminal: stdout is for results.
        if subprocess.run([program, "-S", *files], stdout=2, check=False).returncode:
            raise InputError(f"minisign did not sign {store.root / MANIFEST} with {secret_key}.")
        write_atomically(store.root / SIGNATURE, signature.read_bytes())
    return manifest


def check_signature(store: Store, keys: Sequence[PublicKey]) -> tuple[Manifest, PublicKey | None]:
    """Return the manifest of a results folder, and the key of these that signed it; None if none of them did.

    Raises:
        InputError: there is no manifest, it is not the one that was written, or minisign is not installed.
    """
    path, signature = store.root / MANIFEST, store.root / SIGNATURE
    if not path.is_file() or not signature.is_file():
        return read_manifest(store), None
    # Both are read once, so what is checked is what is used.
    data, signed = read_bytes(path), read_bytes(signature, _MOST_BYTES)
    manifest = parse_record(data, Manifest, path)
    return manifest, next((key for key in keys if _fits(data, signed, key)), None)


def find_origin(store: Store, keys: Sequence[PublicKey]) -> Origin:
    """Return who vouches for the files of a results folder.

    Args:
        store: the folder; every file in it is read if it has a manifest.
        keys: the keys that the reader trusts.

    Raises:
        InputError: keys are given, and minisign is not installed.
    """
    if not (store.root / MANIFEST).exists():
        return Origin(kind="unknown", note="no manifest")
    if keys:
        find_minisign()
    try:
        manifest, key = check_signature(store, keys)
    except InputError:
        return Origin(kind="unknown", note="its manifest is not the one that was written")
    if problems := differences(store, manifest):
        return Origin(kind="unknown", note=f"{len(problems)} files are not those of its manifest")
    if key is not None:
        return Origin(kind="signed", note=f"by {key.id}")
    if not (store.root / SIGNATURE).is_file():
        return Origin(kind="checksummed", note="not signed")
    if not keys:
        return Origin(kind="checksummed", note="signed, and no key was given to check it")
    return Origin(kind="checksummed", note="not signed by a key that was given")


def _fits(data: bytes, signature: bytes, key: PublicKey) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / MANIFEST
        file.write_bytes(data)
        (Path(scratch) / SIGNATURE).write_bytes(signature)
        words = [find_minisign(), "-V", "-q", "-P", key.line, "-m", str(file)]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
