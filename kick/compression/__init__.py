"""Compressed checkpoints from dense ones: recipes are checked (`validate`), named (`recipe_key`) and made."""

from kick.compression.calibration import Samples, read_samples
from kick.compression.methods import recipe_key, validate
from kick.compression.recipes import Made, make, read_made

__all__ = ["Made", "Samples", "make", "read_made", "read_samples", "recipe_key", "validate"]
