"""The `kick.json` of a made checkpoint, wherever it is: the recipe, and whether it is still about these weights."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kick.checkpoints.fingerprints import fingerprint
from kick.checkpoints.untrusted import read_json
from kick.types import Recipe

NAME = "kick.json"


@dataclass(frozen=True)
class Making:
    """What kick.json says."""

    folder: Path
    recipe: Recipe
    # The fingerprint of the folder as kick wrote it.
    fingerprint: str

    def is_current(self) -> bool:
        """Return whether the folder is what kick wrote there, which a copy with other weights is not.

        Reads every weight once.
        """
        return self.fingerprint == fingerprint(self.folder)


def read_making(model: Path) -> Making | None:
    """Return what the kick.json of a folder says; None if there is none, or none about a recipe of this kick.

    Raises:
        InputError: the file is damaged.
    """
    path = model / NAME
    if not model.is_dir() or not path.exists():
        return None
    stated = read_json(path, "Make the folder again.")
    try:
        recipe = Recipe.model_validate(stated.get("recipe"))
    except ValidationError:
        return None
    return Making(model, recipe, str(stated.get("fingerprint")))
