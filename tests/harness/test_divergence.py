"""Divergence against its definition, computed from the logits of two whole models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr

from kick.checkpoints import Loaded, load
from kick.engines.torch.forward import Forward
from kick.engines.torch.memory import Memory
from kick.errors import InputError
from kick.harness.divergence import States, TokenPass, TokenScores, columns, compare, summarise
from kick.harness.plan import Score
from kick.store import Journal
from kick.types import BatchSize, Tier
from tests.tiny import save_model

SIZE = BatchSize(tokens=200, rows=4)
REQUESTS = [
    Score((3, *range(20, 20 + length), item), tuple(range(item, item + 4)))
    for length in (5, 60)
    for item in range(40, 46)
]


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Loaded]:
    """A reference and a candidate with other weights, head included."""
    root = tmp_path_factory.mktemp("models")
    folders = [save_model(root / f"{seed}", request.param, seed=seed, scale=5) for seed in (0, 1)]
    one, other = (load(folder, dtype="float32", device="cpu") for folder in folders)
    return one, other


def measure(
    pair: tuple[Loaded, Loaded], folder: Path, tier: Tier = "tree", journal: Journal | None = None
) -> list[TokenScores]:
    reference, candidate = (Forward(loaded.model, tier) for loaded in pair)
    states = States(folder / "states" / "key.bin", REQUESTS)
    kept = TokenPass(reference, tier, SIZE, Memory(), keep=states)
    kept.run(REQUESTS, Journal(folder / "reference.jsonl"), 0)
    states.finish()
    stored = States(states.path, REQUESTS)
    return TokenPass(candidate, tier, SIZE, Memory(), against=stored).run(
        REQUESTS, journal or Journal(folder / "candidate.jsonl"), 0
    )


@pytest.mark.parametrize("tier", ["tree", "plain"])
def test_divergence_is_that_of_two_models_side_by_side(
    pair: tuple[Loaded, Loaded], tmp_path: Path, tier: Tier
) -> None:
    for request, found in zip(REQUESTS, measure(pair, tmp_path, tier), strict=True):
        ids = torch.tensor([(*request.context, *request.continuation)])
        first = len(request.context) - 1
        p, q = (log_softmax(loaded.model(ids).logits[0, first:-1].double().numpy(), -1) for loaded in pair)
        token = np.arange(len(p)), np.array(request.continuation)
        assert found.kl == pytest.approx(rel_entr(np.exp(p), np.exp(q)).sum(-1), abs=1e-3)
        assert found.reverse_kl == pytest.approx(rel_entr(np.exp(q), np.exp(p)).sum(-1), abs=1e-3)
        assert found.nll == pytest.approx(-q[token], abs=1e-4)
        assert found.reference_nll == pytest.approx(-p[token], abs=1e-2)
        assert found.delta_p == pytest.approx(np.exp(q[token]) - np.exp(p[token]), abs=1e-3)
        assert found.same_top.tolist() == (p.argmax(-1) == q.argmax(-1)).tolist()


def test_a_reference_does_not_diverge_from_itself(pair: tuple[Loaded, Loaded], tmp_path: Path) -> None:
    found = summarise(measure((pair[0], pair[0]), tmp_path), "dense")
    assert found.kl == pytest.approx(0, abs=1e-5)
    assert (found.tokens, found.same_top) == (sum(len(r.continuation) for r in REQUESTS), 1)
    assert found.nll_correlation == pytest.approx(1, abs=1e-5)


def test_an_interrupted_pass_of_the_reference_keeps_every_state(
    pair: tuple[Loaded, Loaded], tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    whole = measure(pair, tmp_path, "plain")
    forward, journal = Forward(pair[0].model, "plain"), Journal(folder / "reference.jsonl")
    states = States(folder / "states" / "key.bin", REQUESTS)
    TokenPass(forward, "plain", SIZE, Memory(), keep=states).run(REQUESTS, journal, 0)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 1
    journal.path.write_bytes(lines[0])  # killed after the first batch
    again = measure(pair, folder, "plain")
    for one, other in zip(whole, again, strict=True):
        assert one.kl.tolist() == other.kl.tolist()


def test_states_take_16_bits_a_value(pair: tuple[Loaded, Loaded], tmp_path: Path) -> None:
    measure(pair, tmp_path)
    tokens = sum(len(request.continuation) for request in REQUESTS)
    assert (tmp_path / "states" / "key.bin").stat().st_size == tokens * 32 * 2


def test_heads_of_other_vocabularies_are_refused(
    pair: tuple[Loaded, Loaded], tmp_path: Path, tiny_llama: Path
) -> None:
    measure(pair, tmp_path)
    grown = load(tiny_llama, dtype="float32", device="cpu")
    grown.model.resize_token_embeddings(400)
    states = States(tmp_path / "states" / "key.bin", REQUESTS)
    with pytest.raises(InputError, match="its head predicts 400 tokens and that of its reference 384"):
        TokenPass(Forward(grown.model, "plain"), "plain", SIZE, Memory(), against=states)


def test_statistics_are_those_of_their_definitions() -> None:
    draw = np.random.default_rng(0)
    values = draw.random((6, 500)).astype(np.float32)
    halves = [TokenScores.of(values[:, :200]), TokenScores.of(values[:, 200:])]
    found = summarise([TokenScores.decode(h.encode(), len(h.nll)) for h in halves], "dense")
    nll, before, kl, reverse, delta, same = values.astype(np.float64)
    assert found.kl == pytest.approx(kl.mean())
    assert found.kl_max == pytest.approx(kl.max())
    assert found.kl_percentiles["99.9"] == pytest.approx(np.percentile(kl, 99.9))
    assert found.reverse_kl == pytest.approx(reverse.mean())
    covariance = np.cov(nll, before)
    error = np.sqrt((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / 500)
    assert found.log_perplexity_ratio == pytest.approx((nll - before).mean())
    assert found.log_perplexity_ratio_error == pytest.approx(error)
    assert found.delta_p_rms == pytest.approx(np.sqrt((delta**2).mean()))
    assert found.same_top == pytest.approx(same.mean())
    assert columns(halves)["kl"] == pytest.approx([kl[:200].mean(), kl[200:].mean()])


def test_a_token_that_the_candidate_thinks_impossible_diverges_without_bound() -> None:
    sure = torch.tensor([[0.0, 0.0, -200.0]])
    found = compare(torch.zeros(1, 3), sure, torch.tensor([2]))
    assert found[2] == pytest.approx(200 / 3 - np.log(3) + np.log(2), rel=1e-5)


def test_divergence_over_a_large_vocabulary_is_exact_to_a_few_millionths() -> None:
    draw = torch.Generator().manual_seed(0)
    before = torch.randn(6, 250_000, generator=draw) * 4
    after = before + torch.randn(before.shape, generator=draw)
    p, q = (log_softmax(logits.double().numpy(), -1) for logits in (before, after))
    tokens = torch.randint(250_000, (6,), generator=draw)
    at = np.arange(6), tokens.numpy()
    found = compare(before, after, tokens).double().numpy()
    assert found[:2] == pytest.approx(np.stack([-q[at], -p[at]]), abs=1e-5)
    assert found[2] == pytest.approx((np.exp(p) * (p - q)).sum(-1), abs=1e-5)
    assert found[3] == pytest.approx((np.exp(q) * (q - p)).sum(-1), abs=1e-5)
    assert found[4] == pytest.approx(np.exp(q[at]) - np.exp(p[at]), abs=1e-7)
