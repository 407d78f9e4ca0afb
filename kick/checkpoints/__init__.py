"""Checkpoints: found (`resolve`), identified (`fingerprint`), measured (`describe`) and loaded (`load`)."""

from kick.checkpoints.description.weights import describe
from kick.checkpoints.fingerprints import fingerprint, fingerprint_as_loaded, tokenizer_fingerprint
from kick.checkpoints.gguf import converted
from kick.checkpoints.loading import (
    Loaded,
    attention_implementation,
    changes_on_loading,
    load,
    read_config,
    read_tokenizer,
)
from kick.checkpoints.quantizers import as_loaded
from kick.checkpoints.resolution import locate, resolve, resolve_adapter, resolve_tokenizer

__all__ = [
    "Loaded",
    "as_loaded",
    "attention_implementation",
    "changes_on_loading",
    "converted",
    "describe",
    "fingerprint",
    "fingerprint_as_loaded",
    "load",
    "locate",
    "read_config",
    "read_tokenizer",
    "resolve",
    "resolve_adapter",
    "resolve_tokenizer",
    "tokenizer_fingerprint",
]
