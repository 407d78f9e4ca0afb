"""The one reader of `kick.json`: what a folder says of its making, and whether it is still about these weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kick.checkpoints.fingerprints import fingerprint
from kick.checkpoints.untrusted import read_json
from kick.types import Recipe

NAME = "kick.json"


@dataclass(frozen=True)
class Making:
    """The making of a folder, as its kick.json states it.

    This is all that a measurement needs, and it is read from a kick.json of another version too; what loads or
    continues a made checkpoint reads the whole file, strictly (`kick.compression.Made`).
    """

    folder: Path
    recipe: Recipe
    # The fingerprint of the folder as kick wrote it.
    fingerprint: str

    def is_current(self) -> bool:
        """Return whether the folder is what kick wrote there, which a copy with other weights is not.

        Reads every weight once.
        """
        return self.fingerprint == fingerprint(self.folder)


def read_stated(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's kick.json, whose keys are not checked; empty if there is none.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / NAME
    return read_json(path, "Make the folder again.") if path.exists() else {}


def stated_steps(folder: Path) -> list[dict[str, Any]]:
    """Return the steps that a folder's kick.json tells, in order, the keys of each as they are; empty if it tells none.

    Raises:
        InputError: the file is damaged.
    """
    recipe = read_stated(folder).get("recipe")
    if not isinstance(recipe, dict):
        return []
    before = recipe.get("before")
    return [
        step for step in [*(before if isinstance(before, list) else []), recipe] if isinstance(step, dict)
    ]


def read_making(model: Path) -> Making | None:
    """Return what the kick.json of a folder says; None if there is none, or none about a recipe of this kick.

    Raises:
        InputError: the file is damaged.
    """
    stated = read_stated(model)
    try:
        recipe = Recipe.model_validate(stated.get("recipe"))
    except ValidationError:
        return None
    return Making(model, recipe, str(stated.get("fingerprint")))
