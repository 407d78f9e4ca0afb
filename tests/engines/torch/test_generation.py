"""Tokens that are drawn: from the right distribution, and for each item by itself."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance

from kick.checkpoints import Loaded, load
from kick.engines.torch.generation import next_tokens
from kick.harness.model import KickLM
from kick.harness.plan import Generate
from kick.types import BatchSize, Tier

CONTEXTS = [f"{'the text is long. ' * (number % 3)}Question {number}?\nAnswer:" for number in range(9)]


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


def _asked(contexts: list[str], temperature: float = 0.8) -> list[Instance]:
    settings = {"until": ["e"], "max_gen_toks": 12, "do_sample": True, "temperature": temperature}
    return [
        Instance("generate_until", {}, (context, settings), 0, ("test", doc, 1))
        for doc, context in enumerate(contexts)
    ]


def _texts(loaded: Loaded, contexts: list[str], tier: Tier = "tree", rows: int = 4) -> dict[str, str]:
    lm = KickLM(loaded, BatchSize(tokens=4096, rows=rows), tier)
    return dict(zip(contexts, lm.generate_until(_asked(contexts)), strict=True))


def test_what_is_drawn_depends_neither_on_the_batch_nor_on_the_order(llama: Loaded) -> None:
    together = _texts(llama, CONTEXTS)
    assert _texts(llama, CONTEXTS, rows=1) == together
    assert _texts(llama, CONTEXTS[::-1], rows=3) == together
    assert _texts(llama, CONTEXTS[4:6]) == {context: together[context] for context in CONTEXTS[4:6]}
    assert len(set(together.values())) > 6


@pytest.mark.parametrize("tier", ["prefix", "plain"])
def test_every_tier_draws_the_same(llama: Loaded, tier: Tier) -> None:
    assert _texts(llama, CONTEXTS, tier) == _texts(llama, CONTEXTS)


def test_a_temperature_near_zero_is_greedy(llama: Loaded) -> None:
    lm = KickLM(llama, BatchSize(tokens=4096, rows=4), "tree")
    asked = _asked(CONTEXTS)
    for instance in asked:
        instance.args[1]["do_sample"] = False
    assert lm.generate_until(_asked(CONTEXTS, 1e-4)) == lm.generate_until(asked)


def test_tokens_are_drawn_as_often_as_their_probabilities_at_the_temperature_say() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0, -torch.inf])
    n, temperature = 4000, 0.7
    requests = [Generate((1,), (), 1, temperature, seed) for seed in range(n)]
    draws = [random.Random(request.seed) for request in requests]
    drawn = Counter(next_tokens(logits.expand(n, -1), requests, draws))
    expected = (logits / temperature).softmax(-1).tolist()
    assert drawn[4] == 0
    for token, share in enumerate(expected):
        assert abs(drawn[token] / n - share) <= 4 * (share * (1 - share) / n) ** 0.5
