"""Perplexity by the protocol of GPTQ, SparseGPT and Wanda: one tokenizer call, non-overlapping windows.

The text is joined, encoded once (one BOS at most), cut into `n // window` windows and the tail dropped. A window's
loss is the mean cross-entropy of its `window - 1` shifted tokens; perplexity is exp of the mean over windows.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from kick.data.corpora import Corpus
from kick.engines.torch.batching import straight
from kick.engines.torch.forward import Forward
from kick.engines.torch.head import token_losses
from kick.engines.torch.memory import Memory
from kick.errors import InputError
from kick.store import Journal
from kick.types import BatchSize, PlanInfo, TaskInfo


@dataclass(frozen=True)
class PerplexityPlan:
    """The windows of a corpus for one tokenizer."""

    info: PlanInfo
    task: TaskInfo
    windows: tuple[tuple[int, ...], ...]
    bytes_per_token: float  # of the whole text, UTF-8: bits per byte = nll / ln 2 / bytes_per_token

    def together(self, size: BatchSize) -> int:
        """How many windows go through in one forward: as many as fit the budget of tokens, and one at least."""
        return min(len(self.windows), max(1, size.tokens // max(map(len, self.windows))))

    def batches(self, size: BatchSize) -> Iterator[tuple[int, ...]]:
        """Windows that go through together, by number; cut from all windows, whatever has been answered already."""
        for start in range(0, len(self.windows), self.together(size)):
            yield tuple(range(start, min(start + self.together(size), len(self.windows))))


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


@dataclass(frozen=True)
class Stretch:
    """Tokens, the last `scored` of which are predicted from those before them (all but the first if None)."""

    tokens: Sequence[int]
    scored: int | None = None

    @property
    def counted(self) -> int:
        return len(self.tokens) - 1 if self.scored is None else self.scored


@dataclass(frozen=True)
class TextScorer:
    """Predicts stretches of text, several in one forward.

    Args:
        forward: of the model.
        size: how many tokens go through together.
        memory: what is known of how much fits.
    """

    forward: Forward
    size: BatchSize
    memory: Memory = field(default_factory=Memory)

    @torch.inference_mode()
    def losses(self, stretches: Sequence[Stretch]) -> list[float]:
        """Summed negative log-likelihood (nats; log-probabilities in float32, sums in float64) of each.

        They are run together, or in as few parts as fit. Logits are held for a few positions at a time.
        """
        found: dict[int, float] = self.memory.run(
            [*enumerate(stretches)],
            size=lambda part: len(part) * max(len(stretch.tokens) for _, stretch in part),
            work=self._run,
        )
        return [found[place] for place in range(len(stretches))]

    def mean_loss(self, tokens: Sequence[int], scored: int | None = None) -> float:
        """Mean negative log-likelihood (nats) of the last `scored` tokens, all but the first if None."""
        stretch = Stretch(tokens, scored)
        return self.losses([stretch])[0] / stretch.counted

    def _run(self, stretches: Sequence[tuple[int, Stretch]]) -> dict[int, float]:
        states = self.forward.states([straight(stretch.tokens[:-1]) for _, stretch in stretches])
        needed: list[torch.Tensor] = []
        targets: list[int] = []
        for row, (_, stretch) in zip(states, stretches, strict=True):
            end = len(stretch.tokens) - 1
            needed.append(row[end - stretch.counted : end])
            targets += stretch.tokens[-stretch.counted :]
        wanted = torch.tensor(targets, device=states.device)
        parts = [
            token_losses(logits, wanted[part])
            for part, logits in self.forward.head.in_chunks(torch.cat(needed))
        ]
        losses = torch.cat(parts).double()
        counts = [stretch.counted for _, stretch in stretches]
        sums = [part.sum().item() for part in torch.split(losses, counts)]
        return {place: total for (place, _), total in zip(stretches, sums, strict=True)}


def score_windows(
    scorer: TextScorer, plan: PerplexityPlan, journal: Journal, progress: Callable[[int], None]
) -> pd.DataFrame:
    """The loss of every window: one row each, with `nll` (nats a token), `tokens` and `bytes_per_token`.

    A loss that is not finite is kept as it is: it is what the model says.
    """
    counted = [len(tokens) - 1 for tokens in plan.windows]

    def mean_losses(batch: Sequence[int]) -> list[float]:
        sums = scorer.losses([Stretch(plan.windows[place]) for place in batch])
        return [total / counted[place] for total, place in zip(sums, batch, strict=True)]

    losses = journaled_losses(plan.batches(scorer.size), journal, progress, mean_losses)
    return text_items(plan, losses, counted)


def journaled_losses(
    batches: Iterable[Sequence[int]],
    journal: Journal,
    progress: Callable[[int], None],
    losses: Callable[[Sequence[int]], list[float]],
) -> list[float]:
    """The loss of every window: batches that the journal holds from there, the others computed and kept in it."""
    batches = [*batches]
    answered = journal.read()
    progress(sum(place in answered for batch in batches for place in batch))
    for batch in batches:
        if not all(place in answered for place in batch):
            fresh = losses(batch)
            journal.append(batch, fresh)
            progress(sum(place not in answered for place in batch))
            answered.update(zip(batch, fresh, strict=True))
    return [float(answered[place]) for batch in batches for place in batch]


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
