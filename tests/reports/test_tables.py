import pytest

from kick.reports.tables import recipe
from kick.types import Calibration, Recipe
from tests.results import checkpoint_record


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Recipe(method="magnitude", sparsity=0.5, pattern="2:4"), "magnitude, 50 % zeros, 2:4"),
        (Recipe(method="rtn", bits=4, group_size=128), "rtn, 4 bits, groups of 128, symmetric"),
        (Recipe(method="low-rank", rank=0.75), "low-rank, 75 % of the parameters"),
        (Recipe(method="layer-drop", layers=3), "layer-drop, 3 layers dropped"),
        (Recipe(method="layer-drop", layers=(4, 6)), "layer-drop, layers (4, 6) dropped"),
        (
            Recipe(
                method="wanda",
                sparsity=0.5,
                calibration=Calibration(data="/data/texts.jsonl", samples=16, seed=7),
            ),
            "wanda, 50 % zeros, calibrated on 16 × 2048 tokens of texts.jsonl, seed 7",
        ),
    ],
)
def test_a_recipe_is_said_in_a_line(made: Recipe, words: str) -> None:
    record = checkpoint_record("dense")
    checkpoint = record.checkpoint.model_copy(update={"recipe": made})
    assert recipe(record.model_copy(update={"checkpoint": checkpoint})) == words
