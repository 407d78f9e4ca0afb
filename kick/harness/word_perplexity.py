"""Word perplexity as lm-eval's task `wikitext` has it: the log-likelihood of every page, by its words and bytes.

A page is encoded whole, windows roll over it, and every token is predicted once. The loss is shared out among the
words of the page as it is stored, so that models with different tokenizers can be compared; it is another number than
the perplexity of `kick.harness.perplexity`, and stands under another name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from transformers import PreTrainedTokenizerBase

from kick.data.corpora import Corpus
from kick.errors import InputError
from kick.harness.perplexity import (
    PerplexityPlan,
    Stretch,
    TextScorer,
    digest,
    journaled_losses,
    text_items,
    text_task,
)
from kick.harness.plan import Encoder
from kick.store import Journal
from kick.types import BatchSize, PlanInfo


@dataclass(frozen=True)
class RollingPlan(PerplexityPlan):
    """The pages of a corpus for one tokenizer: `windows` are the tokens of each, `bytes_per_token` is bytes a word."""

    words: tuple[int, ...]  # of each page
    prefix: int  # the token before a page
    window: int  # tokens that a page is rolled over by

    def together(self, size: BatchSize) -> int:
        """How many windows of a page go through in one forward."""
        most = -(-max(map(len, self.windows)) // self.window)
        return min(most, max(1, size.tokens // self.window))


def make_rolling_plan(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    windows: int | None,
    fits: int | None,
    seed: int,
) -> RollingPlan:
    """Encode the first `windows` pages of a corpus (all if None), detokenised as lm-eval does.

    Raises:
        InputError: the model's window (`fits`) is shorter than `window`.
    """
    if fits is not None and window > fits:
        raise InputError(
            f"perplexity.window: {window} tokens do not fit the model's window of {fits}. Give a smaller one."
        )
    encoder = Encoder(tokenizer)
    pages = corpus.pages[:windows]
    encoded = tuple(encoder.encode(wikitext_detokenizer({"page": page})) for page in pages)
    words = tuple(len(re.split(r"\s+", page)) for page in pages)
    settings = f"{corpus.name} rolling window={window} pages={len(pages)} prefix={encoder.prefix_token}"
    info = PlanInfo(
        hash=digest(settings, repr(encoded)),
        task_config=digest(settings),
        documents=digest(*pages),
        shots=0,
        limit=windows,
        seed=seed,
        items=len(pages),
    )
    size = sum(len(page.encode()) for page in pages)
    return RollingPlan(
        info, text_task(corpus), encoded, size / sum(words), words, encoder.prefix_token, window
    )


def score_pages(
    scorer: TextScorer, plan: RollingPlan, journal: Journal, progress: Callable[[int], None]
) -> pd.DataFrame:
    """The loss of every page: one row each, with `nll` in nats a word, `tokens` its words, and `bytes_per_token`."""
    losses = journaled_losses(
        ((page,) for page in range(len(plan.windows))),
        journal,
        progress,
        lambda batch: [page_nll(scorer, plan.windows[page], plan) for page in batch],
    )
    by_word = [loss / words for loss, words in zip(losses, plan.words, strict=True)]
    return text_items(plan, by_word, plan.words)


def page_nll(scorer: TextScorer, tokens: tuple[int, ...], plan: RollingPlan) -> float:
    """Negative log-likelihood of a page (nats), each of its tokens predicted once."""
    stretches = []
    for rolled in get_rolling_token_windows(list(tokens), plan.prefix, plan.window, context_len=1):
        context, continuation = make_disjoint_window(rolled)
        stretches.append(Stretch([*context, *continuation], len(continuation)))
    together = plan.together(scorer.size)
    parts = [stretches[start : start + together] for start in range(0, len(stretches), together)]
    return sum(loss for part in parts for loss in scorer.losses(part))
