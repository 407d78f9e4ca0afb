"""Suite files: what they mean, and that every mistake is named with its file, its key and the nearest valid choice."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kick.checkpoints import changes_on_loading, fingerprint_as_loaded
from kick.errors import InputError
from kick.suite import Suite
from kick.types import Calibration, LoadingOptions, Step

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a valid suite with some keys changed (None removes one); returns its path."""
    (tmp_path / "model").mkdir()

    def _write(**changes: Any) -> Path:
        keys: dict[str, Any] = {
            "name": "test",
            "reference": "dense",
            "checkpoints": [{"id": "dense", "model": "model"}],
            "tasks": ["kick_squad"],
        }
        keys.update(changes)
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in keys.items() if value is not None}))
        return path

    return _write


def test_every_rate_of_a_series_becomes_a_checkpoint(write: Write) -> None:
    series = [
        {"from": "dense", "method": "magnitude", "sparsity": [0.1, 0.5]},
        {"from": "dense", "method": "magnitude", "sparsity": [0.5], "pattern": "2:4"},
        {"from": "dense", "method": "rtn", "bits": [8, 3], "group_size": 64},
        {"from": "dense", "method": "rtn", "bits": [4], "symmetric": False, "name": "rtn-asym"},
    ]
    suite = Suite.read(write(series=series))
    assert [checkpoint.id for checkpoint in suite.checkpoints] == [
        "dense",
        "magnitude-0.1",
        "magnitude-0.5",
        "magnitude-2of4-0.5",
        "rtn-8",
        "rtn-3",
        "rtn-asym-4",
    ]
    rtn = suite.checkpoints[5]
    assert rtn.recipe is not None
    assert (rtn.recipe.bits, rtn.recipe.group_size, rtn.recipe.axis, rtn.recipe.rate) == (3, 64, "bits", 3.0)
    assert (rtn.base, rtn.series, rtn.model) == ("dense", "rtn", suite.checkpoints[0].model)


def test_low_rank_and_dropped_layers_are_series_too(write: Write) -> None:
    series = [
        {"from": "dense", "method": "low-rank", "rank": [0.75, 0.5]},
        {"from": "dense", "method": "layer-drop", "layers": [1, [3, 5]]},
    ]
    suite = Suite.read(write(series=series))
    made = {c.id: c.recipe for c in suite.checkpoints if c.recipe}
    assert list(made) == ["low-rank-0.75", "low-rank-0.5", "layer-drop-1", "layer-drop-3-5"]
    assert (made["low-rank-0.5"].rank, made["layer-drop-3-5"].layers) == (0.5, (3, 5))


def test_methods_share_one_calibration_set_and_each_seed_is_a_series(write: Write, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("text")
    series = [
        {"from": "dense", "method": "wanda", "sparsity": [0.3, 0.5]},
        {"from": "dense", "method": "gptq", "bits": [4], "calibration": "c4"},
        {"from": "dense", "method": "rtn", "bits": [4]},
    ]
    shared = {"data": "texts.txt", "samples": 16, "length": 512, "seeds": [0, 7]}
    path = write(series=series, calibration=shared)
    suite = Suite.read(path)
    made = {c.id: c for c in suite.checkpoints if c.recipe}
    assert list(made) == [
        "wanda-s0-0.3",
        "wanda-s0-0.5",
        "wanda-s7-0.3",
        "wanda-s7-0.5",
        "gptq-4",
        "rtn-4",
    ]
    assert [made[name].series for name in ("wanda-s0-0.3", "wanda-s7-0.5")] == ["wanda-s0", "wanda-s7"]
    drawn = {name: checkpoint.recipe.calibration for name, checkpoint in made.items() if checkpoint.recipe}
    assert drawn["wanda-s7-0.5"] == Calibration(
        data=str(tmp_path / "texts.txt"), samples=16, length=512, seed=7
    )
    assert drawn["gptq-4"] == Calibration(data="c4", samples=128, length=2048, seed=0)
    assert drawn["rtn-4"] is None
    kept = tmp_path / "kept.yaml"
    kept.write_text(suite.dump())
    assert Suite.read(kept) == suite


def test_paths_are_taken_from_the_folder_of_the_suite(write: Write, tmp_path: Path) -> None:
    assert Suite.read(write()).checkpoints[0].model == str(tmp_path / "model")


def test_a_gguf_file_and_a_tokenizer_are_paths_from_the_folder_of_the_suite(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "q4.gguf").touch()
    entries = [
        {"id": "dense", "model": "model"},
        {"id": "q4", "model": "q4.gguf", "tokenizer": "model"},
        {"id": "q8", "model": "owner/name/q8.gguf", "revision": "abc", "tokenizer": "owner/dense@def"},
    ]
    suite = Suite.read(write(checkpoints=entries))
    assert suite.checkpoint("q4").model == str(tmp_path / "q4.gguf")
    assert suite.checkpoint("q4").tokenizer == str(tmp_path / "model")
    assert suite.checkpoint("q8").tokenizer == "owner/dense@def"
    again = tmp_path / "again.yaml"
    again.write_text(suite.dump())
    assert Suite.read(again) == suite


def test_an_entry_may_stand_on_another_checkpoint(write: Write, tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    entries = [
        {"id": "nf4", "base": "dense", "quantizer": "bnb-nf4", "kv_bits": 8},
        {"id": "dense", "model": "model", "dtype": "bfloat16"},
        {"id": "recovered", "base": "magnitude-0.5", "adapter": "lora"},
    ]
    series = [{"from": "dense", "method": "magnitude", "sparsity": [0.5]}]
    suite = Suite.read(write(checkpoints=entries, series=series))
    nf4, recovered, point = (suite.checkpoint(name) for name in ("nf4", "recovered", "magnitude-0.5"))
    assert (nf4.model, nf4.dtype) == (str(tmp_path / "model"), "bfloat16")
    assert (nf4.quantizer, nf4.kv_bits, recovered.kv_bits) == ("bnb-nf4", 8, None)
    assert (recovered.recipe, recovered.base, recovered.series) == (point.recipe, "magnitude-0.5", None)
    assert recovered.adapter == str(tmp_path / "lora")
    again = tmp_path / "again.yaml"
    again.write_text(suite.dump())
    assert Suite.read(again) == suite


def test_a_suite_reads_back_from_a_results_folder(write: Write, tmp_path: Path) -> None:
    series = [{"from": "dense", "method": "rtn", "bits": [4]}]
    suite = Suite.read(write(series=series, perplexity={"datasets": ["wikitext2"], "windows": 3}, limit=5))
    kept = tmp_path / "kept.yaml"
    kept.write_text(suite.dump())
    assert Suite.read(kept) == suite


def test_variables_of_the_environment_stand_for_paths(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(checkpoints=[{"id": "dense", "model": "${KICK_TEST_MODEL}"}])
    monkeypatch.setenv("KICK_TEST_MODEL", str(tmp_path / "model"))
    assert Suite.read(path).checkpoints[0].model == str(tmp_path / "model")
    monkeypatch.delenv("KICK_TEST_MODEL")
    with pytest.raises(InputError, match="environment variable KICK_TEST_MODEL is not set"):
        Suite.read(path)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"refrence": "dense"}, "refrence: unknown key. Did you mean 'reference'?"),
    ({"name": None}, "name: this key is missing"),
    ({"checkpoints": [{"id": "dense"}]}, "checkpoints.0.model: this key is missing"),
    ({"checkpoints": [{"id": "dense", "base": "dens"}]}, "checkpoints.0.base: there is no checkpoint 'dens'"),
    (
        {"checkpoints": [{"id": "dense", "model": "model"}, {"id": "x", "base": "dense"}]},
        "checkpoints.1: nothing is changed of its base. Besides `id` and `base` give adapter, .*, kv_bits",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model"}, {"id": "x", "base": "dense", "dtype": "auto"}]},
        "checkpoints.1: `dtype` is taken from its base",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "quantizer": "bnb-nf3"}]},
        "checkpoints.0.quantizer: there is no quantizer 'bnb-nf3'. Did you mean 'bnb-nf4'",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "kv_bits": 16}]},
        "checkpoints.0.kv_bits: .* less than or equal to 8",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "adapter": "nowhere"}]},
        "checkpoints.0.adapter: .*nowhere is not a folder",
    ),
    ({"checkpoints": [{"id": "dense", "model": "model", "dtpe": "auto"}]}, "Did you mean 'dtype'?"),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "dtype": "int8"}]},
        "checkpoints.0.dtype: Input should be",
    ),
    ({"checkpoints": [{"id": "dense", "model": "nowhere"}]}, "checkpoints.0.model: .* is not a folder"),
    (
        {"checkpoints": [{"id": "dense", "model": "owner/name"}]},
        "'owner/name' is not pinned. Add `revision:`",
    ),
    ({"checkpoints": [{"id": "a/b", "model": "model"}]}, "checkpoints.0.id: 'a/b' cannot name a folder"),
    ({"checkpoints": [{"id": "dense", "model": "model"}] * 2}, "checkpoints.1.id: the id 'dense' is taken"),
    ({"checkpoints": []}, "checkpoints: "),
    ({"reference": "dens"}, "reference: there is no checkpoint 'dens'. Did you mean 'dense'?"),
    ({"tasks": ["kick_squat"]}, "tasks: there is no task 'kick_squat'. Did you mean 'kick_squad'?"),
    ({"tasks": ["kick_squad", "kick_squad"]}, "'kick_squad' is listed twice"),
    ({"tasks": []}, "tasks: nothing to score"),
    ({"name": "../up"}, "name: '../up' cannot name a folder"),
    ({"limit": 0}, "limit: Input should be greater than or equal to 1"),
    ({"perplexity": {"datasets": ["wikitext3"]}}, "perplexity.datasets.0: .*wikitext2"),
    ({"perplexity": {"datasets": ["wikitext2"], "windwos": 2}}, "Did you mean 'windows'?"),
    ({"series": [{"from": "dens", "method": "rtn", "bits": [4]}]}, "series.0.from: .* Did you mean 'dense'?"),
    ({"series": [{"from": "dense", "method": "rtm", "bits": [4]}]}, "series.0: .*rtm.*rtn"),
    ({"series": [{"from": "dense", "method": "magnitude", "sparsity": [1.5]}]}, "series.0: .*1.5"),
    ({"series": [{"from": "dense", "method": "rtn", "bits": [1]}]}, "series.0: .*1"),
    ({"series": [{"from": "dense", "method": "rtn", "bits": []}]}, "series.0.bits: "),
    ({"series": [{"from": "dense", "method": "rtn"}]}, "series.0: give either `sparsity`"),
    ({"series": [{"from": "dense", "method": "gptq", "bits": [4]}]}, "series.0: .*needs a calibration set"),
    (
        {"series": [{"from": "dense", "method": "gptq", "bits": [4], "calibration": {"dta": "c4"}}]},
        "series.0.calibration.dta: unknown key. Did you mean 'data'?",
    ),
    ({"calibration": {"data": "c4", "sampels": 3}}, "calibration.sampels: .* Did you mean 'samples'?"),
    (
        {
            "series": [{"from": "dense", "method": "wanda", "sparsity": [0.5]}],
            "calibration": {"data": "c4_validation"},
            "perplexity": {"datasets": ["c4"]},
        },
        "'c4_validation' is the text that perplexity is measured on",
    ),
    (
        {"series": [{"from": "dense", "method": "rtn", "bits": [4], "calibration": "c4"}]},
        "calibration is not an option of 'rtn'",
    ),
    ({"series": [{"from": "dense", "method": "rtn", "bits": [4, 4]}]}, "series.0: the id 'rtn-4' is taken"),
    ({"include_path": ["nowhere"]}, "nowhere is not a folder of tasks"),
    ({"limit": True}, "limit: Input should be a valid integer .given: True."),
    ({"limit": "5"}, "limit: Input should be a valid integer .given: '5'."),
    ({"limit": "1:30"}, "limit: Input should be a valid integer .given: '1:30'."),
    ({"divergence": 1}, "divergence: Input should be a valid boolean"),
    ({"name": 5}, "name: Input should be a valid string"),
    ({"perplexity": {"datasets": ["wikitext2"], "windows": "3"}}, "perplexity.windows: .*valid integer"),
    ({"series": [{"from": "dense", "method": "magnitude", "sparsity": [float("nan")]}]}, "series.0.sparsity"),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "quantiser": "bnb-nf4"}]},
        "checkpoints.0.quantiser: unknown key. Did you mean 'quantizer'?",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "declared": {"method": "wanda"}}]},
        "checkpoints.0.declared: give one of `sparsity`, `bits`, `rank` and `layers` .given: none",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "declared": {"method": "x", "sparsity": 1.5}}]},
        "checkpoints.0.declared: sparsity of 'x' is 1.5",
    ),
    (
        {"checkpoints": [{"id": "dense", "model": "model", "declared": {"method": "x", "sparsty": 0.5}}]},
        "checkpoints.0.declared.sparsty: unknown key. Did you mean 'sparsity'?",
    ),
    (
        {
            "checkpoints": [
                {"id": "dense", "model": "model"},
                {"id": "w4", "model": "model", "series": "magnitude", "declared": {"method": "x", "bits": 4}},
            ],
            "series": [{"from": "dense", "method": "magnitude", "sparsity": [0.5]}],
        },
        "the series 'magnitude' has a point by bits .w4. and one by sparsity",
    ),
    (
        {
            "calibration": {"data": "c4"},
            "series": [
                {"from": "dense", "method": "smoothquant", "bits": [8]},
                {"from": "smoothquant-8", "method": "rtn", "bits": [4]},
            ],
        },
        "series.1: 'rtn' cannot follow 'smoothquant', which stores its weights packed",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_one_message_that_names_its_place(
    write: Write, changes: dict[str, Any], message: str
) -> None:
    path = write(**changes)
    with pytest.raises(InputError, match=message) as caught:
        Suite.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no suite file 'nowhere.yaml'"):
        Suite.read("nowhere.yaml")
    path = tmp_path / "list.yaml"
    path.write_text("- a\n")
    with pytest.raises(InputError, match="expected the keys of a suite"):
        Suite.read(path)
    path.write_text("name: a\nname: b\n")
    with pytest.raises(InputError, match="the key 'name' is given twice"):
        Suite.read(path)
    path.write_text("a: [\n")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        Suite.read(path)


def test_an_ad_hoc_suite_names_its_checkpoints_after_their_folders(tmp_path: Path) -> None:
    for name in ("a/model", "b/model"):
        (tmp_path / name).mkdir(parents=True)
    suite = Suite.ad_hoc(str(tmp_path / "a/model"), [str(tmp_path / "b/model")], ["kick_squad"], 5)
    assert [checkpoint.id for checkpoint in suite.checkpoints] == ["model", "model-2"]
    assert (suite.reference, suite.limit) == ("model", 5)


def test_keys_follow_the_model_of_an_ad_hoc_suite(tmp_path: Path) -> None:
    (tmp_path / "dense").mkdir()
    (tmp_path / "q4.gguf").touch()
    dense = str(tmp_path / "dense")
    file = f"{tmp_path}/q4.gguf,tokenizer={dense},dtype=bfloat16"
    candidates = [f"{dense},quantizer=bnb-nf4", f"{dense},kv_bits=4", file]
    suite = Suite.ad_hoc(dense, candidates, ["kick_squad"], None)
    assert [one.id for one in suite.checkpoints] == ["dense", "dense-bnb-nf4", "dense-kv4", "q4.gguf"]
    assert (suite.checkpoints[1].quantizer, suite.checkpoints[2].kv_bits) == ("bnb-nf4", 4)
    assert (suite.checkpoints[3].tokenizer, suite.checkpoints[3].dtype) == (dense, "bfloat16")
    with pytest.raises(InputError, match="quantiser: unknown key. Did you mean 'quantizer'"):
        Suite.ad_hoc(dense, [f"{dense},quantiser=bnb-nf4"], ["kick_squad"], None)


def test_what_to_score_now_is_chosen_among_what_the_suite_names(write: Write) -> None:
    suite = Suite.read(write(perplexity={"datasets": ["wikitext2"]}))
    assert suite.select_tasks([]) == ("kick_squad", "perplexity_wikitext2")
    assert suite.select_tasks(["perplexity_wikitext2"]) == ("perplexity_wikitext2",)
    with pytest.raises(InputError, match="--tasks: 'kick_squat' is not in suite 'test'. Did you mean"):
        suite.select_tasks(["kick_squat"])
    with pytest.raises(InputError, match="--only: there is no checkpoint 'dens'. Did you mean 'dense'"):
        suite.select_checkpoints("dens")


def test_the_packaged_suite_of_the_paper_is_read_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vicuna").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KICK_MODEL", "vicuna")
    suite = Suite.read("llm-kick")
    assert suite.checkpoint("dense").model == str(tmp_path / "vicuna")
    assert all(name.startswith("llm_kick_") for name in suite.tasks)
    assert len(suite.tasks) == 5
    assert suite.perplexity_tasks == ("perplexity_wikitext2",)
    sparsities = [c.recipe.sparsity for c in suite.checkpoints if c.recipe and c.series == "magnitude"]
    assert sparsities == [pytest.approx(0.05 * step) for step in range(1, 17)]
    assert {c.recipe.pattern for c in suite.checkpoints if c.recipe and c.recipe.pattern} == {
        "1:2",
        "2:4",
        "4:8",
    }


def test_the_packaged_suite_of_the_paper_asks_for_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KICK_MODEL", raising=False)
    with pytest.raises(InputError, match="the environment variable KICK_MODEL is not set"):
        Suite.read("llm-kick")


def test_a_series_on_a_point_of_a_series_is_a_chain_of_steps(write: Write, tmp_path: Path) -> None:
    series = [
        {"from": "dense", "method": "magnitude", "sparsity": [0.5], "pattern": "2:4"},
        {"from": "magnitude-2of4-0.5", "method": "rtn", "bits": [4, 3], "group_size": 64},
    ]
    suite = Suite.read(write(series=series))
    last = suite.checkpoint("rtn-3")
    assert last.recipe is not None
    assert [(step.method, step.rate, step.pattern) for step in last.recipe.steps] == [
        ("magnitude", 0.5, "2:4"),
        ("rtn", 3.0, None),
    ]
    assert (last.base, last.series, last.recipe.axis, last.recipe.rate) == (
        "magnitude-2of4-0.5",
        "rtn",
        "bits",
        3.0,
    )
    kept = tmp_path / "kept.yaml"
    kept.write_text(suite.dump())
    assert Suite.read(kept) == suite


def test_a_checkpoint_of_another_tool_declares_its_rate(write: Write, tmp_path: Path) -> None:
    declared = {"method": "wanda", "sparsity": 0.5, "pattern": "2:4"}
    entry = {"id": "w", "model": "model", "series": "wanda", "declared": declared}
    suite = Suite.read(write(checkpoints=[{"id": "dense", "model": "model"}, entry]))
    assert suite.checkpoint("w").declared == Step(method="wanda", sparsity=0.5, pattern="2:4")
    kept = tmp_path / "kept.yaml"
    kept.write_text(suite.dump())
    assert Suite.read(kept) == suite


# --- loading options: a new one is a field of `LoadingOptions`, and nothing else ---


def test_every_loading_option_is_a_key_of_a_suite_and_reaches_the_loader(
    write: Write, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        "adapter": str(tmp_path / "model"),
        "quantizer": "bnb-nf4",
        "loader": "mine",
        "kv_bits": 4,
    }
    assert set(values) == set(LoadingOptions.model_fields)
    entries = [
        {"id": "dense", "model": "model"},
        {"id": "own", "model": "model", **values},
        {"id": "changed", "base": "dense", **values},
    ]
    suite = Suite.read(write(checkpoints=entries))
    for name in ("own", "changed"):
        assert suite.checkpoint(name).options == LoadingOptions(**values)
    assert suite.checkpoint("dense").options.given == {}


def test_a_new_loading_option_is_part_of_the_fingerprint_without_a_further_edit() -> None:
    class More(LoadingOptions):
        rotation: int | None = None

    assert changes_on_loading(More(rotation=3)) == {"rotation": "3"}
    assert fingerprint_as_loaded("weights", More(rotation=3)) != fingerprint_as_loaded("weights", More())


def test_reading_suites_needs_neither_torch_nor_transformers() -> None:
    script = (
        "import sys, kick.suite, kick.suite.model_refs; from kick.suite import Suite; Suite.read('demo')\n"
        "print([name for name in ('torch', 'transformers', 'lm_eval', 'kick.checkpoints') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
