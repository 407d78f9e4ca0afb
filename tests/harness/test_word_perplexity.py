"""Word perplexity against lm-eval's own rolling log-likelihood."""

import math
import re
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks.wikitext.preprocess_wikitext import wikitext_detokenizer

from kick.checkpoints import Loaded, load
from kick.data.corpora import Corpus
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.harness.word_perplexity import plan_pages
from kick.types import BatchSize

PAGES = (
    " = Vinsted = \n \n The ferry , built in 1 @,@ 874 , lay still for the third day . \n" * 4,
    " = Lake Odde = \n \n A lake of some depth . \n",
)
CORPUS = Corpus("pages", "".join(PAGES), pages=PAGES)


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


@pytest.mark.parametrize("batch_tokens", [1, 120])
@pytest.mark.parametrize("window", [50, 200])
def test_word_perplexity_and_bits_per_byte_are_lm_evals(
    llama: Loaded, window: int, batch_tokens: int
) -> None:
    work = plan_pages(CORPUS, llama.tokenizer, window=window, windows=None, fits=None, seed=1)
    # Windows roll, and the last one overlaps.
    assert len(work.pages[0].requests) > 1
    engine = TorchEngine(llama, BatchSize(tokens=batch_tokens, rows=1), "tree")
    items = work.score(work.answer(engine, None, None))
    assert items["units"].tolist() == [len(re.split(r"\s+", page)) for page in PAGES]
    requests = [
        Instance("loglikelihood_rolling", {}, (wikitext_detokenizer({"page": page}),), 0) for page in PAGES
    ]
    lm = HFLM(pretrained=llama.model, tokenizer=llama.tokenizer, max_length=window)
    likelihood = sum(lm.loglikelihood_rolling(requests, disable_tqdm=True))
    words = sum(len(re.split(r"\s+", page)) for page in PAGES)
    size = sum(len(page.encode()) for page in PAGES)
    scores = work.scores(items)
    assert scores["perplexity"] == pytest.approx(math.exp(-likelihood / words), rel=1e-5)
    assert scores["bits_per_byte"] == pytest.approx(-likelihood / size / math.log(2), rel=1e-5)


def test_the_first_pages_are_scored_where_a_number_is_given(llama: Loaded) -> None:
    work = plan_pages(CORPUS, llama.tokenizer, window=50, windows=1, fits=None, seed=1)
    whole = plan_pages(CORPUS, llama.tokenizer, window=50, windows=None, fits=None, seed=1)
    assert work.pages == whole.pages[:1]
    assert work.info.hash != whole.info.hash


def test_pages_say_why_no_divergence_is_measured_on_them(llama: Loaded) -> None:
    work = plan_pages(CORPUS, llama.tokenizer, window=50, windows=None, fits=None, seed=1)
    assert "page by page" in str(work.undiverged)


def test_a_window_that_does_not_fit_is_refused(llama: Loaded) -> None:
    with pytest.raises(InputError, match="do not fit the model's window of 40"):
        plan_pages(CORPUS, llama.tokenizer, window=50, windows=None, fits=40, seed=1)
