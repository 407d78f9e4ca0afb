"""Compressed checkpoints from dense ones: recipes are named (`recipe_key`), made (`make`), and checked."""

from kick.compression.agreement import check_agreement
from kick.compression.calibration import Samples, read_samples
from kick.compression.keys import recipe_key, step_keys
from kick.compression.recipes import Made, make, read_made, read_provenance
from kick.types.methods import validate

__all__ = [
    "Made",
    "Samples",
    "check_agreement",
    "make",
    "read_made",
    "read_provenance",
    "read_samples",
    "recipe_key",
    "step_keys",
    "validate",
]
