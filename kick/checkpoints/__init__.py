"""Checkpoints: found (`resolve`), identified (`fingerprint`), measured (`describe`) and loaded (`load`)."""

from kick.checkpoints.changes import changes_on_loading, fingerprint_as_loaded
from kick.checkpoints.description.weights import describe
from kick.checkpoints.fingerprints import fingerprint, tokenizer_fingerprint
from kick.checkpoints.gguf import check_same_weights, config_of_gguf, config_of_window, converted
from kick.checkpoints.loading import Loaded, attention_implementation, load, read_config, read_tokenizer
from kick.checkpoints.quantizers import as_loaded
from kick.checkpoints.resolution import resolve, resolve_adapter, resolve_tokenizer
from kick.checkpoints.tokenizers import read_chat_template

__all__ = [
    "Loaded",
    "as_loaded",
    "attention_implementation",
    "changes_on_loading",
    "check_same_weights",
    "config_of_gguf",
    "config_of_window",
    "converted",
    "describe",
    "fingerprint",
    "fingerprint_as_loaded",
    "load",
    "read_chat_template",
    "read_config",
    "read_tokenizer",
    "resolve",
    "resolve_adapter",
    "resolve_tokenizer",
    "tokenizer_fingerprint",
]
