"""A checkpoint on another engine: its cells say so, and it is compared only where the engine floor is known."""

from pathlib import Path

import pytest

from kick.comparison import compare
from kick.errors import InputError
from kick.gating import gate
from kick.suite import Suite
from tests.engines import toy
from tests.execution.bed import Bed


@pytest.fixture
def toys(bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    toy.install(tmp_path / "packages", monkeypatch)
    return bed


def test_an_engine_that_a_package_brings_scores_a_checkpoint(toys: Bed) -> None:
    toys.keys["series"] = []
    toys.keys["checkpoints"].append({"id": "on-toy", "base": "dense", "engine": "toy"})
    summary = toys.run()
    assert (summary.scored, summary.reused) == (4, 0)
    cell = summary.store.cell("on-toy", "kick_mmlu")
    assert cell is not None
    assert cell.identity.engine is not None
    assert cell.identity.engine.text == "toy 1.0, shift 0"
    assert summary.store.items(cell)["choice_logprobs"].iloc[0][0] < 0
    written = summary.store.cell("on-toy", "kick_squad")
    assert written is not None
    assert list(summary.store.items(written)["response"]) == ["toy"] * 3
    record = summary.store.checkpoint("on-toy")
    assert record is not None
    assert record.loading == ("run by the toy",)
    assert record.cost is not None
    assert summary.store.verify() == []
    assert toys.run().reused == 4


def test_the_engine_of_the_suite_is_that_of_every_checkpoint_that_names_none(toys: Bed) -> None:
    toys.keys.update(engine="toy", noise_floor=True)
    toys.keys["checkpoints"].append({"id": "on-torch", "base": "dense", "engine": "torch"})
    store = toys.run(tasks=["kick_mmlu"]).store
    engines = {cell.checkpoint: cell.identity.engine_name for cell in store.cells()}
    assert engines == {"dense": "toy", "dense@noise": "toy", "magnitude-0.5": "toy", "on-torch": "torch"}
    assert compare(store, "dense", "magnitude-0.5", "kick_mmlu").engine_floor is None
    again = Suite.from_keys(store.suite(), where="again", folder=toys.folder)
    assert [checkpoint.engine for checkpoint in again.checkpoints] == ["toy", "toy", None]


def test_cells_on_torch_have_the_keys_that_they_had_without_other_engines(toys: Bed) -> None:
    toys.keys["series"] = []
    before = toys.run(results="before").store.cell("dense", "kick_mmlu")
    toys.keys["checkpoints"].append({"id": "on-toy", "base": "dense", "engine": "toy"})
    after = toys.run(results="after").store.cell("dense", "kick_mmlu")
    assert before is not None
    assert after is not None
    assert before.key == after.key
    assert after.identity.engine is None


def test_an_argument_of_an_engine_is_part_of_the_key(toys: Bed) -> None:
    toys.keys["series"] = []
    toys.keys["checkpoints"].append({"id": "on-toy", "base": "dense", "engine": "toy"})
    toys.run(tasks=["kick_mmlu"])
    toys.keys["checkpoints"][-1]["engine_args"] = {"shift": 0.5}
    summary = toys.run(tasks=["kick_mmlu"])
    assert (summary.scored, summary.reused) == (1, 1)
    cell = summary.store.cell("on-toy", "kick_mmlu")
    assert cell is not None
    assert cell.identity.engine is not None
    assert cell.identity.engine.settings == {"shift": "0.5"}


def test_different_engines_are_not_compared_without_the_reference_on_both(toys: Bed) -> None:
    toys.keys["series"][0]["name"] = "pruned"
    toys.keys["checkpoints"].append({"id": "shifted", "base": "pruned-0.5", "engine": "toy"})
    store = toys.run(tasks=["kick_mmlu"]).store
    message = "different engines .torch .* | toy 1.0.*Score the reference on toy, too.*`base: dense`"
    with pytest.raises(InputError, match=message):
        compare(store, "dense", "shifted", "kick_mmlu")
    with pytest.raises(InputError, match="different engines"):
        gate(store, "regression", candidates=["shifted"])


def test_a_difference_of_engines_stands_beside_what_the_engine_alone_changes(toys: Bed) -> None:
    toys.keys["series"][0]["name"] = "pruned"
    toys.keys["checkpoints"] += [
        {"id": "shifted", "base": "pruned-0.5", "engine": "toy"},
        {"id": "dense-toy", "base": "dense", "engine": "toy"},
    ]
    store = toys.run(tasks=["kick_mmlu"]).store
    comparison = compare(store, "dense", "shifted", "kick_mmlu")
    floor = comparison.engine_floor
    assert floor is not None
    assert floor.checkpoint == "dense-toy"
    alone = compare(store, "dense", "dense-toy", "kick_mmlu")
    assert floor.delta == alone.delta
    assert floor.flips == alone.flips
    assert "The engine alone changes the score by" in comparison.caveats[-1]
    assert compare(store, "dense-toy", "shifted", "kick_mmlu").engine_floor is None


def test_a_task_that_an_engine_cannot_measure_is_left_out_with_the_reason(toys: Bed) -> None:
    toys.keys["series"] = []
    toys.keys["checkpoints"].append(
        {"id": "silent", "base": "dense", "engine": "toy", "engine_args": {"silent": True}}
    )
    summary = toys.run()
    assert (summary.scored, summary.reused, summary.unmeasured) == (3, 0, 1)
    record = summary.store.checkpoint("silent")
    assert record is not None
    assert record.not_measured == {"kick_squad": "it was told to be silent"}
    assert set(record.cells) == {"kick_mmlu"}
    with pytest.raises(
        InputError, match="'kick_squad' of 'silent' is not measurable: it was told to be silent"
    ):
        compare(summary.store, "dense", "silent", "kick_squad")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"engine": "toyy"}, "no installed package brings the engine 'toyy'.*Did you mean 'toy'"),
        ({"engine": "toy", "engine_args": {"shifft": 1}}, "engine_args of toy: shifft: unknown key.*'shift'"),
        ({"engine": "toy", "engine_args": {"shift": "far"}}, "engine_args of toy: shift: .*valid number"),
        ({"engine": "torch", "engine_args": {"shift": 1}}, "the engine torch takes no arguments"),
        ({"engine": "toy", "kv_bits": 8}, "`kv_bits` changes weights while torch loads them"),
    ],
)
def test_an_engine_that_cannot_be_used_as_asked_is_refused_before_anything_is_scored(
    toys: Bed, entry: dict[str, object], message: str
) -> None:
    toys.keys["checkpoints"].append({"id": "other", "base": "dense", **entry})
    with pytest.raises(InputError, match=message):
        toys.run()
    assert not (toys.folder / "results").exists()


def test_an_ad_hoc_suite_takes_an_engine_and_its_arguments(toys: Bed) -> None:
    model = str(toys.folder / "model")
    suite = Suite.ad_hoc(
        model, [f"{model},engine=torch", f"{model},engine_args.shift=2"], ["kick_mmlu"], 3, "toy"
    )
    assert [checkpoint.engine for checkpoint in suite.checkpoints] == ["toy", None, "toy"]
    assert suite.checkpoints[2].engine_args == {"shift": "2"}
    assert [checkpoint.id for checkpoint in suite.checkpoints] == ["model", "model-torch", "model-2"]
