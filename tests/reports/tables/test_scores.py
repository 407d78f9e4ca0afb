from pathlib import Path

import pytest

from kick.reports.findings import gather
from kick.reports.tables.checkpoints import checkpoints, made_by, recipe
from kick.types import Calibration, Recipe
from tests.results import checkpoint_record, make_results


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


def test_what_a_suite_changes_on_reading_is_said_beside_the_recipe() -> None:
    plain, rounded = checkpoint_record("dense"), checkpoint_record("rtn-4")
    assert made_by(plain) == ()
    read = {"checkpoint": rounded.checkpoint.model_copy(update={"kv_bits": 4})}
    assert made_by(rounded.model_copy(update=read))[1:] == ("keys and values in 4 bits",)
    assert made_by(rounded)[1:] == ()


def test_bits_of_the_linears_stand_below_those_of_the_model_where_they_differ(tmp_path: Path) -> None:
    store = make_results(
        tmp_path, items=20, windows=4, tasks=["kick_freebaseqa"], damage={"dense": 0, "rtn-4": 0.2}
    )
    record = store.checkpoint("rtn-4")
    assert record is not None
    assert record.description is not None
    for linears, lines in ((4.156, ("16.00", "linears 4.16")), (16.02, ("16.00",))):
        measured = record.description.model_copy(
            update={"bits_per_weight": 16.0, "linear_bits_per_weight": linears}
        )
        store.write_checkpoint(record.model_copy(update={"description": measured}))
        rows = {row[0].lines[0]: row for row in checkpoints(gather(store)).rows}
        assert rows["rtn-4"][6].lines == lines
