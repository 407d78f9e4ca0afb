"""The work of the pages of a text: word perplexity as lm-eval's task `wikitext` has it, by words and bytes of a page.

A page is encoded whole, windows roll over it, and every token is predicted once. The loss is shared out among the
words of the page as it is stored, so models with different tokenizers can be compared; it is another number than the
perplexity of `kick.harness.perplexity`, and has another name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from transformers import PreTrainedTokenizerBase

from kick.data.corpora import Corpus
from kick.engines.base import Engine, Progress, Response, Score
from kick.engines.torch import batches
from kick.files import digest
from kick.harness.encoding import Encoder
from kick.harness.perplexity import loss_of, perplexity_scores, refuse_long, text_items, text_task
from kick.harness.work import RightAnswers
from kick.store import Journal
from kick.types import BatchSize, Floors, PlanInfo, Skipped, TaskInfo, Tier


@dataclass(frozen=True)
class Page:
    """A page of a text for one tokenizer."""

    hash: str
    """A hash of its text, which is the same for every tokenizer."""

    words: int
    requests: tuple[Score, ...]
    """The windows that roll over the page; together they predict each of its tokens once."""


@dataclass(frozen=True)
class PagesWork:
    """The pages of a text for one tokenizer."""

    task: TaskInfo
    info: PlanInfo
    pages: tuple[Page, ...]
    bytes_per_word: float
    skipped: tuple[Skipped, ...] = ()
    available: int | None = None
    notes: tuple[str, ...] = ()
    floors: Floors | None = None
    undiverged: str | None = "the text is not cut into windows, but scored page by page"

    @property
    def requests(self) -> tuple[Score, ...]:
        """The requests of all pages."""
        return tuple(request for page in self.pages for request in page.requests)

    @property
    def steps(self) -> int:
        """The number of windows that roll over the pages."""
        return len(self.requests)

    def answer(self, engine: Engine, journal: Journal | None, progress: Progress | None) -> list[Response]:
        """Let an engine score all pages."""
        return engine.answer(self.requests, journal, progress, alone=True)

    def score(self, responses: Sequence[Response]) -> pd.DataFrame:
        """Return one row per page: `nll` in nats per word, `units` its words, and `bytes_per_unit`."""
        losses = iter(loss_of(responses))
        by_page = [sum(next(losses) for _ in page.requests) for page in self.pages]
        words = [page.words for page in self.pages]
        by_word = [loss / count for loss, count in zip(by_page, words, strict=True)]
        return text_items([page.hash for page in self.pages], by_word, words, self.bytes_per_word)

    def scores(self, items: pd.DataFrame) -> dict[str, float]:
        """Return mean loss per word, word perplexity and bits per byte."""
        return perplexity_scores(items)

    def right_answers(self) -> RightAnswers:
        """Return nothing: divergence is not measured on pages (see `undiverged`)."""
        return RightAnswers((), alone=True, are_all=False)

    def batched_alike(self, one: BatchSize, other: BatchSize, tier: Tier) -> bool:
        """Return whether two sizes cut the windows of the pages into the same batches."""
        return [*batches(self.requests, one, "plain")] == [*batches(self.requests, other, "plain")]


def plan_pages(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    windows: int | None,
    fits: int | None,
    seed: int,
) -> PagesWork:
    """Encode the first `windows` pages of a corpus (all if None), detokenised as lm-eval does.

    Args:
        corpus: the text, which has pages.
        tokenizer: the checkpoint's.
        window: the number of tokens that roll over a page together.
        windows: the number of pages (None: all).
        fits: the number of tokens that fit the model (None: any).
        seed: the suite's seed, which is noted with the plan.

    Raises:
        InputError: the model's window is shorter than `window`.
    """
    refuse_long(window, fits)
    encoder = Encoder(tokenizer)
    texts = corpus.pages[:windows]
    encoded = [encoder.encode(wikitext_detokenizer({"page": text})) for text in texts]
    pages = tuple(
        Page(
            digest(text),
            len(re.split(r"\s+", text)),
            rolling_requests(tokens, encoder.prefix_token, window),
        )
        for text, tokens in zip(texts, encoded, strict=True)
    )
    settings = f"{corpus.name} rolling window={window} pages={len(pages)} alone"
    info = PlanInfo(
        hash=digest(settings, encoder.prefix_token, encoded),
        task_config=digest(settings),
        documents=digest(texts),
        shots=0,
        limit=windows,
        seed=seed,
        items=len(pages),
    )
    size = sum(len(text.encode()) for text in texts)
    return PagesWork(text_task(corpus), info, pages, size / sum(page.words for page in pages))


def rolling_requests(tokens: Sequence[int], prefix_token: int, window: int) -> tuple[Score, ...]:
    """Return the requests that predict each token of a text once, by lm-eval's rolling windows.

    Args:
        tokens: the token ids of the text.
        prefix_token: the token before the first one.
        window: the number of tokens in a forward.
    """
    rolled = get_rolling_token_windows([*tokens], prefix_token, window, context_len=1)
    return tuple(
        Score(tuple(context), tuple(continuation))
        for context, continuation in map(make_disjoint_window, rolled)
    )
