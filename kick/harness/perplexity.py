"""Perplexity by the protocol of GPTQ, SparseGPT and Wanda: one tokenizer call, non-overlapping windows.

The text is joined, encoded once (one BOS at most), cut into `n // window` windows and the tail dropped. A window's
loss is the mean cross-entropy of its `window - 1` shifted tokens; perplexity is exp of the mean over windows.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from kick.checkpoints import Loaded
from kick.errors import InputError
from kick.harness import datasets
from kick.store import Journal
from kick.types import PlanInfo, TaskInfo
from kick.world.documents import held_out_text

CHUNK = 128  # positions whose logits are held at a time
_LINEAR_HEADS: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()


@dataclass(frozen=True)
class Corpus:
    """A text that perplexity is measured on."""

    name: str
    text: str


@dataclass(frozen=True)
class PerplexityPlan:
    """The windows of a corpus for one tokenizer."""

    info: PlanInfo
    task: TaskInfo
    windows: tuple[tuple[int, ...], ...]
    bytes_per_token: float  # of the whole text, UTF-8: bits per byte = nll / ln 2 / bytes_per_token


def load_corpus(name: str, data_root: Path | None) -> Corpus:
    """Load the text of a perplexity data set: `wikitext2` (raw, test), or `world`, held-out text of kick's own world.

    Raises:
        InputError: the data are not there.
    """
    if name == "world":
        return Corpus(name, held_out_text())
    splits = datasets.load(
        path="Salesforce/wikitext",
        name="wikitext-2-raw-v1",
        commit="b08601e04326c79dfdd32d625aee71d232d685c3",
        splits=["test"],
        data_root=str(data_root) if data_root else None,
    )
    return Corpus(name, "\n\n".join(splits["test"]["text"]))


def make_perplexity_plan(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    windows: int | None,
    fits: int | None,
    seed: int,
) -> PerplexityPlan:
    """Cut a corpus into windows of `window` tokens and keep the first `windows`.

    Raises:
        InputError: the text is shorter than one window, or the model's window (`fits`) is.
    """
    if fits is not None and window > fits:
        raise InputError(
            f"perplexity.window: {window} tokens do not fit the model's window of {fits}. Give a smaller one."
        )
    tokens = tokenizer(corpus.text, verbose=False)["input_ids"]
    whole = len(tokens) // window
    if whole == 0:
        raise InputError(
            f"perplexity.window: {corpus.name} has {len(tokens)} tokens, fewer than one window of {window}."
        )
    count = whole if windows is None else min(windows, whole)
    cut = tuple(tuple(tokens[start * window : (start + 1) * window]) for start in range(count))
    settings = f"{corpus.name} window={window} windows={count}"
    info = PlanInfo(
        hash=_digest(settings, repr(cut)),
        task_config=_digest(settings),
        documents=_digest(corpus.text),
        shots=0,
        limit=windows,
        seed=seed,
        items=count,
    )
    task = TaskInfo(
        name=f"perplexity_{corpus.name}",
        family="perplexity",
        metric="nll",
        metrics=("nll",),
        higher_is_better=False,
        version="1",
    )
    return PerplexityPlan(info, task, cut, len(corpus.text.encode()) / len(tokens))


def score_windows(
    loaded: Loaded, plan: PerplexityPlan, journal: Journal, progress: Callable[[int], None]
) -> pd.DataFrame:
    """The loss of every window: one row each, with `nll` (nats a token, float32 sums), `tokens` and `bytes_per_token`.

    A loss that is not finite is kept as it is: it is what the model says.
    """
    answered = journal.read()
    progress(len(answered))
    for index, tokens in enumerate(plan.windows):
        if index not in answered:
            answered[index] = window_nll(loaded, tokens)
            journal.append([index], [answered[index]])
            progress(1)
    rows = []
    for index, tokens in enumerate(plan.windows):
        digest = _digest(repr(tokens))
        rows.append(
            {
                "doc_id": index,
                "doc_hash": digest,
                "prompt_hash": digest,
                "target_hash": digest,
                "group": str(index),
                "prompt": "",
                "target": "",
                "response": "",
                "choice_logprobs": [],
                "nll": float(answered[index]),
                "tokens": len(tokens) - 1,
                "bytes_per_token": plan.bytes_per_token,
            }
        )
    return pd.DataFrame(rows)


@torch.inference_mode()
def window_nll(loaded: Loaded, tokens: Sequence[int]) -> float:
    """Mean negative log-likelihood (nats, float32) of tokens[1:] given those before them."""
    ids = torch.tensor(tokens, device=loaded.device)
    targets = torch.split(ids[1:], CHUNK)
    losses = [
        torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum")
        for logits, target in zip(_logits_in_chunks(loaded, ids), targets, strict=True)
    ]
    return float(torch.stack(losses).sum() / (len(tokens) - 1))


def _logits_in_chunks(loaded: Loaded, ids: torch.Tensor) -> Iterator[torch.Tensor]:
    """Logits of all positions but the last, `CHUNK` at a time: those of a whole window may take gigabytes."""
    if _head_is_linear(loaded):
        head = loaded.model.get_output_embeddings()
        hidden = loaded.model.base_model(ids[None], use_cache=False).last_hidden_state[0, :-1]
        return (head(part) for part in torch.split(hidden, CHUNK))
    return iter(torch.split(loaded.model(ids[None], use_cache=False).logits[0, :-1], CHUNK))


def _head_is_linear(loaded: Loaded) -> bool:
    """Whether the output embedding alone turns final hidden states into logits: no soft-capping, no scaling."""
    if loaded.model not in _LINEAR_HEADS:
        model, head = loaded.model, loaded.model.get_output_embeddings()
        probe = torch.arange(8, device=loaded.device)[None]
        _LINEAR_HEADS[model] = head is not None and torch.allclose(
            head(model.base_model(probe, use_cache=False).last_hidden_state),
            model(probe, use_cache=False).logits,
        )
    return _LINEAR_HEADS[loaded.model]


def perplexity_scores(items: pd.DataFrame) -> dict[str, float]:
    """Mean loss, perplexity (infinite where it overflows) and bits per byte over the windows."""
    nll = float(items["nll"].mean())
    return {
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else (nll if math.isnan(nll) else math.inf),
        "bits_per_byte": nll / math.log(2) / float(items["bytes_per_token"].iloc[0]),
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
