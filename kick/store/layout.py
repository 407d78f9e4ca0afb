"""The names in a results folder, and the hashes that become names in it."""

import re
from typing import Literal

from kick.files import digest
from kick.types import CellIdentity

SUITE = "suite.yaml"
BROKEN = "broken"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.minisig"
REPORT = "report"
FOLDER_LOCK = ".folder.lock"

JournalKind = Literal["responses", "tokens"]
JOURNAL_NAME = re.compile(r"(?P<checkpoint>.+)-(?P<key>[^-]+)\.(?:responses|tokens)\.jsonl")


def noise_id(reference: str) -> str:
    """Return the id under which a reference is scored again, in batches of another size, for the noise floor."""
    return f"{reference}@noise"


def cell_key(identity: CellIdentity) -> str:
    """Return the key of the cell with this identity: 16 hex digits of a SHA-256."""
    unset = {name for name in ("divergence", "engine") if getattr(identity, name) is None}
    return digest(identity.model_dump(mode="json", exclude=unset))


def tier_key(fingerprint: str, dtype: str, device: str, attention: str, versions: dict[str, str]) -> str:
    """Return the key of the tier that is chosen for a reference as it is loaded: 16 hex digits of a SHA-256."""
    return digest(fingerprint, dtype, device, attention, versions)
