"""Small real models for tests: random weights, real architectures, a real tokenizer, saved as Hugging Face folders."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    OPTConfig,
    PhiConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

VOCABULARY = 384
CONTEXT = 4096

CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
    ),
    "gemma3": Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=16,
        max_position_embeddings=CONTEXT,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT),
    "opt": OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        word_embed_proj_dim=32,
    ),
}

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
MORE_CONFIGS: dict[str, PretrainedConfig] = {  # that scoring has to be right for, too
    "qwen3": Qwen3Config(**_SMALL, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True),
    "phi": PhiConfig(**_SMALL),
    "mixtral": MixtralConfig(**_SMALL, num_key_value_heads=2, num_local_experts=4, sliding_window=16),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2),
}


def tokenizer(
    texts: Sequence[str] = ("the answer to the question is in the text",),
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `VOCABULARY` tokens that puts a BOS before every text, as Llama's does.

    Other texts to train on make another tokenizer.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*texts] * 50, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bpe.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=CONTEXT
    )


def save_model(folder: Path, architecture: str = "llama", seed: int = 0, scale: float = 1.0) -> Path:
    """Save a random float32 model of `CONFIGS` or `MORE_CONFIGS` with the tokenizer; the same seed, the same weights.

    `scale` multiplies the initialiser's standard deviation: above 1 the model's answers differ more between inputs.
    """
    torch.manual_seed(seed)
    pattern = {**CONFIGS, **MORE_CONFIGS}[architecture]
    config = pattern.__class__(**pattern.to_dict())
    tok = tokenizer()
    config.bos_token_id, config.eos_token_id, config.pad_token_id = (
        tok.bos_token_id,
        tok.eos_token_id,
        tok.pad_token_id,
    )
    if hasattr(config, "initializer_range"):
        config.initializer_range *= scale
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder
