import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from kick.checkpoints import changes_on_loading, load
from kick.errors import InputError
from kick.types import LoadingOptions
from tests.checkpoints.edits import edit_json
from tests.tiny import save_model

peft = pytest.importorskip("peft")
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def adapter(tiny_llama: Path, tmp_path: Path) -> Path:
    """A LoRA of rank 4 on the queries and values of the tiny Llama, with random weights."""
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(1)
    model = peft.get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def logits(model: torch.nn.Module) -> torch.Tensor:
    tokens = torch.arange(3, 60)[None]
    with torch.inference_mode():
        found: torch.Tensor = model(tokens).logits
    return found


def test_an_adapter_is_merged_into_dense_weights(adapter: Path, tiny_llama: Path) -> None:
    loaded = load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(adapter=str(adapter)))
    dense = AutoModelForCausalLM.from_pretrained(tiny_llama)
    low_rank = load_file(adapter / WEIGHTS)
    plain = logits(dense)
    for name, matrix in low_rank.items():
        if name.endswith("lora_A.weight"):
            target = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
            dense.get_parameter(target).data += 2 * low_rank[name.replace("lora_A", "lora_B")] @ matrix
    torch.testing.assert_close(logits(loaded.model), logits(dense), atol=1e-4, rtol=0)
    assert (logits(dense) - plain).abs().max() > 0.1
    assert type(loaded.model) is type(dense)
    assert loaded.loading == ("adapter merged into the weights, in float32",)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_an_adapter_stands_beside_quantized_weights(adapter: Path, tiny_llama: Path) -> None:
    pytest.importorskip("bitsandbytes")
    alone = load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(quantizer="bnb-int8"))
    both = load(
        tiny_llama,
        dtype="float32",
        device="cpu",
        options=LoadingOptions(quantizer="bnb-int8", adapter=str(adapter)),
    )
    projection = both.model.model.layers[0].self_attn.q_proj
    assert type(projection.base_layer) is type(alone.model.model.layers[0].self_attn.q_proj)
    assert (logits(both.model) - logits(alone.model)).abs().max() > 0.1
    assert both.loading[1] == "adapter beside the weights"


def test_another_adapter_makes_another_model(adapter: Path) -> None:
    before = changes_on_loading(LoadingOptions(adapter=str(adapter)))
    edit_json(adapter / "adapter_config.json", lora_alpha=9)
    assert changes_on_loading(LoadingOptions(adapter=str(adapter))) != before


def leave_out(adapter: Path) -> None:
    tensors = load_file(adapter / WEIGHTS)
    tensors.pop(min(tensors))
    save_file(tensors, adapter / WEIGHTS)


def forget_training(adapter: Path) -> None:
    tensors = load_file(adapter / WEIGHTS)
    save_file({name: tensor * ("lora_A" in name) for name, tensor in tensors.items()}, adapter / WEIGHTS)


def pickle_it(adapter: Path) -> None:
    torch.save(load_file(adapter / WEIGHTS), adapter / "adapter_model.bin")
    (adapter / WEIGHTS).unlink()


def aim_elsewhere(adapter: Path) -> None:
    edit_json(adapter / "adapter_config.json", target_modules=["query_key_value"])


def lose_config(adapter: Path) -> None:
    (adapter / "adapter_config.json").unlink()


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (leave_out, "not those that its config asks for in this model: 1 differ"),
        (forget_training, "every value of '.*lora_B.weight'.* is -?0"),
        (pickle_it, "holds no adapter_model.safetensors.*pickles are not read"),
        (aim_elsewhere, "does not fit the model"),
        (lose_config, "adapter_config.json is missing"),
    ],
)
def test_a_broken_adapter_is_refused(breaks: object, words: str, adapter: Path, tiny_llama: Path) -> None:
    assert callable(breaks)
    breaks(adapter)
    with pytest.raises(InputError, match=words):
        load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(adapter=str(adapter)))


def test_another_models_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not fit the model"):
        load(
            save_model(tmp_path / "gemma", "gemma3"),
            dtype="float32",
            device="cpu",
            options=LoadingOptions(adapter=str(adapter)),
        )


def test_an_adapter_of_the_prompt_is_refused(adapter: Path, tiny_llama: Path) -> None:
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="PROMPT_TUNING.* adds to the prompt"):
        load(tiny_llama, dtype="float32", device="cpu", options=LoadingOptions(adapter=str(adapter)))
