"""Write small GGUF files, as llama.cpp's converter lays a Llama out."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer, LlamaConfig

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(
    llama: Path, file: Path, *, rope_freqs: bool = False, packing: str = "Q8_0", runs: bool = False
) -> Path:
    """The Llama of a folder with its matrices packed and its vocabulary; llama.cpp itself needs `runs`.

    That adds the merges, and a token of no use for every row of the embeddings that has none.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, quantize

    config = LlamaConfig.from_pretrained(llama)
    tokenizer = AutoTokenizer.from_pretrained(llama)
    writer = GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_tokenizer_model("gpt2")
    unused = config.vocab_size - len(tokenizer) if runs else 0
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_token_list([*tokens, *(f"<unused{index}>" for index in range(unused))])
    # <s>, </s> and <pad> are control tokens.
    writer.add_token_types([3, 3, 3] + [1] * (len(tokenizer) - 3) + [5] * unused)
    if runs:
        merges = json.loads((llama / "tokenizer.json").read_text())["model"]["merges"]
        writer.add_token_merges([" ".join(pair) for pair in merges])
    for name, values in load_file(llama / "model.safetensors").items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
        for kind, count in heads.items():
            if name.endswith(f"{kind}_proj.weight"):
                values = permuted(values, count)
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
        else:
            kind = GGMLQuantizationType[packing]
            writer.add_tensor(gguf_name(name), quantize(values, kind), raw_dtype=kind)
    if rope_freqs:
        writer.add_tensor("rope_freqs.weight", np.ones(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rotary halves interleaved, as llama.cpp wants Llama's queries and keys."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def gguf_name(name: str) -> str:
    outside = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in outside:
        return outside[name]
    _, _, layer, module = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{NAMES[module]}.weight"
