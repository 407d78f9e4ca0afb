"""Checks of a model that was loaded: it is what the folder stores, it fits the tokenizer, and it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kick.checkpoints.untrusted import refusing
from kick.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SPECIAL = ("bos", "eos", "pad", "unk")


def run_once(folder: Path, model: "PreTrainedModel") -> None:
    """Refuse a model whose first forward fails; packed weights are unpacked in it."""
    import torch

    with refusing(f"{folder} is loaded, but its first forward fails"), torch.no_grad():
        model(input_ids=torch.arange(4, device=model.device)[None])


def check_keys(folder: Path, info: dict[str, Any]) -> None:
    """Refuse a model that is not exactly what the folder stores; `info` is transformers' loading info."""
    mismatched = [f"{name} {list(stored)} for {list(own)}" for name, stored, own in info["mismatched_keys"]]
    for problem, names in (
        ("of another shape than config.json makes the model", mismatched),
        ("missing, and would be random", info["missing_keys"]),
        ("unknown to the model, and would be ignored", info["unexpected_keys"]),
        ("not loaded", info["error_msgs"]),
    ):
        if names:
            listed = sorted(str(name) for name in names)
            excerpt = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
            raise InputError(
                f"{folder}: tensors are {problem}: {excerpt}. Restore the config.json that belongs to the "
                "weights, or export the checkpoint again."
            )


def check_tying(folder: Path, model: "PreTrainedModel") -> None:
    """Refuse a separate head if the config ties it: one loader would use it, the next would not."""
    head = model.get_output_embeddings()
    tied = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    if tied and head is not None and head.weight is not model.get_input_embeddings().weight:
        raise InputError(
            f"{folder}: config.json ties the head to the embeddings, but a head with other values is stored. "
            "Set tie_word_embeddings to false if the head is meant, or remove it from the weights."
        )


def check_vocabulary(folder: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse a model without an embedding row for each token that a text or padding can produce.

    Added special tokens beyond the rows are accepted unless they are BOS, EOS, PAD or UNK: Gemma 3's text
    models ship with an image token that has no row.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    specials = {getattr(tokenizer, f"{name}_token") for name in _SPECIAL}
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special} - specials
    outside = {
        token: index for token, index in tokenizer.get_vocab().items() if index >= rows and token not in added
    }
    if outside:
        token, index = max(outside.items(), key=lambda item: item[1])
        raise InputError(
            f"{folder}: the tokenizer has more tokens ({index + 1}, the last is {token!r}) than the model "
            f"has embedding rows ({rows}). Use the tokenizer of the model, or resize its embeddings."
        )
