"""Engines answer requests in token ids; `base` is what they share, and each engine is a package of its own."""
