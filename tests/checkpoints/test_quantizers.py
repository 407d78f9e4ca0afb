from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from kick.checkpoints import as_loaded, describe, fingerprint_as_loaded, load
from kick.checkpoints.quantizers import QUANTIZERS
from kick.errors import InputError
from kick.types import LoadingOptions
from kick.types.loading import QUANTIZER_NAMES
from tests.checkpoints.edits import edit_json
from tests.tiny import save_model, tokenizer

PACKAGES = {"bnb": "bitsandbytes", "quanto": "optimum.quanto", "torchao": "torchao"}
BITS = {"bnb-int8": 8, "bnb-nf4": 4, "quanto-int8": 8, "torchao-int8": 8}
ROWS, WEIGHTS, LINEARS = 2 * (5 * 64 + 2 * 128), 81_920, 14  # of the model below
BESIDE = {  # bytes beside the values: a float32 scale a row or a block, zero points, tables of levels
    "bnb-int8": 4 * ROWS,
    "bnb-nf4": 4 * WEIGHTS // 64 + 4 * 16 * LINEARS,
    "quanto-int4": 2 * 4 * ROWS,
    "quanto-int8": 4 * ROWS,
    "torchao-int8": 5 * ROWS,
}
# quanto-int4 compiles an extension of quanto's on its first forward, which takes minutes: it is loaded, and not run.


@pytest.fixture(scope="module")
def wide_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose rows are whole blocks of 64 weights, which bitsandbytes asks for on a CPU."""
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    sizes = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=2, initializer_range=0.2)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", QUANTIZERS)
def test_weights_are_quantized_on_loading_and_their_bytes_measured(name: str, wide_llama: Path) -> None:
    pytest.importorskip(PACKAGES[name.split("-")[0]])
    bits = BITS.get(name, 4)
    loaded = load(wide_llama, dtype="float32", device="cpu", options=LoadingOptions(quantizer=name))
    assert loaded.loading[0].startswith(f"quantized by {name} ({QUANTIZERS[name].distribution} ")
    dense = describe(wide_llama)
    measured = as_loaded(dense, loaded.memory, loaded.linears, name)
    outside = (dense.parameters - dense.linear_parameters) * 4  # embeddings, head and norms in float32
    ideal = outside + dense.linear_parameters * bits / 8
    scales = dense.linear_parameters * 0.3  # at most: for rows of 64 weights
    assert ideal < measured.bytes_on_disk < ideal + scales
    assert measured.bits_per_weight == 8 * measured.bytes_on_disk / dense.parameters
    assert measured.quant_method == name
    assert measured.linear_bytes == dense.linear_parameters * bits / 8 + BESIDE[name]
    assert measured.linear_bits_per_weight == 8 * measured.linear_bytes / dense.linear_parameters


def test_bits_of_linears_are_not_told_where_the_model_has_other_matrices(tmp_path: Path) -> None:
    """GPT-2's are of the class Conv1D, so that no Linear holds one."""
    folder = save_model(tmp_path / "gpt2", "gpt2")
    loaded, dense = load(folder, dtype="float32", device="cpu"), describe(folder)
    assert dense.linear_bits_per_weight == 32
    measured = as_loaded(dense, loaded.memory, loaded.linears, "torchao-int8")
    assert (measured.linear_bytes, measured.linear_bits_per_weight) == (0, None)


@pytest.mark.parametrize("name", BITS)
def test_a_quantized_model_is_near_the_dense_one_and_not_the_same(name: str, wide_llama: Path) -> None:
    pytest.importorskip(PACKAGES[name.split("-")[0]])
    tokens = torch.arange(3, 60)[None]
    loaded = load(wide_llama, dtype="float32", device="cpu", options=LoadingOptions(quantizer=name))
    dense = AutoModelForCausalLM.from_pretrained(wide_llama)
    with torch.inference_mode():
        ours, theirs = loaded.model(tokens).logits, dense(tokens).logits
    correlation = torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
    assert (0.99 if BITS[name] == 8 else 0.9) < correlation < 1 - 1e-6


def test_rows_that_bitsandbytes_cannot_compute_on_a_cpu_are_refused(tiny_llama: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(InputError, match="'bnb-nf4'.*rows of 32 weights"):
        load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(quantizer="bnb-nf4"))


def test_a_quantizer_and_its_release_make_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    releases = {"bitsandbytes": "1.0", "torchao": "2.0"}
    monkeypatch.setattr("kick.checkpoints.quantizers.version", releases.get)
    names = ("bnb-int8", "bnb-nf4", "torchao-int8", None)
    fingerprints = [fingerprint_as_loaded("weights", LoadingOptions(quantizer=name)) for name in names]
    releases["torchao"] = "2.1"
    fingerprints.append(fingerprint_as_loaded("weights", LoadingOptions(quantizer="torchao-int8")))
    assert len(set(fingerprints)) == 5
    assert fingerprints[3] == "weights"


def test_without_the_package_the_way_out_is_named(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("kick.checkpoints.quantizers.version", missing)
    with pytest.raises(
        InputError, match=r"'quanto-int8' needs the package 'optimum-quanto'.*llm-kick\[quantizers\]"
    ):
        load(tiny_llama, dtype="auto", device="cpu", options=LoadingOptions(quantizer="quanto-int8"))


def test_a_quantized_checkpoint_is_not_quantized_again(folder: Path) -> None:
    pytest.importorskip("bitsandbytes")
    edit_json(folder / "config.json", quantization_config={"quant_method": "compressed-tensors"})
    with pytest.raises(
        InputError, match="'bnb-nf4' quantizes dense checkpoints.*'compressed-tensors'.*Remove"
    ):
        load(folder, dtype="auto", device="cpu", options=LoadingOptions(quantizer="bnb-nf4"))


def test_a_quantizer_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValidationError, match="no quantizer 'bnb-int4'. Did you mean 'bnb-int8'"):
        LoadingOptions(quantizer="bnb-int4")


def test_every_quantizer_has_a_name_that_a_suite_may_give() -> None:
    assert set(QUANTIZERS) == set(QUANTIZER_NAMES)
