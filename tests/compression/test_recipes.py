import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig

from kick.checkpoints import describe, fingerprint, load, tokenizer_fingerprint
from kick.checkpoints.folder import decoder_linears, stored_tensors
from kick.cli import app, main
from kick.compression import keys as key_rules
from kick.compression import make, read_made, recipe_key, recipes, validate
from kick.compression.baselines import magnitude
from kick.errors import InputError
from kick.rounding import round_to_nearest
from kick.types import Calibration, Recipe
from tests.checkpoints.edits import edit_json, edit_weights, shard
from tests.tiny import CONFIGS, save_model

HALF = Recipe(method="magnitude", sparsity=0.5)
TWO_OF_FOUR = Recipe(method="magnitude", sparsity=0.5, pattern="2:4")
FOUR_BITS = Recipe(method="rtn", bits=4, group_size=16)
ASYMMETRIC = Recipe(method="rtn", bits=3, symmetric=False)


@pytest.fixture
def source(tmp_path: Path, tiny_llama: Path) -> Path:
    """A copy of the tiny Llama that the test may change."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "source"))


def weights(folder: Path) -> dict[str, Tensor]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def others_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what is written ---


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
@pytest.mark.parametrize(
    "recipe", [HALF, TWO_OF_FOUR, FOUR_BITS, ASYMMETRIC], ids=["half", "2:4", "rtn4", "rtn3"]
)
def test_each_linear_is_compressed_and_nothing_else_changes(
    recipe: Recipe, architecture: str, tmp_path: Path
) -> None:
    source = save_model(tmp_path / "dense", architecture)
    make(recipe, source, tmp_path / "made")
    before, after = weights(source), weights(tmp_path / "made")
    linears = {tensor.name for tensor in decoder_linears(stored_tensors(source))}
    assert after.keys() == before.keys()
    assert len(linears) >= 8
    for name, weight in before.items():
        expected = weight
        if name in linears:
            stored_as_input_output = architecture == "gpt2"
            expected = weight.T if stored_as_input_output else weight
            if recipe.method == "magnitude":
                expected = magnitude(expected, 0.5, recipe.pattern)
            else:
                assert recipe.bits is not None
                expected = round_to_nearest(expected, recipe.bits, recipe.group_size, recipe.symmetric)
            expected = expected.T if stored_as_input_output else expected
            assert not torch.equal(after[name], weight)
        assert torch.equal(after[name], expected)
        assert after[name].dtype == weight.dtype


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
@pytest.mark.parametrize("recipe", [HALF, FOUR_BITS], ids=["half", "rtn4"])
def test_plain_transformers_loads_and_generates(recipe: Recipe, architecture: str, tmp_path: Path) -> None:
    make(recipe, save_model(tmp_path / "dense", architecture), tmp_path / "made")
    model, info = AutoModelForCausalLM.from_pretrained(tmp_path / "made", output_loading_info=True)
    assert not any(info.values())
    tokens = AutoTokenizer.from_pretrained(tmp_path / "made")("the answer", return_tensors="pt")
    generated = model.generate(**tokens, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert generated.shape[1] == tokens["input_ids"].shape[1] + 4


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_the_model_that_computes_has_its_pattern_along_the_inputs(architecture: str, tmp_path: Path) -> None:
    """Measured on the built modules, where the input dimension is what a forward multiplies with."""
    make(TWO_OF_FOUR, save_model(tmp_path / "dense", architecture), tmp_path / "made")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    checked = 0
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in ("Linear", "Conv1D") and module is not model.get_output_embeddings():
            by_output = (
                module.weight.detach().numpy() if kind == "Linear" else module.weight.detach().numpy().T
            )
            zeros = (by_output.reshape(-1, 4) == 0).sum(axis=1)
            assert np.all(zeros == 2), name
            checked += 1
    assert checked >= 8
    assert describe(tmp_path / "made", TWO_OF_FOUR).nm_violations == 0


def test_sparsity_is_exact_in_each_linear(tiny_llama: Path, tmp_path: Path) -> None:
    make(Recipe(method="magnitude", sparsity=0.3), tiny_llama, tmp_path / "made")
    after = weights(tmp_path / "made")
    linears = decoder_linears(stored_tensors(tiny_llama))
    assert len(linears) == 2 * 7
    for tensor in linears:
        assert int((after[tensor.name] == 0).sum()) == round(0.3 * tensor.numel)


def test_eight_bits_change_the_model_less_than_two(tiny_llama: Path, tmp_path: Path) -> None:
    tokens = torch.arange(3, 60)[None]
    dense = load(tiny_llama, dtype="auto", device="cpu").model(tokens).logits
    errors = []
    for bits in (8, 4, 2):
        make(Recipe(method="rtn", bits=bits), tiny_llama, tmp_path / str(bits))
        loaded = load(tmp_path / str(bits), dtype="auto", device="cpu")
        assert loaded.simulated == (f"weights: {bits}-bit values in a wider dtype",)
        errors.append(float((loaded.model(tokens).logits - dense).square().mean()))
    assert errors[0] < errors[1] < errors[2]


def test_low_rank_keeps_its_share_of_the_parameters_and_says_the_ranks(
    tiny_llama: Path, tmp_path: Path
) -> None:
    make(Recipe(method="low-rank", rank=0.5), tiny_llama, tmp_path / "made")
    how = read_made(tmp_path / "made").how
    before, after = weights(tiny_llama), weights(tmp_path / "made")
    saved = 0
    for linear in decoder_linears(stored_tensors(tiny_llama)):
        rank = how.ranks[linear.name]
        assert rank == int(0.5 * linear.numel / sum(linear.shape))
        assert int(torch.linalg.matrix_rank(after[linear.name])) == rank
        values = torch.linalg.svdvals(before[linear.name].double())
        error = (after[linear.name].double() - before[linear.name].double()).square().sum()
        torch.testing.assert_close(error, values[rank:].square().sum(), rtol=1e-4, atol=0)
        saved += linear.numel - rank * sum(linear.shape)
    assert how.parameters == sum(weight.numel() for weight in before.values()) - saved
    loaded = load(tmp_path / "made", dtype="auto", device="cpu")
    assert loaded.simulated == ("weights: low-rank factors multiplied out",)


def test_experts_are_compressed_and_routers_are_not(tmp_path: Path) -> None:
    config = MixtralConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "dense")
    make(HALF, tmp_path / "dense", tmp_path / "made")
    before, after = weights(tmp_path / "dense"), weights(tmp_path / "made")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(changed) == 2 * (4 + 3 * 4)
    assert not any("gate" in name for name in changed)
    AutoModelForCausalLM.from_pretrained(tmp_path / "made")


def test_shards_keep_their_names_keys_and_metadata(source: Path, tmp_path: Path) -> None:
    shard(source)
    make(HALF, source, tmp_path / "made")
    shards = sorted(path.name for path in source.glob("*.safetensors"))
    assert len(shards) == 2
    assert sorted(path.name for path in (tmp_path / "made").glob("*.safetensors")) == shards
    for name in shards:
        with safe_open(source / name, "pt") as before, safe_open(tmp_path / "made" / name, "pt") as after:
            assert list(before.keys()) == list(after.keys())
            assert before.metadata() == after.metadata() == {"format": "pt"}


def test_bfloat16_stays_bfloat16(source: Path, tmp_path: Path) -> None:
    def to_bfloat16(tensors: dict[str, Tensor]) -> None:
        tensors.update({name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()})

    edit_weights(source, to_bfloat16)
    make(FOUR_BITS, source, tmp_path / "made")
    assert describe(tmp_path / "made").stored_dtypes.keys() == {"BF16"}


def test_config_and_tokenizer_are_copied_and_the_readme_is_not(source: Path, tmp_path: Path) -> None:
    (source / "chat_template.jinja").write_text("{{ messages }}")
    (source / "README.md").write_text("a dense model")
    make(HALF, source, tmp_path / "made")
    assert others_in(tmp_path / "made") == sorted({*others_in(source), "kick.json"} - {"README.md"})
    for path in source.glob("*.json"):
        assert (tmp_path / "made" / path.name).read_bytes() == path.read_bytes()
    assert tokenizer_fingerprint(tmp_path / "made") == tokenizer_fingerprint(source)


def test_the_same_recipe_writes_the_same_bytes(tiny_llama: Path, tmp_path: Path) -> None:
    make(HALF, tiny_llama, tmp_path / "one")
    make(HALF, tiny_llama, tmp_path / "other")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "other") != fingerprint(tiny_llama)


# --- kick.json and the key ---


def test_kick_json_tells_how_the_folder_was_made(tiny_llama: Path, tmp_path: Path) -> None:
    make(FOUR_BITS, tiny_llama, tmp_path / "made")
    made = read_made(tmp_path / "made")
    assert made.recipe == FOUR_BITS
    assert made.source == fingerprint(tiny_llama)
    assert made.key == recipe_key(FOUR_BITS, fingerprint(tiny_llama))
    assert made.fingerprint == fingerprint(tmp_path / "made")
    assert made.versions["torch"] == torch.__version__
    assert made.seconds is not None
    assert made.peak_memory is not None
    assert made.peak_memory > 1e7


def test_a_made_folder_that_was_changed_is_not_taken_for_what_was_made(
    tiny_llama: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    make(HALF, tiny_llama, made)
    edit_weights(made, lambda tensors: tensors.update({"model.norm.weight": torch.rand(32)}))
    with pytest.raises(InputError, match="is not what kick wrote there"):
        read_made(made)
    (made / "kick.json").write_text('{"recipe": ')
    with pytest.raises(InputError, match="is damaged|is not valid JSON"):
        read_made(made)
    (made / "kick.json").unlink()
    with pytest.raises(InputError, match="did not make this folder"):
        read_made(made)


def test_the_key_depends_on_source_recipe_and_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [recipe_key(recipe, "a") for recipe in (HALF, TWO_OF_FOUR, FOUR_BITS, ASYMMETRIC)]
    keys += [recipe_key(HALF, "b"), recipe_key(HALF.model_copy(update={"sparsity": 0.6}), "a")]
    monkeypatch.setattr(key_rules, "ALGORITHM", key_rules.ALGORITHM + 1)
    keys += [recipe_key(HALF, "a")]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


def test_a_default_spelt_out_is_the_same_recipe() -> None:
    spelt_out = Recipe(
        method="magnitude", sparsity=0.5, pattern=None, bits=None, group_size=None, symmetric=True
    )
    assert recipe_key(spelt_out, "a") == recipe_key(HALF, "a")


# --- whole or not at all ---


def test_an_existing_folder_is_never_overwritten(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not overwritten"):
        make(HALF, tiny_llama, tmp_path / "made")
    assert others_in(tmp_path) == ["made"]
    assert others_in(tmp_path / "made") == ["notes.txt"]


def test_a_failure_leaves_nothing_behind(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "copy_others", fail)
    with pytest.raises(KeyboardInterrupt):
        make(HALF, tiny_llama, tmp_path / "made")
    assert others_in(tmp_path) == []


def test_after_a_kill_no_checkpoint_is_there_and_the_next_attempt_succeeds(
    tiny_llama: Path, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from kick.compression import make, recipes\n"
        "from kick.types import Recipe\n"
        "recipes.copy_others = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "make(Recipe(method='magnitude', sparsity=0.5), Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tiny_llama), str(tmp_path / "made")], check=False
    )
    assert killed.returncode == -9
    assert not (tmp_path / "made").exists()
    assert not list(tmp_path.rglob("config.json"))
    make(HALF, tiny_llama, tmp_path / "made")
    assert others_in(tmp_path) == ["made"]
    read_made(tmp_path / "made")


def test_two_processes_do_not_make_the_same_folder(tiny_llama: Path, tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".made.lock"),
        pytest.raises(InputError, match="is being made by another process"),
    ):
        make(HALF, tiny_llama, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_full_disk_is_noticed_before_anything_is_written(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="Make room"):
        make(HALF, tiny_llama, tmp_path / "made")
    assert others_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        make(HALF, tiny_llama, tmp_path / "file" / "made")


# --- refusals ---


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(method="magnitud", sparsity=0.5), "Did you mean 'magnitude'?"),
        (Recipe(method="x", sparsity=0.5), "Valid choices: autoround, awq"),
        (Recipe(method="wanda", sparsity=0.5), "'wanda' needs a calibration set"),
        (
            Recipe(method="gptq", bits=4, calibration=Calibration(data="c4", samples=0)),
            "0 samples of 2048 tokens",
        ),
        (
            Recipe(method="rtn", bits=4, calibration=Calibration(data="c4")),
            "calibration is not an option of 'rtn'",
        ),
        (Recipe(method="smoothquant", bits=4, calibration=Calibration(data="c4")), "8, of weights and activ"),
        (Recipe(method="low-rank"), "rank of 'low-rank' is missing"),
        (Recipe(method="low-rank", rank=1.0), "rank of 'low-rank' is 1; expected the share"),
        (Recipe(method="layer-drop"), "layers of 'layer-drop' is missing"),
        (Recipe(method="layer-drop", layers=0), "layers of 'layer-drop' is 0"),
        (Recipe(method="layer-drop", layers=()), "layers of 'layer-drop' is none"),
        (Recipe(method="layer-drop", layers=(2, 1)), "expected different numbers in rising order"),
        (Recipe(method="rtn", bits=4, rank=0.5), "rank is not an option of 'rtn', but of 'low-rank'"),
        (Recipe(method="magnitude"), "sparsity of 'magnitude' is missing"),
        (Recipe(method="magnitude", sparsity=0.0), "is 0; expected a share of zeros above 0 and below 1"),
        (Recipe(method="magnitude", sparsity=1.0), "is 1; expected"),
        (Recipe(method="magnitude", sparsity=50), "is 50; expected"),
        (Recipe(method="magnitude", sparsity=float("nan")), "is nan; expected"),
        (Recipe(method="magnitude", sparsity=0.5, pattern="2-4"), "pattern '2-4' is not N:M"),
        (Recipe(method="magnitude", sparsity=0.5, pattern="4:4"), "pattern '4:4' is not N:M"),
        (Recipe(method="magnitude", sparsity=0.6, pattern="2:4"), "2:4 is a sparsity of 0.5, not 0.6"),
        (
            Recipe(method="magnitude", sparsity=0.5, bits=4),
            "bits is not an option of 'magnitude', but of 'rtn'",
        ),
        (
            Recipe(method="magnitude", sparsity=0.5, group_size=128),
            "group_size is not an option of 'magnitude'",
        ),
        (
            Recipe(method="magnitude", sparsity=0.5, symmetric=False),
            "symmetric is not an option of 'magnitude'",
        ),
        (Recipe(method="rtn"), "bits of 'rtn' is missing; expected 2 to 8"),
        (Recipe(method="rtn", bits=1), "bits of 'rtn' is 1"),
        (Recipe(method="rtn", bits=9), "bits of 'rtn' is 9"),
        (Recipe(method="rtn", bits=4, group_size=0), "group_size of 'rtn' is 0"),
        (
            Recipe(method="rtn", bits=4, sparsity=0.5),
            "sparsity is not an option of 'rtn', but of 'magnitude'",
        ),
        (Recipe(method="rtn", bits=4, pattern="2:4"), "pattern is not an option of 'rtn'"),
    ],
)
def test_a_recipe_that_cannot_be_made_is_refused_before_anything_is_read(recipe: Recipe, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        validate(recipe)
    assert words in str(refusal.value)
    with pytest.raises(InputError):
        make(recipe, Path("nowhere"), Path("nowhere-either"))


@pytest.mark.parametrize("recipe", [HALF, TWO_OF_FOUR, FOUR_BITS, ASYMMETRIC])
def test_a_recipe_that_can_be_made_is_valid(recipe: Recipe) -> None:
    validate(recipe)


def test_checking_a_recipe_needs_no_torch() -> None:
    script = (
        "import sys; from kick.compression import validate, recipe_key; from kick.types import Recipe\n"
        "validate(Recipe(method='magnitude', sparsity=0.5, pattern='2:4')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_pattern_that_does_not_fit_a_linear_is_refused_by_its_name(
    tiny_llama: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"'model\.layers\.0\..*_proj\.weight' has 64 inputs.*groups of 3:5"):
        make(Recipe(method="magnitude", sparsity=0.4, pattern="3:5"), tiny_llama, tmp_path / "made")
    assert others_in(tmp_path) == []


def test_a_quantized_source_is_refused(source: Path, tmp_path: Path) -> None:
    edit_json(source / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(InputError, match=r"quantized already \('gptq'\)"):
        make(HALF, source, tmp_path / "made")


def test_integer_weights_are_refused(source: Path, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    edit_weights(source, lambda tensors: tensors.update({name: torch.ones(64, 32, dtype=torch.int8)}))
    with pytest.raises(InputError, match=f"'{name}' is stored as I8"):
        make(HALF, source, tmp_path / "made")


def test_fused_experts_are_refused_rather_than_left_dense(source: Path, tmp_path: Path) -> None:
    name = "model.layers.0.mlp.experts.gate_up_proj"
    edit_weights(source, lambda tensors: tensors.update({name: torch.rand(4, 32, 64)}))
    with pytest.raises(InputError, match=f"'{name}' holds all experts in one tensor"):
        make(HALF, source, tmp_path / "made")


# --- the command ---


def test_the_command_writes_a_folder_and_prints_one_json_document(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    options = ["--method", "magnitude", "--pattern", "2:4", "--out", str(out), "--json"]
    app(["compress", str(tiny_llama), *options], standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    made = read_made(out)
    assert printed["folder"] == str(out)
    assert printed["recipe"] == made.recipe.model_dump(mode="json")
    assert printed["fingerprint"] == made.fingerprint
    assert printed["description"]["sparsity"] == 0.5
    assert printed["description"]["nm_violations"] == 0


def test_the_command_refuses_a_bad_rate_with_exit_code_2(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--method", "rtn", "--bits", "1", "--out", str(tmp_path / "made")]
    monkeypatch.setattr("sys.argv", ["kick", "compress", str(tiny_llama), *options])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert err.strip() == "error: bits of 'rtn' is 1; expected 2 to 8."
