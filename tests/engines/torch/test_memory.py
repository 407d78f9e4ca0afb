"""A batch that does not fit goes through in parts, with equal numbers, and larger ones are not tried again."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from kick.checkpoints import Loaded, load
from kick.engines.base import Score
from kick.engines.torch import TorchEngine, batches
from kick.engines.torch.memory import Memory
from kick.harness.encoding import Encoder, encode_requests
from kick.types import Tier
from tests.engines.torch.test_engine import CONTEXTS, HEADER, generated, scored, size
from tests.engines.torch.watch import at_most


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


@pytest.mark.parametrize("tier", ["tree", "plain"])
def test_log_likelihoods_are_the_same_when_the_memory_is_short(llama: Loaded, tier: Tier) -> None:
    instances = scored([f"{HEADER}Question: is {number} in the text?\nAnswer:" for number in range(60)])
    requests = encode_requests(instances, Encoder(llama.tokenizer))
    free = TorchEngine(llama, size(4096), tier).answer(requests)
    planned = batches(requests, size(4096), tier)
    engine = TorchEngine(llama, size(4096), tier)
    with at_most(llama, max(len(row.tokens) for batch in planned for row in batch.rows)) as refused:
        short = engine.answer(requests)
        assert refused
        tried = len(refused)
        assert engine.answer(requests) == short
        assert len(refused) == tried, "a size that did not fit was tried again"
    assert [response.greedy for response in short] == [response.greedy for response in free]
    expected = [response.value for response in free]
    assert [response.value for response in short] == pytest.approx(expected, abs=1e-4)


def test_completions_are_the_same_when_the_memory_is_short(llama: Loaded) -> None:
    instances = generated(until=(), contexts=[f"{number}: {CONTEXTS[1]}" for number in range(9)])
    requests = encode_requests(instances, Encoder(llama.tokenizer))
    free = TorchEngine(llama, size(4096), "tree").answer(requests)
    engine = TorchEngine(llama, size(4096), "tree")
    with at_most(llama, max(request.length for request in requests)) as refused:
        assert engine.answer(requests) == free
        assert refused
        tried = len(refused)
        assert engine.answer(requests) == free
        assert len(refused) == tried, "a size that did not fit was tried again"


def test_windows_of_text_are_scored_alike_when_the_memory_is_short(llama: Loaded) -> None:
    tokens = tuple(llama.tokenizer(HEADER)["input_ids"])
    windows = [
        Score(tokens[start : start + 1], tokens[start + 1 : start + 40]) for start in range(0, 160, 40)
    ]
    engine = TorchEngine(llama, size(4096), "tree")
    free = [response.value for response in engine.answer(windows, alone=True)]
    with at_most(llama, 80) as refused:
        assert [r.value for r in engine.answer(windows, alone=True)] == pytest.approx(free, rel=1e-6)
        tried = len(refused)
        assert tried
        assert [r.value for r in engine.answer(windows, alone=True)] == pytest.approx(free, rel=1e-6)
        assert len(refused) == tried


def test_one_row_that_does_not_fit_is_an_error(llama: Loaded) -> None:
    engine = TorchEngine(llama, size(4096), "plain")
    requests = encode_requests(scored(), Encoder(llama.tokenizer))
    with at_most(llama, 1), pytest.raises(RuntimeError, match="out of memory"):
        engine.answer(requests)


def test_a_cpu_without_memory_is_recognised_by_torch_s_own_message() -> None:
    memory = Memory()

    def work(rows: Sequence[int]) -> dict[int, torch.Tensor]:
        if len(rows) > 1:
            torch.empty(2**60, dtype=torch.uint8)
        return {row: torch.zeros(1) for row in rows}

    assert [*memory.run([0, 1, 2], len, work)] == [0, 1, 2]
    assert memory.too_large == 2
