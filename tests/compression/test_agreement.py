"""Chains of steps, and made checkpoints that are held against their recipe."""

from pathlib import Path

import pytest

from kick.checkpoints import describe, fingerprint
from kick.checkpoints.description.inspection import inspect
from kick.compression import check_agreement, make, read_made, recipe_key
from kick.errors import InputError
from kick.types import Recipe, Step
from kick.types.recipes import chain

HALF = Step(method="magnitude", sparsity=0.5)
FOUR = Step(method="rtn", bits=4, group_size=32)
ASYMMETRIC = Step(method="rtn", bits=3, group_size=16, symmetric=False)


@pytest.fixture
def pruned(tiny_llama: Path, tmp_path: Path) -> Path:
    make(chain((HALF,)), tiny_llama, tmp_path / "pruned")
    return tmp_path / "pruned"


def test_a_second_step_continues_the_chain_of_its_source(
    pruned: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    make(chain((FOUR,)), pruned, tmp_path / "both")
    made = read_made(tmp_path / "both")
    assert made.recipe.steps == (HALF, FOUR)
    assert made.source == fingerprint(tiny_llama)
    assert made.key == recipe_key(chain((HALF, FOUR)), fingerprint(tiny_llama))
    assert made.key != recipe_key(chain((FOUR,)), fingerprint(tiny_llama))
    description = describe(tmp_path / "both")
    assert description.sparsity >= 0.5
    check_agreement(tmp_path / "both", made.recipe, description)
    inspection = inspect(tmp_path / "both")
    assert [one.method for one in inspection.declared] == ["magnitude", "rtn"]
    assert not [warning for warning in inspection.warnings if "zeros" in warning]


def test_a_step_that_continues_another_chain_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"continues other steps \(magnitude\) than kick.json .* \(none\)"):
        make(chain((HALF, FOUR)), tiny_llama, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("step", [HALF, FOUR, ASYMMETRIC], ids=lambda step: f"{step.method}-{step.rate:g}")
def test_a_made_checkpoint_agrees_with_its_recipe_and_a_dense_one_does_not(
    step: Step, tiny_llama: Path, tmp_path: Path
) -> None:
    recipe = chain((step,))
    make(recipe, tiny_llama, tmp_path / "made")
    check_agreement(tmp_path / "made", recipe, describe(tmp_path / "made"))
    with pytest.raises(InputError, match="is not what its recipe says"):
        check_agreement(tiny_llama, recipe, describe(tiny_llama))


def test_rounding_the_dense_model_is_not_taken_for_rounding_the_pruned_one(
    tiny_llama: Path, tmp_path: Path
) -> None:
    make(chain((FOUR,)), tiny_llama, tmp_path / "made")
    with pytest.raises(InputError, match=r"magnitude then rtn leaves at least 50\.0%"):
        check_agreement(tmp_path / "made", chain((HALF, FOUR)), describe(tmp_path / "made"))


def test_zeros_are_only_expected_after_methods_that_keep_them(pruned: Path, tmp_path: Path) -> None:
    make(Recipe(method="low-rank", rank=0.5), pruned, tmp_path / "made")
    description = describe(tmp_path / "made")
    assert description.sparsity < 0.5
    check_agreement(tmp_path / "made", read_made(tmp_path / "made").recipe, description)
