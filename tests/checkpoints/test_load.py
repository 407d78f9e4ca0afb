import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from kick.checkpoints import load, read_config, read_tokenizer
from kick.checkpoints.load import simulated
from kick.errors import InputError
from tests.checkpoints.edits import Q_PROJ, edit_json, edit_weights, shard
from tests.tiny import CONFIGS, save_model


def load_on_cpu(folder: Path, trust_remote_code: bool = False) -> object:
    return load(folder, dtype="auto", device="cpu", trust_remote_code=trust_remote_code)


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_a_loaded_model_answers_as_plain_transformers_does(architecture: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, architecture)
    loaded = load(folder, dtype="auto", device="cpu")
    tokens = loaded.tokenizer("the answer", return_tensors="pt")
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(loaded.model(**tokens).logits, plain(**tokens).logits)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert (loaded.dtype, loaded.device, loaded.simulated) == ("float32", "cpu", ())


def test_auto_is_the_dtype_that_the_config_states(folder: Path) -> None:
    edit_json(folder / "config.json", dtype="bfloat16")
    loaded = load(folder, dtype="auto", device="cpu")
    assert loaded.dtype == "bfloat16"
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert read_config(folder).dtype == torch.bfloat16


def test_auto_is_the_stored_dtype_where_the_config_states_none(folder: Path) -> None:
    def to_half(tensors: dict[str, Tensor]) -> None:
        tensors.update({name: tensor.to(torch.float16) for name, tensor in tensors.items()})

    edit_weights(folder, to_half)
    edit_json(folder / "config.json", dtype=None)
    assert load(folder, dtype="auto", device="cpu").dtype == "float16"
    assert read_config(folder).dtype == torch.float16


def test_a_given_dtype_is_loaded(tiny_llama: Path) -> None:
    loaded = load(tiny_llama, dtype="bfloat16", device="cpu")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}


def test_shards_load_as_one_file_does(folder: Path, tiny_llama: Path) -> None:
    shard(folder)
    sharded, whole = load(folder, dtype="auto", device="cpu"), load(tiny_llama, dtype="auto", device="cpu")
    for name, parameter in whole.model.state_dict().items():
        assert torch.equal(sharded.model.state_dict()[name], parameter)


def test_tied_embeddings_stored_once_are_not_missing(tmp_path: Path) -> None:
    loaded = load(save_model(tmp_path, "opt"), dtype="auto", device="cpu")
    assert loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight


def test_rotary_buffers_of_old_checkpoints_are_not_unexpected(folder: Path) -> None:
    inverse = torch.rand(4)
    edit_weights(
        folder, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": inverse})
    )
    load_on_cpu(folder)


def test_the_tokenizer_is_read_without_the_model(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert read_tokenizer(folder).bos_token == "<s>"


# --- refusals: what is broken, and the words that say so ---


def remove(name: str) -> Callable[[Path], None]:
    def edit(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return lambda folder: edit_weights(folder, edit)


def rename_tensor(folder: Path) -> None:
    def rename(tensors: dict[str, Tensor]) -> None:
        tensors[Q_PROJ.replace("q_proj", "query")] = tensors.pop(Q_PROJ)

    edit_weights(folder, rename)


def add_tensor(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({"model.layers.0.adapter.weight": torch.rand(4, 4)}))


def change_shape(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({Q_PROJ: tensors[Q_PROJ][:16].clone()}))


def declare(method: str | None, **more: object) -> Callable[[Path], None]:
    config = {**({"quant_method": method} if method else {"bits": 4}), **more}
    return lambda folder: edit_json(folder / "config.json", quantization_config=config)


def write(value: float, rows: int) -> Callable[[Path], None]:
    def edit(tensors: dict[str, Tensor]) -> None:
        tensors[Q_PROJ][:rows] = value

    return lambda folder: edit_weights(folder, edit)


def pack(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({Q_PROJ: tensors[Q_PROJ].mul(100).to(torch.int8)}))


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def garble_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00" + b"no json at all!!" + path.read_bytes()[24:])


def leave_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def lose_a_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def swap_shards(folder: Path) -> None:
    shard(folder)
    shutil.copyfile(folder / "model-00001-of-00002.safetensors", folder / "model-00002-of-00002.safetensors")


def enlarge_tokenizer(words: int, **specials: object) -> Callable[[Path], None]:
    """Fill the tokenizer up to the embedding's 384 rows, and add `words` and special tokens beyond them."""

    def edit(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([f"filler{number}" for number in range(384 - len(tokenizer))])
        tokenizer.add_tokens([f"word{number}" for number in range(words)])
        tokenizer.add_special_tokens(specials)
        tokenizer.save_pretrained(folder)

    return edit


def remove_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def remove_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def garble_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama",')


def forget_model_type(folder: Path) -> None:
    edit_json(folder / "config.json", model_type=None)


def bring_code(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("raise SystemExit('code of the checkpoint ran')")
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    edit_json(folder / "config.json", model_type="own", auto_map=auto_map)


def unknown_architecture(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="lama")


REFUSALS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a tensor removed": (remove(Q_PROJ), ["missing, and would be random", Q_PROJ]),
    "the head removed": (remove("lm_head.weight"), ["missing, and would be random", "lm_head.weight"]),
    "a tensor renamed": (rename_tensor, ["missing, and would be random", Q_PROJ]),
    "a tensor too many": (add_tensor, ["unknown to the model", "model.layers.0.adapter.weight"]),
    "a shape changed": (change_shape, ["another shape", f"{Q_PROJ} [16, 32] for [32, 32]"]),
    "modelopt": (declare("modelopt"), ["'modelopt'", "as if they were dense", "compressed-tensors"]),
    "an unknown quantiser": (declare("gtpq"), ["'gtpq'", "Did you mean 'gptq'?"]),
    "a quantiser without a name": (declare(None), ["'unnamed'", "does not know"]),
    "pre-quantised nvfp4": (declare("nvfp4"), ["'nvfp4'", "nvfp4-pack"]),
    "a quantiser for GPUs": (declare("spqr"), ["'spqr'", "GPU only"]),
    "a quantiser not installed": (declare("gptq", bits=4), ["package that is not installed", "optimum"]),
    "a legacy sparse format": (
        declare("compressed-tensors", sparsity_config={"format": "sparse-bitmask"}),
        ["'sparse-bitmask'", "0.15"],
    ),
    "NaN": (write(float("nan"), rows=1), ["32 values that are NaN or infinite", Q_PROJ]),
    "infinity": (write(float("-inf"), rows=1), ["32 values that are NaN or infinite", Q_PROJ]),
    "a constant matrix": (write(0.5, rows=32), ["every value", Q_PROJ, "0.5"]),
    "packed weights, undeclared": (pack, ["I8", Q_PROJ, "taken for dense"]),
    "a truncated file": (truncate, ["truncated", "model.safetensors", "Copy it again"]),
    "a garbled header": (garble_header, ["header cannot be read"]),
    "a pickle alone": (leave_a_pickle, ["pickle (pytorch_model.bin)", "save_pretrained()"]),
    "no weights": (remove_weights, ["holds no weights"]),
    "a shard lost": (lose_a_shard, ["'model-00002-of-00002.safetensors', which is missing"]),
    "shards swapped": (swap_shards, ["does not hold it"]),
    "a tokenizer too large": (enlarge_tokenizer(8), ["392", "'word7'", "embedding rows (384)"]),
    "a padding token without a row": (
        enlarge_tokenizer(0, pad_token="[PAD]"),
        ["'[PAD]'", "embedding rows (384)"],
    ),
    "no tokenizer": (remove_tokenizer, ["the tokenizer cannot be loaded"]),
    "no config": (remove_config, ["config.json is missing"]),
    "a config that is no JSON": (garble_config, ["config.json is not valid JSON"]),
    "a config without a model type": (forget_model_type, ["no 'model_type'"]),
    "code of its own": (bring_code, ["runs no code of a checkpoint unasked", "trust_remote_code: true"]),
    "an unknown architecture": (unknown_architecture, ["'lama'", "Did you mean 'llama'?"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_broken_checkpoint_is_refused_with_the_reason(case: str, folder: Path) -> None:
    breaks, phrases = REFUSALS[case]
    breaks(folder)
    with pytest.raises(InputError) as refusal:
        load_on_cpu(folder)
    for phrase in [*phrases, str(folder)]:
        assert phrase in str(refusal.value)


def test_an_untied_head_where_the_config_ties_it_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "opt")
    edit_weights(folder, lambda tensors: tensors.update({"lm_head.weight": torch.rand(384, 32)}))
    with pytest.raises(InputError, match="ties the head to the embeddings.*tie_word_embeddings to false"):
        load_on_cpu(folder)


def test_a_tied_head_stored_twice_is_fine(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "opt")

    def store_twice(tensors: dict[str, Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.decoder.embed_tokens.weight"].clone()

    edit_weights(folder, store_twice)
    load_on_cpu(folder)


def test_values_that_overflow_the_asked_dtype_are_refused(folder: Path) -> None:
    write(70000.0, rows=1)(folder)
    with pytest.raises(InputError, match="up to 70000, which are infinite in float16"):
        load(folder, dtype="float16", device="cpu")
    load(folder, dtype="bfloat16", device="cpu")


def test_a_damaged_kick_json_is_refused(folder: Path) -> None:
    (folder / "kick.json").write_text("{")
    with pytest.raises(InputError, match=r"kick\.json is not valid JSON"):
        load_on_cpu(folder)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        load_on_cpu(tmp_path / "nowhere")


def test_a_pickle_is_never_opened(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit('the pickle ran')",))

    remove_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="pickle"):
        load_on_cpu(folder)


def test_code_of_a_checkpoint_runs_only_when_trusted(folder: Path) -> None:
    bring_code(folder)
    with pytest.raises(SystemExit, match="code of the checkpoint ran"):
        load_on_cpu(folder, trust_remote_code=True)


def test_an_image_token_without_an_embedding_row_is_let_pass(folder: Path) -> None:
    enlarge_tokenizer(0, additional_special_tokens=["<image>"])(folder)
    assert len(load(folder, dtype="auto", device="cpu").tokenizer) == 385


QUANTISED_ACTIVATIONS = {"group_0": {"targets": ["Linear"], "input_activations": {"num_bits": 8}}}


@pytest.mark.parametrize(
    ("declared", "device", "expected"),
    [
        ({"quant_method": "compressed-tensors"}, "cpu", ["weights: dequantised"]),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": QUANTISED_ACTIVATIONS,
                "kv_cache_scheme": {"num_bits": 8},
            },
            "cuda",
            ["weights: dequantised", "activations: quantised and deq", "KV cache: quantised and dequantised"],
        ),
        ({"quant_method": "fp8"}, "cpu", ["weights: dequantised", "activations: not quantised"]),
        ({"quant_method": "fp8"}, "cuda", []),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "cpu", []),
    ],
)
def test_what_the_loader_simulates_is_told(
    declared: dict[str, object], device: str, expected: list[str], tmp_path: Path
) -> None:
    phrases = simulated(tmp_path, {"quantization_config": declared}, device)
    assert len(phrases) == len(expected)
    assert all(phrase.startswith(start) for phrase, start in zip(phrases, expected, strict=True))


@pytest.mark.parametrize(
    ("dtype", "device", "words"), [("int4", "cpu", "dtype 'int4'"), ("auto", "tpu", "'tpu'")]
)
def test_an_unknown_dtype_or_device_is_refused(dtype: str, device: str, words: str, tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=words):
        load(tiny_llama, dtype=dtype, device=device)
