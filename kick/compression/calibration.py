"""The calibration set: windows of documents by the protocol of GPTQ, SparseGPT and Wanda, drawn by a seed.

A document is drawn at random until one is longer than a sample, and a window of it is drawn at random (the papers'
`get_c4`). The same text, count, length and seed give the same tokens for every method.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from kick.errors import InputError, nearest
from kick.files import digest
from kick.types import Calibration

SUFFIXES = (".jsonl", ".txt")


@dataclass(frozen=True)
class Samples:
    """The tokens that a calibrated method sees."""

    # [samples][length]
    tokens: tuple[tuple[int, ...], ...]
    # The hash of the tokens: part of the key of what is made with them.
    sha256: str


def read_samples(calibration: Calibration, model: Path, data_root: Path | None) -> Samples:
    """Draw the samples of a calibration set with the tokenizer of a model folder.

    Args:
        calibration: which text, how many samples of how many tokens, and the seed.
        model: a checkpoint folder.
        data_root: a local mirror of the data sets (None: $KICK_DATA_ROOT, or the hub).

    Raises:
        InputError: there is no such data set or file, or it has no document that is longer than a sample.
    """
    from kick.checkpoints import read_tokenizer

    texts = _documents(calibration.data, data_root)
    tokenizer = read_tokenizer(model)
    tokenised: dict[int, tuple[int, ...]] = {}
    draw = random.Random(calibration.seed)
    samples: list[tuple[int, ...]] = []
    while len(samples) < calibration.samples:
        document = draw.randrange(len(texts))
        if document not in tokenised:
            text = texts[document].as_py()
            tokenised[document] = tuple(tokenizer(text, verbose=False)["input_ids"])
        tokens = tokenised[document]
        if len(tokens) > calibration.length:
            start = draw.randrange(len(tokens) - calibration.length)
            samples.append(tokens[start : start + calibration.length])
        elif not samples and len(tokenised) == len(texts):
            longest = max(len(tokens) for tokens in tokenised.values())
            raise InputError(
                f"calibration: no document of '{calibration.data}' is longer than {calibration.length} tokens "
                f"(the longest has {longest}). Give a smaller `length`, or other data."
            )
    return Samples(tuple(samples), digest(samples, length=64))


def _documents(data: str, data_root: Path | None) -> pa.ChunkedArray:
    from kick.data.corpora import CALIBRATION, load_documents

    if data in CALIBRATION:
        return load_documents(data, data_root)
    path = Path(data).expanduser()
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"calibration: '{data}' is neither a data set nor a file that ends in {' or '.join(SUFFIXES)}. "
            f"{nearest(data, list(CALIBRATION))}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        texts = [text] if path.suffix == ".txt" else [json.loads(line)["text"] for line in text.splitlines()]
    except OSError as error:
        raise InputError(f"calibration: {path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"calibration: {path} is not made of lines of JSON with a `text` each. Write it so, or give a .txt file."
        ) from None
    if not all(isinstance(text, str) for text in texts) or not any(texts):
        raise InputError(f"calibration: {path} holds no text. Give a file that does.")
    return pa.chunked_array([texts])
