"""The key of a made checkpoint: a hash of everything that decides its weights, known before it is made."""

from collections.abc import Sequence

from kick.files import digest
from kick.types import Recipe, Step

# Part of every recipe key: raise it when a method writes other weights than before, be it by kick or by the
# versions of llm-compressor that kick allows.
ALGORITHM = 1


def recipe_key(recipe: Recipe, source_fingerprint: str, *samples: str | None) -> str:
    """Return the fingerprint of the result of a recipe, which is known without making it: SHA-256 (hex).

    It covers source, steps, calibration sets and the version of the algorithms. It is not the hash of the files that
    `fingerprint` gives.

    Args:
        recipe: the recipe.
        source_fingerprint: the fingerprint of the folder that it is applied to; for a folder that kick made, its key.
        samples: for each step the hash of the tokens that it sees, None for a step without calibration; may be left
            out if no step is calibrated.
    """
    return step_keys(recipe, source_fingerprint, samples or (None,) * len(recipe.steps))[-1]


def step_keys(recipe: Recipe, source_fingerprint: str, samples: Sequence[str | None]) -> tuple[str, ...]:
    """Return the key of the result of each step in turn; the arguments are those of `recipe_key`."""
    keys: list[str] = []
    for step, drawn in zip(recipe.steps, samples, strict=True):
        keys.append(_step_key(step, keys[-1] if keys else source_fingerprint, drawn))
    return tuple(keys)


def _step_key(step: Step, source: str, samples: str | None) -> str:
    parts = {
        "source": source,
        "recipe": step.model_dump(mode="json", exclude_defaults=True),
        "algorithm": ALGORITHM,
    }
    if step.calibration is not None:
        assert samples is not None
        parts["recipe"] = step.model_dump(mode="json", exclude_defaults=True, exclude={"calibration"})
        parts["samples"] = samples
    return digest(parts, length=64)
