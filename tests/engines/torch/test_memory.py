"""A batch that does not fit goes through in parts, with equal numbers, and larger ones are not tried again."""

from pathlib import Path
from typing import Any

import pytest

from kick.checkpoints import Loaded, load
from kick.engines.torch.forward import Forward
from kick.harness.model import KickLM, batches
from kick.harness.perplexity import Stretch, TextScorer
from kick.harness.plan import Encoder, encode_requests
from kick.types import Tier
from tests.harness.test_model import CONTEXTS, HEADER, _generated, _scored, size


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


class Limit:
    """Lets no more than so many padded tokens through a forward, as if the memory held no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
        self.refused: list[int] = []
        run = Forward._run

        def limited(forward: Forward, rows: Any, before: int, cache: Any) -> Any:
            padded = len(rows) * max(len(row.tokens) for row in rows)
            if padded > tokens:
                self.refused.append(padded)
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return run(forward, rows, before, cache)

        monkeypatch.setattr(Forward, "_run", limited)


@pytest.mark.parametrize("tier", ["tree", "plain"])
def test_log_likelihoods_are_the_same_when_the_memory_is_short(
    llama: Loaded, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    asked = _scored([f"{HEADER}Question: is {number} in the text?\nAnswer:" for number in range(60)])
    free = KickLM(llama, size(4096), tier).loglikelihood(asked)
    planned = batches(encode_requests(asked, Encoder(llama.tokenizer)), size(4096), tier)
    limit = Limit(monkeypatch, max(len(row.tokens) for batch in planned for row in batch.rows))
    lm = KickLM(llama, size(4096), tier)
    short = lm.loglikelihood(asked)
    assert limit.refused
    assert [greedy for _, greedy in short] == [greedy for _, greedy in free]
    assert [value for value, _ in short] == pytest.approx([value for value, _ in free], abs=1e-4)
    tried = len(limit.refused)
    assert lm.loglikelihood(asked) == short
    assert len(limit.refused) == tried, "a size that did not fit was tried again"


def test_completions_are_the_same_when_the_memory_is_short(
    llama: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _generated(until=(), contexts=[f"{number}: {CONTEXTS[1]}" for number in range(9)])
    free = KickLM(llama, size(4096), "tree").generate_until(asked)
    limit = Limit(monkeypatch, max(len(llama.tokenizer(instance.args[0]).input_ids) for instance in asked))
    lm = KickLM(llama, size(4096), "tree")
    assert lm.generate_until(asked) == free
    assert limit.refused
    tried = len(limit.refused)
    assert lm.generate_until(asked) == free
    assert len(limit.refused) == tried, "a size that did not fit was tried again"


def test_windows_of_text_are_scored_alike_when_the_memory_is_short(
    llama: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = llama.tokenizer(HEADER)["input_ids"]
    stretches = [Stretch(tokens[start : start + 40]) for start in range(0, 160, 40)]
    scorer = TextScorer(Forward(llama.model, "plain"), size(4096))
    free = scorer.losses(stretches)
    limit = Limit(monkeypatch, 80)
    assert scorer.losses(stretches) == pytest.approx(free, rel=1e-6)
    tried = len(limit.refused)
    assert tried
    assert scorer.losses(stretches) == pytest.approx(free, rel=1e-6)
    assert len(limit.refused) == tried


def test_one_row_that_does_not_fit_is_an_error(llama: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    Limit(monkeypatch, 1)
    with pytest.raises(RuntimeError, match="out of memory"):
        KickLM(llama, size(4096), "plain").loglikelihood(_scored())
