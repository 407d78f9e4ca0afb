"""Checkpoints: found (`resolve`), identified (`fingerprint`), measured (`describe`) and loaded (`load`)."""

from kick.checkpoints.describe import describe
from kick.checkpoints.fingerprint import fingerprint, tokenizer_fingerprint
from kick.checkpoints.gguf import converted
from kick.checkpoints.load import Loaded, load, read_config, read_tokenizer
from kick.checkpoints.spec import locate, resolve, resolve_tokenizer

__all__ = [
    "Loaded",
    "converted",
    "describe",
    "fingerprint",
    "load",
    "locate",
    "read_config",
    "read_tokenizer",
    "resolve",
    "resolve_tokenizer",
    "tokenizer_fingerprint",
]
