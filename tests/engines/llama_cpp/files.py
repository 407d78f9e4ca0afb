"""A tiny Llama with heads wide enough for a quantized KV cache, as a folder and as GGUF files that llama.cpp runs."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from tests.checkpoints.gguf_files import write_gguf
from tests.tiny import VOCABULARY, tokenizer

TEXT = "the answer to the question is in the text, and the text is long"


def save_llama(folder: Path, seed: int = 0) -> Path:
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        initializer_range=0.2,
        tie_word_embeddings=False,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_gguf(folder: Path, packing: str = "F32") -> Path:
    """The model of a folder as `<folder>/gguf/<packing>.gguf`."""
    file = folder / "gguf" / f"{packing}.gguf"
    file.parent.mkdir(exist_ok=True)
    return write_gguf(folder, file, packing=packing, runs=True)
