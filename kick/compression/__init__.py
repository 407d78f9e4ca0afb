"""Compressed checkpoints from dense ones: recipes are checked (`validate`), named (`recipe_key`) and made."""

from kick.compression.recipes import Made, make, read_made, recipe_key, validate

__all__ = ["Made", "make", "read_made", "recipe_key", "validate"]
