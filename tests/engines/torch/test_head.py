"""What is made of final states: logits a few at a time, and losses from them, against float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kick.engines.torch.head import Head, log_normalisers, token_losses

VOCABULARY = 30


def linear(seed: int = 0) -> Head:
    weight = torch.randn(VOCABULARY, 4, generator=torch.Generator().manual_seed(seed))
    return Head.linear({"weight": weight}, None, 1.0)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 20))
def test_chunks_are_the_logits_of_all_positions_in_order(positions: int, product: int, cached: int) -> None:
    head, states = linear(), torch.randn(positions, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kick.engines.torch.head.PRODUCT", product * VOCABULARY)
        patch.setattr("kick.engines.torch.head.CACHED", cached * VOCABULARY)
        parts = [(part, logits.clone(), logits.zero_()) for part, logits in head.in_chunks(states)]
    assert [place for part, *_ in parts for place in range(part.start, part.stop)] == [*range(positions)]
    assert max(len(logits) for _, logits, _ in parts) <= min(product, cached)
    torch.testing.assert_close(torch.cat([logits for _, logits, _ in parts]), head(states))


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.01, 50), st.integers(1, 5))
def test_losses_are_those_of_float64_over_a_large_vocabulary(seed: int, scale: float, rows: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 50_000, generator=draw) * scale
    targets = torch.randint(50_000, (rows,), generator=draw)
    exact = logits.double()
    expected = exact.logsumexp(-1) - exact.gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(token_losses(logits.clone(), targets).double(), expected, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(log_normalisers(logits).double(), exact.logsumexp(-1), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "expected"), [(-torch.inf, 0.0), (torch.inf, torch.inf), (torch.nan, torch.nan)]
)
def test_a_logit_that_is_not_finite_is_what_it_says(value: float, expected: float) -> None:
    found = log_normalisers(torch.tensor([[0.0, value]]))
    torch.testing.assert_close(found, torch.tensor([expected]), equal_nan=True)
