"""The models that come with kick: small, and knowing what they are said to know."""

from pathlib import Path

import pytest

import kick
from kick.comparison import score
from kick.types import Estimate

pytestmark = pytest.mark.slow

MODELS = Path(kick.__file__).parent / "world" / "models"
TASKS = [
    *(f"kick_world_factoid_{band}" for band in ("head", "torso", "tail")),
    "kick_world_choice",
    "kick_world_incontext",
    "kick_world_multihop",
    "kick_world_summary",
]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Estimate]:
    """The larger model's score on every task."""
    folder = tmp_path_factory.mktemp("models")
    suite = kick.Suite.from_keys(
        {
            "name": "models",
            "reference": "large",
            "checkpoints": [{"id": "large", "model": str(MODELS / "kick-tiny-4m"), "dtype": "float32"}],
            "tasks": TASKS,
            "noise_floor": False,
            "limit": 240,
        },
        where="test",
        folder=folder,
    )
    kick.run(suite, folder / "results")
    store = kick.Store(folder / "results")
    cells = [store.cell("large", task) for task in TASKS]
    return {cell.task.name: score(cell, store.items(cell)) for cell in cells if cell}


def test_they_take_less_than_twelve_megabytes_together() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 12e6


def test_what_was_told_most_is_known_and_what_was_told_least_clearly_less(
    scores: dict[str, Estimate],
) -> None:
    head, torso, tail = (scores[f"kick_world_factoid_{band}"] for band in ("head", "torso", "tail"))
    assert head.value >= 0.95
    assert tail.high < head.low
    assert tail.value < torso.value < head.value


def test_passages_on_invented_people_are_read(scores: dict[str, Estimate]) -> None:
    assert scores["kick_world_incontext"].value >= 0.9


def test_two_steps_are_taken_well_above_chance(scores: dict[str, Estimate]) -> None:
    assert scores["kick_world_multihop"].low > 1 / 3 + 0.1


def test_summaries_hold_most_of_what_they_must(scores: dict[str, Estimate]) -> None:
    assert scores["kick_world_summary"].low > 0.5
