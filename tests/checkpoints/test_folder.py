from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPTNeoXConfig,
    MixtralConfig,
    PretrainedConfig,
    Qwen2MoeConfig,
    Qwen3Config,
)
from transformers.pytorch_utils import Conv1D

from kick.checkpoints.folder import (
    StoredTensor,
    config_json,
    decoder_linears,
    stored_tensors,
    stores_transposed,
)
from tests.tiny import CONFIGS, save_model

SMALL = {"vocab_size": 384, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}

MORE_CONFIGS: dict[str, PretrainedConfig] = {
    "qwen3": Qwen3Config(**SMALL, **HEADS, head_dim=8),
    "gpt_neox": GPTNeoXConfig(**SMALL, num_attention_heads=4),
}


def stored(name: str, shape: tuple[int, ...]) -> StoredTensor:
    return StoredTensor(name, Path("model.safetensors"), "BF16", shape, 0, 0)


@pytest.mark.parametrize("architecture", [*CONFIGS, *MORE_CONFIGS])
def test_the_decoder_linears_are_the_linear_modules_of_the_blocks(architecture: str, tmp_path: Path) -> None:
    if architecture in MORE_CONFIGS:
        AutoModelForCausalLM.from_config(MORE_CONFIGS[architecture]).save_pretrained(tmp_path)
    else:
        save_model(tmp_path, architecture)
    found = {tensor.name: tensor for tensor in decoder_linears(stored_tensors(tmp_path))}
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    linears = {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not model.get_output_embeddings()
    }
    assert found.keys() == linears.keys()
    transposed = any(isinstance(module, Conv1D) for module in linears.values())
    assert stores_transposed(config_json(tmp_path)) == transposed


@pytest.mark.parametrize(
    ("config", "experts"),
    [
        (MixtralConfig(**SMALL, **HEADS, num_local_experts=4), 4),
        (
            Qwen2MoeConfig(
                **SMALL, **HEADS, num_experts=4, moe_intermediate_size=16, shared_expert_intermediate_size=16
            ),
            5,
        ),
    ],
    ids=["mixtral", "qwen2_moe"],
)
def test_experts_are_linears_and_routers_are_not(
    config: PretrainedConfig, experts: int, tmp_path: Path
) -> None:
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    names = [tensor.name for tensor in decoder_linears(stored_tensors(tmp_path))]
    assert len(names) == config.num_hidden_layers * (4 + 3 * experts)
    assert not any(name.endswith(("gate.weight", "router.weight")) for name in names)


def test_a_vision_tower_is_no_part_of_the_decoder() -> None:
    tower = [stored(f"vision_tower.encoder.layers.{layer}.fc1.weight", (8, 8)) for layer in range(12)]
    blocks = [
        stored(f"model.language_model.layers.{layer}.mlp.up_proj.weight", (64, 32)) for layer in range(2)
    ]
    assert decoder_linears([*tower, *blocks]) == blocks


def test_a_model_saved_without_its_head_has_its_linears_too() -> None:
    blocks = [stored(f"h.{layer}.attn.c_attn.weight", (8, 24)) for layer in range(2)]
    others = [
        stored("wte.weight", (384, 8)),
        stored("h.0.ln_1.weight", (8,)),
        stored("h.0.attn.bias", (1, 1, 9, 9)),
    ]
    assert decoder_linears([*others, *blocks]) == blocks


def test_experts_fused_into_one_tensor_are_linears_and_their_scales_are_not() -> None:
    fused = [stored("model.layers.0.mlp.experts.gate_up_proj_blocks", (4, 64, 2, 16))]
    others = [
        stored("model.layers.0.mlp.experts.gate_up_proj_scales", (4, 64, 2)),
        stored("model.layers.0.mlp.experts.gate_up_proj_bias", (4, 64)),
        stored("model.layers.0.mlp.router.weight", (4, 32)),
    ]
    assert decoder_linears([*fused, *others]) == fused


def test_offsets_are_where_the_values_lie(tiny_llama: Path) -> None:
    from safetensors.torch import load_file

    values = load_file(tiny_llama / "model.safetensors")
    tensors = stored_tensors(tiny_llama)
    assert {tensor.name for tensor in tensors} == set(values)
    for tensor in tensors:
        raw = tensor.shard.read_bytes()[tensor.begin : tensor.end]
        assert torch.equal(
            torch.frombuffer(bytearray(raw), dtype=torch.float32), values[tensor.name].flatten()
        )
