"""Perplexity by the protocol of GPTQ, SparseGPT and Wanda: one tokenizer call, non-overlapping windows.

The text is joined, encoded once (one BOS at most), cut into `n // window` windows and the tail dropped. A window's
loss is the mean cross-entropy of its `window - 1` shifted tokens; perplexity is exp of the mean over windows.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from kick.checkpoints import Loaded
from kick.errors import InputError
from kick.harness.corpora import Corpus
from kick.store import Journal
from kick.types import PlanInfo, TaskInfo

CHUNK = 128  # positions whose logits are held at a time
_LINEAR_HEADS: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()


@dataclass(frozen=True)
class PerplexityPlan:
    """The windows of a corpus for one tokenizer."""

    info: PlanInfo
    task: TaskInfo
    windows: tuple[tuple[int, ...], ...]
    bytes_per_token: float  # of the whole text, UTF-8: bits per byte = nll / ln 2 / bytes_per_token


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
    count = min(whole, windows or whole, corpus.most or whole)
    cut = tuple(tuple(tokens[start * window : (start + 1) * window]) for start in range(count))
    settings = f"{corpus.name} window={window} windows={count}"
    info = PlanInfo(
        hash=digest(settings, repr(cut)),
        task_config=digest(settings),
        documents=digest(corpus.text),
        shots=0,
        limit=windows,
        seed=seed,
        items=count,
    )
    return PerplexityPlan(info, text_task(corpus), cut, len(corpus.text.encode()) / len(tokens))


def text_task(corpus: Corpus) -> TaskInfo:
    """What a reader of the scores of a text has to know."""
    return TaskInfo(
        name=f"perplexity_{corpus.name}",
        family="perplexity",
        metric="nll",
        metrics=("nll",),
        higher_is_better=False,
        version="1",
    )


def score_windows(
    loaded: Loaded, plan: PerplexityPlan, journal: Journal, progress: Callable[[int], None]
) -> pd.DataFrame:
    """The loss of every window: one row each, with `nll` (nats a token, float32 sums), `tokens` and `bytes_per_token`.

    A loss that is not finite is kept as it is: it is what the model says.
    """
    losses = journaled_losses(plan, journal, progress, lambda tokens: window_nll(loaded, tokens))
    return text_items(plan, losses, [len(tokens) - 1 for tokens in plan.windows])


def journaled_losses(
    plan: PerplexityPlan,
    journal: Journal,
    progress: Callable[[int], None],
    loss: Callable[[tuple[int, ...]], float],
) -> list[float]:
    """The loss of every window: those that the journal holds from there, the others computed and kept in it."""
    answered = journal.read()
    progress(sum(index in answered for index in range(len(plan.windows))))
    for index, tokens in enumerate(plan.windows):
        if index not in answered:
            answered[index] = loss(tokens)
            journal.append([index], [answered[index]])
            progress(1)
    return [float(answered[index]) for index in range(len(plan.windows))]


def text_items(plan: PerplexityPlan, nll: Sequence[float], counted: Sequence[int]) -> pd.DataFrame:
    """The windows as items: the mean loss of each (`nll`) and what it is the mean of (`counted`: tokens or words)."""
    rows = []
    for index, tokens in enumerate(plan.windows):
        hashed = digest(repr(tokens))
        rows.append(
            {
                "doc_id": index,
                "doc_hash": hashed,
                "prompt_hash": hashed,
                "target_hash": hashed,
                "group": str(index),
                "prompt": "",
                "target": "",
                "response": "",
                "choice_logprobs": [],
                "nll": nll[index],
                "tokens": counted[index],
                "bytes_per_token": plan.bytes_per_token,
            }
        )
    return pd.DataFrame(rows)


@torch.inference_mode()
def window_nll(loaded: Loaded, tokens: Sequence[int], scored: int | None = None) -> float:
    """Mean negative log-likelihood (nats, float32) of the last `scored` tokens given those before them.

    All but the first are scored where their number is left out.
    """
    ids = torch.tensor(tokens, device=loaded.device)
    counted = len(tokens) - 1 if scored is None else scored
    unscored = len(tokens) - 1 - counted
    losses = []
    for position, (logits, target) in enumerate(
        zip(_logits_in_chunks(loaded, ids), torch.split(ids[1:], CHUNK), strict=True)
    ):
        skip = max(0, unscored - position * CHUNK)
        if skip < len(target):
            losses.append(
                torch.nn.functional.cross_entropy(logits[skip:].float(), target[skip:], reduction="sum")
            )
    return float(torch.stack(losses).sum() / counted)


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
    """Mean loss, perplexity (infinite where it overflows) and bits per byte over the windows, weighted by `tokens`."""
    nll = float(np.average(items["nll"], weights=items["tokens"]))
    return {
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else (nll if math.isnan(nll) else math.inf),
        "bits_per_byte": nll / math.log(2) / float(items["bytes_per_token"].iloc[0]),
    }


def digest(*parts: str) -> str:
    """16 hex digits of a SHA-256 over the parts."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]
