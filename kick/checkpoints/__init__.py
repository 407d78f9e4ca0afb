"""Checkpoints: where they are (`resolve`), what they are (`fingerprint`, `describe`), and `load`, strictly."""

from kick.checkpoints.describe import describe
from kick.checkpoints.fingerprint import fingerprint, tokenizer_fingerprint
from kick.checkpoints.load import Loaded, load
from kick.checkpoints.spec import resolve

__all__ = ["Loaded", "describe", "fingerprint", "load", "resolve", "tokenizer_fingerprint"]
