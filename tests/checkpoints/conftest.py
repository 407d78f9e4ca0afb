"""Checkpoints that tests of several modules read."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def w4a16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer Llama of 256 x 512 that llm-compressor rounded to 4 bits in groups of 128 and packed."""
    llmcompressor = pytest.importorskip("llmcompressor")
    import torch
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny import tokenizer

    folder = tmp_path_factory.mktemp("w4a16")
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        dtype="bfloat16",
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "dense")
    tokenizer().save_pretrained(folder / "dense")
    recipe = QuantizationModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"])
    llmcompressor.oneshot(
        model=str(folder / "dense"), recipe=recipe, output_dir=str(folder / "packed"), log_dir=None
    )
    return folder / "packed"
