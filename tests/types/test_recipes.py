import pytest

from kick.types.recipes import DENSE_RATE, Axis, Recipe, falling


@pytest.mark.parametrize(
    ("recipe", "axis", "rate"),
    [
        (Recipe(method="m", sparsity=0.5), "sparsity", 0.5),
        (Recipe(method="m", bits=4), "bits", 4.0),
        (Recipe(method="m", rank=0.7), "rank", 0.7),
        (Recipe(method="m", layers=3), "layers", 3.0),
        (Recipe(method="m", layers=(2, 5)), "layers", 2.0),
    ],
)
def test_a_recipe_stands_on_the_axis_of_its_rate(recipe: Recipe, axis: Axis, rate: float) -> None:
    assert (recipe.axis, recipe.rate) == (axis, rate)
    away = DENSE_RATE[axis] - rate
    assert (away > 0) == falling(axis)


def test_recipes_read_back_from_json() -> None:
    for layers in (3, (2, 5)):
        recipe = Recipe(method="layer-drop", layers=layers)
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
