"""The memory that a tokenizer.json can take, bounded before the tokenizers library reads it.

A normalizer may replace each character by many, and one after the other: ten of these turn a character into 10^10.
Neither a hostile nor a broken file is worth that, and no tokenizer that is known grows a text eightfold.
"""

import base64
import binascii
import struct
from pathlib import Path
from typing import Any

from kick.checkpoints.untrusted import check_file, read_json, section
from kick.errors import InputError
from kick.files import read_text

# How many times longer a text may become, over all steps together.
_MOST_GROWTH = 64
# Tokens that a template may add to a text, and that padding may fill it up to.
_MOST_ADDED = 1_000
_LONGEST_PADDING = 2**20
# Bytes that a SentencePiece character map may turn one character into; Unicode's longest is 33.
_LONGEST_MAPPED = 64
_FILE = "tokenizer.json"
_WAY_OUT = "Copy the tokenizer files of the original model into the folder."


def check_tokenizer_files(folder: Path) -> None:
    """Refuse a folder whose tokenizer turns short texts into huge ones.

    Raises:
        InputError: as said, or a JSON file of the tokenizer is damaged.
    """
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            read_json(folder / name, _WAY_OUT)
    path = folder / _FILE
    if not path.exists():
        return
    tokenizer = read_json(path, _WAY_OUT)
    growth = _growth(tokenizer.get("normalizer")) * _growth(tokenizer.get("pre_tokenizer"))
    if growth > _MOST_GROWTH:
        raise InputError(
            f"{path}: its normalizer makes a text up to {growth:.3g} times longer; at most {_MOST_GROWTH} times is "
            f"accepted. {_WAY_OUT}"
        )
    added = _added(tokenizer.get("post_processor"))
    if added > _MOST_ADDED:
        raise InputError(
            f"{path}: its template adds {added:,} tokens to a text; at most {_MOST_ADDED:,} are accepted. {_WAY_OUT}"
        )
    padding = section(tokenizer, "padding")
    lengths = [section(padding, "strategy").get("Fixed"), padding.get("pad_to_multiple_of")]
    if any(isinstance(length, int) and length > _LONGEST_PADDING for length in lengths):
        raise InputError(
            f"{path}: it pads texts to more than {_LONGEST_PADDING:,} tokens, the most that is accepted. {_WAY_OUT}"
        )


def read_chat_template(folder: Path) -> str | None:
    """Return the chat template of a tokenizer's folder, without its tokenizer; None: it has none.

    It is in a file of its own, or in the tokenizer's config. Of several the one named "default" counts.

    Raises:
        InputError: a file is damaged.
    """
    path = folder / "chat_template.jinja"
    if path.exists():
        check_file(path)
        return read_text(path)
    for name in ("tokenizer_config.json", "chat_template.json"):
        if (folder / name).exists():
            template = read_json(folder / name, _WAY_OUT).get("chat_template")
            if isinstance(template, list):
                named = [entry for entry in template if isinstance(entry, dict)]
                template = next(
                    (entry.get("template") for entry in named if entry.get("name") == "default"), None
                )
            if isinstance(template, str):
                return template
    return None


def _growth(step: Any) -> float:
    """Return how many times longer a normalizer or pre-tokenizer can make a text, its parts included."""
    if not isinstance(step, dict):
        return 1.0
    growth = 1.0
    for key in ("normalizers", "pretokenizers"):
        parts = step.get(key)
        for part in parts if isinstance(parts, list) else ():
            growth *= _growth(part)
    content = step.get("content")
    if step.get("type") == "Replace" and isinstance(content, str):
        pattern = section(step, "pattern").get("String")
        # A regular expression can match between any two characters.
        growth *= (
            max(1.0, len(content) / len(pattern))
            if isinstance(pattern, str) and pattern
            else 1 + len(content)
        )
    added = step.get("prepend")
    if isinstance(added, str):
        growth *= 1 + len(added)
    if "precompiled_charsmap" in step:
        growth *= max(1.0, _longest_mapped(step["precompiled_charsmap"]) / _LONGEST_MAPPED)
    return growth


def _longest_mapped(encoded: Any) -> int:
    """Return the bytes of the longest replacement in a SentencePiece character map, 0 if it cannot be read.

    It is the length of a trie in 4 bytes, the trie, and the replacements, each with a zero byte at its end:
    https://github.com/google/sentencepiece/blob/master/src/normalizer.cc
    """
    try:
        data = base64.b64decode(encoded)
        (trie,) = struct.unpack_from("<I", data)
    except (TypeError, ValueError, binascii.Error, struct.error):
        return 0
    return max(map(len, data[4 + trie :].split(b"\0")))


def _added(step: Any) -> int:
    """Return how many tokens a post-processor can add to a text, its parts included."""
    if not isinstance(step, dict):
        return 0
    parts = step.get("processors")
    added = sum(_added(part) for part in parts) if isinstance(parts, list) else 0
    tokens = {
        name: len(token["ids"])
        for name, token in section(step, "special_tokens").items()
        if isinstance(token, dict) and isinstance(token.get("ids"), list)
    }
    for template in (step.get("single"), step.get("pair")):
        for piece in template if isinstance(template, list) else ():
            name = section(piece, "SpecialToken").get("id") if isinstance(piece, dict) else None
            added += tokens.get(name, 0) if isinstance(name, str) else 0
    return added
