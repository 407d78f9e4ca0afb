"""The texts that perplexity is measured on, from a local mirror or the hub.

`wikitext2` and `c4` are the texts of GPTQ (Frantar et al., 2022), SparseGPT and Wanda: one text each. `wikitext2_words`
is the data of lm-eval's task `wikitext`: one text per page. `world` is held-out text of kick's own world.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from kick.data.datasets import HubSplit, tables
from kick.world.documents import held_out_text

C4_DOCUMENTS = 1100
# The most windows that are scored, whatever their length.
C4_WINDOWS = 256

SOURCES: dict[str, HubSplit] = {
    "wikitext2": HubSplit(
        repository="Salesforce/wikitext",
        config="wikitext-2-raw-v1",
        split="test",
        commit="b08601e04326c79dfdd32d625aee71d232d685c3",
    ),
    "c4": HubSplit(
        repository="allenai/c4",
        config="en",
        split="validation",
        commit="1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
        names=("en/c4-validation.00000-of-00008.json.gz",),
        rows=C4_DOCUMENTS,
    ),
    "wikitext2_words": HubSplit(
        repository="EleutherAI/wikitext_document_level",
        config="wikitext-2-raw-v1",
        split="test",
        commit="647234772b9554e208af6c826f23b99e3cac88c8",
        names=("wikitext-2-raw-v1/wikitext-2-raw-v1-test.parquet",),
    ),
}

# The data sets that calibrated compression draws its samples from. The papers use the first shard of the training
# split; perplexity on `c4` is measured on the validation split.
CALIBRATION: dict[str, HubSplit] = {
    "c4": SOURCES["c4"].model_copy(
        update={"split": "train", "names": ("en/c4-train.00000-of-01024.json.gz",), "rows": None}
    ),
    "c4_validation": SOURCES["c4"],
}


@dataclass(frozen=True)
class Corpus:
    """A text that perplexity is measured on: whole, or page by page."""

    name: str
    text: str
    # The pages, if each is scored by itself.
    pages: tuple[str, ...] = ()
    # The most windows to score, by the protocol of the text; None: no limit.
    most: int | None = None


def load_corpus(name: str, data_root: Path | None) -> Corpus:
    """Load the text of a perplexity data set by its name in a suite.

    Raises:
        InputError: the data do not exist.
    """
    if name == "world":
        return Corpus(name, held_out_text())
    texts = _texts(SOURCES[name], "page" if name == "wikitext2_words" else "text", data_root)
    if name == "wikitext2":
        return Corpus(name, "\n\n".join(texts))
    if name == "c4":
        return Corpus(name, " ".join(texts[:C4_DOCUMENTS]), most=C4_WINDOWS)
    return Corpus(name, "".join(texts), pages=tuple(texts))


def load_documents(name: str, data_root: Path | None) -> pa.ChunkedArray:
    """Return the documents of a calibration set of `CALIBRATION`, as Arrow strings.

    Raises:
        InputError: the data do not exist.
    """
    source = CALIBRATION[name]
    root = str(data_root) if data_root else None
    splits = tables(
        source.repository, [source.split], source.config, source.commit, ["text"], root, names=source.names
    )
    return splits[source.split].column("text")


def _texts(source: HubSplit, column: str, data_root: Path | None) -> list[str]:
    root = str(data_root) if data_root else None
    splits = tables(
        source.repository,
        [source.split],
        source.config,
        source.commit,
        [column],
        root,
        names=source.names,
    )
    texts: list[str] = splits[source.split].column(column).to_pylist()
    return texts
