import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from kick.checkpoints import attention_implementation, load, read_config, read_tokenizer
from kick.errors import InputError
from kick.types import LoadingOptions
from tests.checkpoints.broken import REFUSALS, bring_code, enlarge_tokenizer, remove_weights, write
from tests.checkpoints.edits import edit_json, edit_weights, shard
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


@pytest.mark.parametrize(
    "changes",
    [
        {"_attn_implementation": "eager"},
        {"attn_implementation": "eager"},
        {"attn_implementation": "someone/kernels-from-a-hub"},
        {"output_attentions": True},
    ],
)
def test_attention_is_not_computed_as_the_config_of_a_candidate_asks(
    changes: dict[str, object], folder: Path, tiny_llama: Path
) -> None:
    edit_json(folder / "config.json", **changes)
    candidate, reference = (load(each, dtype="bfloat16", device="cpu") for each in (folder, tiny_llama))
    assert candidate.attention == reference.attention == "sdpa"
    assert candidate.model.config._attn_implementation == "sdpa"
    tokens = candidate.tokenizer("the answer to the question", return_tensors="pt")
    assert torch.equal(candidate.model(**tokens).logits, reference.model(**tokens).logits)


def test_attention_of_a_plug_in_is_pinned_too(folder: Path) -> None:
    edit_json(folder / "config.json", attn_implementation="eager")
    options = LoadingOptions(loader="per-layer-llama")
    assert load(folder, options, dtype="auto", device="cpu").attention == "sdpa"


@pytest.mark.parametrize("architecture", ["llama", "mamba", "gemma3", "gpt2"])
def test_the_attention_implementation_is_known_before_a_model_is_loaded(
    architecture: str, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, architecture)
    planned = attention_implementation(read_config(folder))
    assert planned == ("eager" if architecture == "mamba" else "sdpa")
    assert load(folder, dtype="auto", device="cpu").attention == planned


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


@pytest.mark.parametrize(
    ("dtype", "device", "words"), [("int4", "cpu", "dtype 'int4'"), ("auto", "tpu", "'tpu'")]
)
def test_an_unknown_dtype_or_device_is_refused(dtype: str, device: str, words: str, tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=words):
        load(tiny_llama, dtype=dtype, device=device)
