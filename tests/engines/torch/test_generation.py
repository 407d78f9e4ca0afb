"""Completions: where they begin and end, and that tokens are drawn correctly and for each item by itself."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.utils import postprocess_generated_text

from kick.checkpoints import Loaded, load
from kick.engines.base import Completion, Generate
from kick.engines.torch import TorchEngine
from kick.engines.torch.generation import before_stop, has_stop, next_tokens
from kick.harness.encoding import Encoder, encode_requests
from kick.types import BatchSize, Tier
from tests.engines.torch.test_engine import completions, generate
from tests.tiny import save_model

CONTEXTS = [f"{'the text is long. ' * (number % 3)}Question {number}?\nAnswer:" for number in range(9)]
TIERS: tuple[Tier, ...] = ("tree", "prefix", "plain")


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


def _drawn(
    contexts: list[str], temperature: float = 0.8, until: tuple[str, ...] = ("e",), budget: int = 12
) -> list[Instance]:
    settings = {
        "until": list(until),
        "max_gen_toks": budget,
        "do_sample": True,
        "temperature": temperature,
    }
    return [
        Instance("generate_until", {}, (context, settings), 0, ("test", doc, 1))
        for doc, context in enumerate(contexts)
    ]


def _texts(loaded: Loaded, contexts: list[str], tier: Tier = "tree", rows: int = 4) -> dict[str, str]:
    size = BatchSize(tokens=4096, rows=rows)
    return dict(zip(contexts, generate(loaded, size, tier, _drawn(contexts)), strict=True))


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
    size = BatchSize(tokens=4096, rows=4)
    greedy = _drawn(CONTEXTS)
    for instance in greedy:
        instance.args[1]["do_sample"] = False
    cold = generate(llama, size, "tree", _drawn(CONTEXTS, 1e-4))
    assert cold == generate(llama, size, "tree", greedy)


@pytest.mark.parametrize("tier", TIERS)
def test_white_space_before_an_answer_does_not_end_it(llama: Loaded, tier: Tier) -> None:
    contexts = [f"Question {number}?\nAnswer:" for number in range(150)]
    stop = (" ", "\n")
    size = BatchSize(tokens=4096, rows=64)
    instances = _drawn(contexts, 1.5, stop, budget=5)
    whole = _raw(llama, instances)
    early = [text for text in whole if text[:1] in stop and text.strip()]
    assert early, "the test needs completions that begin with a stop string"
    texts = generate(llama, size, tier, instances)
    assert texts == [before_stop(text, stop) for text in whole]
    assert all(before_stop(text, stop) for text in early)


@torch.inference_mode()
def _raw(loaded: Loaded, instances: list[Instance]) -> list[str]:
    """What the model writes, token by token and without a stop string."""
    texts = []
    for request in encode_requests(instances, Encoder(loaded.tokenizer)):
        assert isinstance(request, Generate)
        draws, tokens = random.Random(request.seed), list(request.context)
        for _ in range(request.budget):
            logits = loaded.model(torch.tensor([tokens])).logits[0, -1:]
            tokens += next_tokens(logits, [request], [draws])
            if tokens[-1] == loaded.tokenizer.eos_token_id:
                break
        new = tokens[len(request.context) :]
        texts.append(loaded.tokenizer.decode(new, skip_special_tokens=True))
    return texts


@pytest.mark.parametrize("tier", TIERS)
def test_a_completion_that_its_budget_ends_is_cut(llama: Loaded, tier: Tier) -> None:
    size = BatchSize(tokens=4096, rows=4)
    (free,) = completions(llama, size, tier, _drawn(CONTEXTS[:1], until=(), budget=8))
    assert free.cut
    stop = free.text[-1]
    (stopped,) = completions(llama, size, tier, _drawn(CONTEXTS[:1], until=(stop,), budget=8))
    assert stopped == Completion(free.text.split(stop)[0], cut=False)


@pytest.mark.parametrize("tier", TIERS)
def test_a_completion_that_the_model_ends_is_not_cut(tmp_path: Path, tier: Tier) -> None:
    loaded = load(save_model(tmp_path / "model", scale=10), dtype="float32", device="cpu")
    request = Generate((1, 40, 41), (), 3)
    size = BatchSize(tokens=64, rows=1)
    (free,) = TorchEngine(loaded, size, tier).answer([request])
    # The token that the model writes first becomes the one that ends a sequence.
    first = int(loaded.model(torch.tensor([request.context])).logits[0, -1].argmax())
    loaded.model.generation_config.eos_token_id = first
    (ended,) = TorchEngine(loaded, size, tier).answer([request])
    assert isinstance(free, Completion)
    assert isinstance(ended, Completion)
    assert (free.cut, ended.cut) == (True, False)


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=3), max_size=3))
def test_a_completion_ends_where_lm_eval_ends_it_once_white_space_is_gone(text: str, stop: list[str]) -> None:
    assert before_stop(text, stop) == postprocess_generated_text(text.lstrip(), stop, None)
    assert has_stop(text, stop) == any(string in text.lstrip() for string in stop)


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
