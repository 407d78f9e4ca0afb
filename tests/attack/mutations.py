"""Damage files at random, the same for the same seed: bytes, and values of JSON documents."""

import json
import random
import struct
from typing import Any

# Values of the wrong type, sign, size or depth.
EVIL: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    3,
    10**6,
    2**31,
    2**63,
    10**30,
    1e308,
    -0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "1",
    "a" * 10_000,
    "\ud800",
    "\x00",
    "../../../etc/passwd",
    "__import__('os').system('false')",
    "os",
    [],
    {},
    [None],
    [0] * 1_000,
    ["x", 1, {}],
    {"": {"": {"": []}}},
    {"a": 10**12},
)
DEEP = ("[" * 200 + "]" * 200, "[" * 100_000 + "]" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000)
# What a config may also say.
CONFIG_KEYS = (
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "output_attentions",
    "quantization_config",
    "compression_config",
    "text_config",
    "auto_map",
    "rope_parameters",
    "rope_scaling",
    "layer_types",
    "per_layer_config",
    "num_labels",
    "id2label",
    "pruned_heads",
    "sliding_window",
    "dtype",
    "torch_dtype",
    "is_encoder_decoder",
    "num_attention_heads_per_layer",
    "tie_word_embeddings",
    "transformers_version",
)


def is_torn_journal(before: bytes, after: bytes) -> bool:
    """Return whether a journal holds whole lines of before, and a last one without its end: what a kill leaves.

    By rule this is no damage. The torn line is scored again, and nothing is said.
    """
    return before.startswith(after[: after.rfind(b"\n") + 1])


def damage_bytes(data: bytes, draw: random.Random, first: int | None = None) -> bytes:
    """Flip, cut, repeat or overwrite bytes, within the first `first` of them."""
    end = min(first or len(data), len(data))
    at = draw.randrange(end)
    kind = draw.choice(("flip", "flip", "cut", "insert", "number", "zero"))
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + draw.randbytes(draw.randint(1, 40)) + data[at:]
    if kind == "number":
        value = struct.pack("<Q", draw.choice((0, 1, 2**20, 2**31, 2**40, 2**62, 2**63 - 1, 2**64 - 1)))
        return data[:at] + value + data[at + 8 :]
    if kind == "zero":
        return data[:at] + bytes(draw.randint(1, 64)) + data[at + 64 :]
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(end)] = draw.randrange(256)
    return bytes(changed)


def damage_json(text: str, draw: random.Random, keys: tuple[str, ...] = ()) -> bytes:
    """Replace, remove or add values of a JSON document, or its bytes."""
    kind = draw.choice(("value", "value", "value", "value", "remove", "add", "add", "bytes", "deep", "whole"))
    if kind == "bytes":
        return damage_bytes(text.encode(), draw)
    if kind == "deep":
        deep = draw.choice(DEEP)
        return (text.rstrip()[:-1] + f', "deep": {deep}}}').encode() if draw.random() < 0.5 else deep.encode()
    if kind == "whole":
        return json.dumps(draw.choice(EVIL)).encode(errors="replace")
    data = json.loads(text)
    for _ in range(draw.choice((1, 1, 1, 3))):
        place: Any = data
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = draw.choice(names)
            below = place[name]
            if isinstance(below, dict | list) and below and draw.random() < 0.7:
                place = below
                continue
            if kind == "remove":
                del place[name]
            elif kind == "add" and isinstance(place, dict):
                place[draw.choice(keys or ("extra",))] = draw.choice(EVIL)
            else:
                place[name] = draw.choice(EVIL)
            break
    return json.dumps(data).encode(errors="replace")
