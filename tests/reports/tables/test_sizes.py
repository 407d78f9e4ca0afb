"""What a checkpoint takes to keep: as stored, or what a format could make of its zeros or bits."""

import pytest

from kick.reports.tables.sizes import size
from kick.types import CheckpointRecord, Recipe
from tests.results import checkpoint_record

# Of the 2,000 parameters of `checkpoint_record`, stored in 16 bits, 1,000 are in the decoder's linears.


def changed(name: str, recipe: Recipe | None = None, **description: object) -> CheckpointRecord:
    record = checkpoint_record(name)
    assert record.description is not None
    checkpoint = record.checkpoint.model_copy(update={"recipe": recipe} if recipe else {})
    return record.model_copy(
        update={"description": record.description.model_copy(update=description), "checkpoint": checkpoint}
    )


def test_a_dense_checkpoint_takes_what_is_stored() -> None:
    found = size(checkpoint_record("dense"))
    assert found is not None
    assert (found.stored, found.smallest, found.ideal, found.bits) == (4000, 4000, False, 16.0)


def test_rounded_weights_in_a_wide_type_could_be_packed_with_their_scales() -> None:
    found = size(checkpoint_record("rtn-4"))
    assert found is not None
    assert found.smallest == 1000 * 2 + round(1000 * (4 + 16 / 128) / 8)
    assert found.ideal
    assert found.stored == 4000


def test_low_rank_products_could_be_kept_as_factors() -> None:
    found = size(checkpoint_record("low-rank-0.25"))
    assert found is not None
    assert (found.smallest, found.ideal) == (2000 + 250 * 2, True)


def test_an_asymmetric_rounding_keeps_a_zero_point_a_group() -> None:
    recipe = Recipe(method="rtn", bits=4, group_size=128, symmetric=False)
    found = size(changed("rtn-4", recipe))
    assert found is not None
    assert found.smallest == 2000 + round(1000 * (4 + 20 / 128) / 8)


def test_zeros_are_left_out_under_a_mask() -> None:
    found = size(checkpoint_record("magnitude-0.5"))
    assert found is not None
    assert found.smallest == 4000 - 500 * 2 + 1000 / 8
    assert found.ideal


def test_a_few_zeros_are_cheaper_to_keep_than_a_mask() -> None:
    found = size(changed("dense", linear_zeros=40))
    assert found is not None
    assert found.smallest == 4000
    assert not found.ideal


def test_a_packed_file_is_taken_as_it_is() -> None:
    record = changed("rtn-4", packed=1000, bytes_on_disk=2600, bits_per_weight=10.4, linear_zeros=900)
    found = size(record)
    assert found is not None
    assert (found.smallest, found.ideal) == (2600, False)
    assert found.bits == pytest.approx(10.4)


def test_weights_that_were_not_measured_have_no_size() -> None:
    assert size(None) is None
    assert size(checkpoint_record("dense").model_copy(update={"description": None})) is None
