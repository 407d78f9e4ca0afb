"""Recipes in a run: chains of steps, checkpoints made elsewhere, and what is said about how each was made."""

import shutil
from pathlib import Path

import pytest
import yaml

import kick.world
from kick.checkpoints import fingerprint
from kick.comparison import compare_all
from kick.compression import make, read_made
from kick.errors import InputError
from kick.reports.findings import gather
from kick.reports.tables.checkpoints import made_by
from kick.reports.tables.sizes import size
from kick.store import Store
from kick.types import CheckpointRecord, Recipe
from tests.execution.bed import Bed

MMLU = ["kick_mmlu"]


def _record(store: Store, checkpoint: str) -> CheckpointRecord:
    record = store.checkpoint(checkpoint)
    assert record is not None
    return record


def test_a_series_on_a_point_of_a_series_applies_both_steps(bed: Bed) -> None:
    bed.keys["series"].append({"from": "magnitude-0.5", "method": "rtn", "bits": [4], "group_size": 16})
    bed.keys.update(tasks=MMLU, limit=2)
    store = bed.run().store
    record = _record(store, "rtn-4")
    assert record.description is not None
    assert record.description.sparsity >= 0.5
    assert made_by(record) == ("magnitude, 50 % zeros, then rtn, 4 bits, groups of 16, symmetric",)
    folders = sorted((bed.folder / "cache" / "checkpoints").glob("*/kick.json"))
    chains = [[step.method for step in read_made(path.parent).recipe.steps] for path in folders]
    assert sorted(chains) == [["magnitude"], ["magnitude", "rtn"]]
    assert {read_made(path.parent).source for path in folders} == {fingerprint(bed.folder / "model")}
    # The intermediate step was made once, for both checkpoints, and the key of the last one is that of the chain.
    shutil.rmtree(bed.folder / "cache")
    bed.keys["series"][1]["bits"] = [4, 3]
    assert bed.run().scored == 1


def test_the_chain_of_the_demo_model_has_the_zeros_of_both_steps(bed: Bed) -> None:
    """The case in which the first step was dropped: 23.4 % zeros, those of rounding the dense model."""
    model = str(Path(kick.world.__file__).parent / "models" / "kick-tiny-4m")
    bed.keys.update(checkpoints=[{"id": "dense", "model": model}], tasks=["kick_world_factoid_head"], limit=2)
    bed.keys["series"] = [
        {"from": "dense", "method": "magnitude", "sparsity": [0.5]},
        {"from": "magnitude-0.5", "method": "rtn", "bits": [4]},
        {"from": "dense", "method": "rtn", "bits": [4], "name": "alone"},
    ]
    store = bed.run().store
    sparsities = {}
    for checkpoint in ("rtn-4", "alone-4"):
        description = _record(store, checkpoint).description
        assert description is not None
        sparsities[checkpoint] = round(100 * description.sparsity, 1)
    assert sparsities == {"rtn-4": 51.8, "alone-4": 23.4}


def test_a_made_checkpoint_that_lacks_a_step_is_refused(
    bed: Bed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make_from_dense(recipe: Recipe, source: Path, out: Path, **_: object) -> None:
        make(recipe.model_copy(update={"before": ()}), bed.folder / "model", out)

    bed.keys["series"].append({"from": "magnitude-0.5", "method": "rtn", "bits": [4]})
    bed.keys.update(tasks=MMLU, limit=2)
    monkeypatch.setattr("kick.execution.checkpoint_cache.make", make_from_dense)
    with pytest.raises(InputError, match=r"not scored: rtn-4: .*not what its recipe says.*at least 50\.0%"):
        bed.run()


def test_a_checkpoint_made_before_and_listed_is_described_as_the_point_of_a_series(bed: Bed) -> None:
    make(Recipe(method="rtn", bits=4, group_size=16), bed.folder / "model", bed.folder / "made")
    bed.keys["checkpoints"].append({"id": "listed", "model": "made", "series": "listed"})
    bed.keys["series"] = [{"from": "dense", "method": "rtn", "bits": [4], "group_size": 16}]
    bed.keys.update(tasks=MMLU, limit=2)
    store = bed.run().store
    listed, point = _record(store, "listed"), _record(store, "rtn-4")
    assert made_by(listed) == made_by(point) == ("rtn, 4 bits, groups of 16, symmetric",)
    assert size(listed) == size(point)
    assert _rates(store) == {"listed": (4.0,), "rtn": (4.0,)}


def test_a_kick_json_of_other_weights_is_not_believed(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    make(Recipe(method="rtn", bits=4), bed.folder / "model", bed.folder / "made")
    shutil.copy(bed.folder / "model" / "model.safetensors", bed.folder / "made")
    bed.keys["checkpoints"].append({"id": "listed", "model": "made"})
    bed.keys.update(tasks=MMLU, limit=2, series=[])
    assert _record(bed.run().store, "listed").recipe is None
    assert "kick.json is not believed" in capsys.readouterr().err


def test_a_checkpoint_of_another_tool_is_on_the_curve_at_its_declared_rate(bed: Bed) -> None:
    make(Recipe(method="magnitude", sparsity=0.3), bed.folder / "model", bed.folder / "pruned")
    (bed.folder / "pruned" / "kick.json").unlink()
    shutil.copytree(bed.folder / "pruned", bed.folder / "recipe")
    (bed.folder / "recipe" / "recipe.yaml").write_text(
        yaml.safe_dump(
            {"stage": {"modifiers": {"WandaPruningModifier": {"sparsity": 0.3, "mask_structure": "0:0"}}}}
        )
    )
    declared = {"method": "wanda", "sparsity": 0.3}
    bed.keys["checkpoints"] += [
        {"id": "wanda-30", "model": "pruned", "declared": declared, "series": "wanda"},
        {"id": "wanda-too", "model": "recipe", "series": "wanda-by-file"},
    ]
    bed.keys.update(tasks=MMLU, limit=2)
    store = bed.run().store
    assert _rates(store) == {"wanda": (0.3,), "wanda-by-file": (0.3,), "magnitude": (0.5,)}
    assert made_by(_record(store, "wanda-30")) == ("declared: wanda, 30 % zeros",)
    assert made_by(_record(store, "wanda-too")) == ("declared: wanda, 30 % zeros",)


def test_a_point_without_a_rate_is_refused_before_anything_is_scored(bed: Bed) -> None:
    shutil.copytree(bed.folder / "model", bed.folder / "other")
    bed.keys["checkpoints"].append({"id": "other", "model": "other", "series": "wanda"})
    bed.keys.update(tasks=MMLU, limit=2)
    with pytest.raises(
        InputError, match="'other' is in the series 'wanda', and none of its files tells its rate"
    ):
        bed.run()
    assert Store(bed.folder / "results").cells() == []


def test_nothing_that_a_suite_names_vanishes_from_the_report(bed: Bed) -> None:
    bed.keys.update(tasks=MMLU, limit=2)
    store = bed.run().store
    # A results folder from before a rate had to be known, and one whose candidate was never scored.
    suite = store.suite()
    model = str(bed.folder / "model")
    suite["checkpoints"] += [
        {"id": "unrated", "model": model, "series": "wanda"},
        {"id": "mixed", "model": model, "series": "magnitude", "declared": {"method": "x", "bits": 4}},
        {"id": "lost", "model": model, "series": "magnitude"},
    ]
    Store.create(store.root, yaml.safe_dump(suite))
    everything = {"magnitude-0.5", "unrated", "mixed", "lost"}
    found = gather(store)
    assert {one for group in found.groups for one in group.candidates} == everything
    assert set(found.checkpoints) == {"dense", *everything}
    compared = compare_all(store)
    assert {one.candidate for one in (*compared.comparisons, *compared.refusals)} == everything
    magnitude = next(group for group in found.groups if group.name == "magnitude")
    assert dict(zip(magnitude.candidates, magnitude.rates, strict=True))["magnitude-0.5"] == 0.5
    assert "mixed" not in magnitude.candidates


def _rates(store: Store) -> dict[str, tuple[float, ...]]:
    """The rates of every series of a results folder."""
    return {group.name: group.rates for group in gather(store).groups if group.axis}
