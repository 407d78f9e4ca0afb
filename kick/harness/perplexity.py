"""The work of a text: perplexity by the protocol of GPTQ, SparseGPT and Wanda, over non-overlapping windows.

The text is joined, encoded once (one BOS at most), cut into `n // window` windows and the tail dropped. A window's
loss is the mean cross-entropy of its `window - 1` shifted tokens; perplexity is exp of the mean over windows. Each
window is run by a forward of its own tokens, whatever the tier.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from kick.data.corpora import Corpus
from kick.engines.base import Engine, LogLikelihood, Progress, Response, Score
from kick.engines.torch import batches
from kick.errors import InputError
from kick.files import digest
from kick.harness.work import RightAnswers
from kick.store import Journal
from kick.types import BatchSize, Floors, PlanInfo, Skipped, TaskInfo, Tier


@dataclass(frozen=True)
class WindowsWork:
    """The windows of a text for one tokenizer."""

    task: TaskInfo
    info: PlanInfo
    requests: tuple[Score, ...]
    """One request per window: all of its tokens after the first."""

    bytes_per_token: float
    """UTF-8 bytes of the whole text by its tokens: bits per byte = nll / ln 2 / bytes_per_token."""

    skipped: tuple[Skipped, ...] = ()
    available: int | None = None
    notes: tuple[str, ...] = ()
    floors: Floors | None = None
    undiverged: str | None = None

    @property
    def steps(self) -> int:
        """The number of windows."""
        return len(self.requests)

    def answer(self, engine: Engine, journal: Journal | None, progress: Progress | None) -> list[Response]:
        """Let an engine score all windows."""
        return engine.answer(self.requests, journal, progress, alone=True)

    def score(self, responses: Sequence[Response]) -> pd.DataFrame:
        """Return one row per window: `nll` in nats per token, `units` its predicted tokens, and `bytes_per_unit`.

        A loss that is not finite is kept as it is: it is what the model says.
        """
        counts = [len(request.continuation) for request in self.requests]
        losses = [loss / count for loss, count in zip(loss_of(responses), counts, strict=True)]
        hashes = [digest((*request.context, *request.continuation)) for request in self.requests]
        return text_items(hashes, losses, counts, self.bytes_per_token)

    def scores(self, items: pd.DataFrame) -> dict[str, float]:
        """Return mean loss, perplexity and bits per byte."""
        return perplexity_scores(items)

    def right_answers(self) -> RightAnswers:
        """Return the windows: the scores of their tokens are the responses, too."""
        return RightAnswers(self.requests, alone=True, are_all=True)

    def batched_alike(self, one: BatchSize, other: BatchSize, tier: Tier) -> bool:
        """Return whether two sizes cut the windows into the same batches."""
        return [*batches(self.requests, one, "plain")] == [*batches(self.requests, other, "plain")]


def plan_windows(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    windows: int | None,
    fits: int | None,
    seed: int,
) -> WindowsWork:
    """Cut a corpus into windows of `window` tokens and keep the first `windows`.

    Args:
        corpus: the text.
        tokenizer: the checkpoint's.
        window: the number of tokens of a window.
        windows: the number of windows (None: all).
        fits: the number of tokens that fit the model (None: any).
        seed: the suite's seed, which is noted with the plan.

    Raises:
        InputError: the text is shorter than one window, or the model's window is.
    """
    refuse_long(window, fits)
    tokens = tokenizer(corpus.text, verbose=False)["input_ids"]
    whole = len(tokens) // window
    if whole == 0:
        raise InputError(
            f"perplexity.window: {corpus.name} has {len(tokens)} tokens, fewer than one window of {window}."
        )
    count = min(whole, windows or whole, corpus.most or whole)
    cut = tuple(tuple(tokens[start * window : (start + 1) * window]) for start in range(count))
    settings = f"{corpus.name} window={window} windows={count} alone"
    info = PlanInfo(
        hash=digest(settings, cut),
        task_config=digest(settings),
        documents=digest(corpus.text),
        shots=0,
        limit=windows,
        seed=seed,
        items=count,
    )
    requests = tuple(Score(part[:1], part[1:]) for part in cut)
    return WindowsWork(text_task(corpus), info, requests, len(corpus.text.encode()) / len(tokens))


def refuse_long(window: int, fits: int | None) -> None:
    """Refuse windows that do not fit the model.

    Raises:
        InputError: `window` is longer than the model's window, `fits`.
    """
    if fits is not None and window > fits:
        raise InputError(
            f"perplexity.window: {window} tokens do not fit the model's window of {fits}. Give a smaller one."
        )


def text_task(corpus: Corpus) -> TaskInfo:
    """Return what a reader of the scores of a text has to know."""
    return TaskInfo(
        name=f"perplexity_{corpus.name}",
        kind="text",
        family="perplexity",
        metric="nll",
        metrics=("nll",),
        higher_is_better=False,
        version="1",
    )


def loss_of(responses: Sequence[Response]) -> list[float]:
    """Return the summed negative log-likelihood (nats) of each response."""
    return [-response.value for response in responses if isinstance(response, LogLikelihood)]


def text_items(
    hashes: Sequence[str], nll: Sequence[float], units: Sequence[int], bytes_per_unit: float
) -> pd.DataFrame:
    """Return parts of a text as items.

    Args:
        hashes: what identifies each part: the tokens of a window, the text of a page.
        nll: the mean loss of each part per unit, in nats.
        units: the number of units of each part: tokens of a window, words of a page.
        bytes_per_unit: UTF-8 bytes of the text per unit.
    """
    rows = [
        {
            "doc_id": index,
            "doc_hash": hashed,
            "prompt_hash": hashed,
            "target_hash": hashed,
            "group": str(index),
            "prompt": "",
            "target": "",
            "response": "",
            "cut": False,
            "choice_logprobs": [],
            "nll": loss,
            "units": count,
            "bytes_per_unit": bytes_per_unit,
        }
        for index, (hashed, loss, count) in enumerate(zip(hashes, nll, units, strict=True))
    ]
    return pd.DataFrame(rows)


def perplexity_scores(items: pd.DataFrame) -> dict[str, float]:
    """Return mean loss, perplexity (infinite if it overflows) and bits per byte over parts of a text, by `units`."""
    nll = float(np.average(items["nll"], weights=items["units"]))
    return {
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else (nll if math.isnan(nll) else math.inf),
        "bits_per_byte": nll / math.log(2) / float(items["bytes_per_unit"].iloc[0]),
    }
