"""Hashes of what is scored: two scores are comparable if these are equal."""

import hashlib
from collections.abc import Iterable, Sequence


def digest(parts: Iterable[str]) -> str:
    """Return 16 hex digits of a SHA-256 over some texts, each ended by a NUL."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part.encode("utf-8", "surrogatepass"))
        hashed.update(b"\x00")
    return hashed.hexdigest()[:16]


def token_hash(tokens: Sequence[int]) -> str:
    """Return 16 hex digits of a SHA-256 over some token ids."""
    return hashlib.sha256(repr(tuple(tokens)).encode()).hexdigest()[:16]
