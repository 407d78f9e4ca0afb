"""Checkpoints as the libraries of quantizers store them: one small random Llama, packed in every format that loads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    TorchAoConfig,
)

from tests.tiny import VOCABULARY, tokenizer

# Names of llm-compressor's schemes, and the format of compressed-tensors that each is stored in.
SCHEMES = {
    "W4A16": "pack-quantized",
    "W4A16_ASYM": "pack-quantized",
    "W3A16": "pack-quantized",
    "W8A16": "pack-quantized",
    "INT8": "int-quantized",
    "FP8_DYNAMIC": "float-quantized",
    "FP8_BLOCK": "float-quantized",
    "NVFP4A16": "nvfp4-pack-quantized",
    "NVFP4": "nvfp4-pack-quantized",
    "MXFP4": "mxfp4-pack-quantized",
}


def save_dense(folder: Path) -> Path:
    """A random two-layer Llama in bfloat16, whose rows are whole groups of 128."""
    torch.manual_seed(0)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        dtype="bfloat16",
        initializer_range=0.2,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_by_llmcompressor(dense: Path, folder: Path, scheme: str) -> Path:
    """As llm-compressor packs the Linears of a model by one of its schemes."""
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier

    rows = {"input_ids": [list(range(3, 67))], "attention_mask": [[1] * 64]}
    # Schemes that quantize activations statically look at data.
    data = {"dataset": Dataset.from_dict(rows), "num_calibration_samples": 1} if scheme == "NVFP4" else {}
    recipe = QuantizationModifier(targets="Linear", scheme=scheme, ignore=["lm_head"])
    oneshot(model=str(dense), recipe=recipe, output_dir=str(folder), log_dir=None, **data)
    return folder


def save_by_transformers(dense: Path, folder: Path, config: Any) -> Path:
    """As transformers saves a model that a quantizer of its own quantized on loading."""
    model = AutoModelForCausalLM.from_pretrained(dense, quantization_config=config)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def bitsandbytes_configs() -> dict[str, BitsAndBytesConfig]:
    return {
        "bnb-int8": BitsAndBytesConfig(load_in_8bit=True),
        "bnb-nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
        "bnb-nf4-double": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        ),
    }


def torchao_configs() -> dict[str, TorchAoConfig]:
    from torchao.quantization import Int8WeightOnlyConfig, IntxWeightOnlyConfig

    return {
        "torchao-int8": TorchAoConfig(Int8WeightOnlyConfig()),
        "torchao-int4": TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4)),
    }


def writers() -> dict[str, Callable[[Path, Path], Path]]:
    """Every format by name, with what writes it; those of libraries that are not installed are left out."""
    from importlib.util import find_spec

    known: dict[str, Callable[[Path, Path], Path]] = {}
    if find_spec("llmcompressor"):
        for scheme in SCHEMES:
            known[scheme] = lambda dense, out, scheme=scheme: save_by_llmcompressor(dense, out, scheme)
    for package, configs in (("bitsandbytes", bitsandbytes_configs), ("torchao", torchao_configs)):
        if find_spec(package):
            for name, config in configs().items():
                known[name] = lambda dense, out, config=config: save_by_transformers(dense, out, config)
    return known
