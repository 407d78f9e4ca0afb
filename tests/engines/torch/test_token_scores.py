"""Token scores against their definition, computed from the logits of two whole models; and what is kept for them."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr

from kick.checkpoints import Loaded, load
from kick.engines.base import DamagedStatesError, Score, TokenScores
from kick.engines.torch import TorchEngine
from kick.engines.torch.states import are_whole
from kick.engines.torch.token_scores import compare
from kick.errors import InputError
from kick.store import Journal
from kick.types import BatchSize, Tier
from tests.tiny import save_model

SIZE = BatchSize(tokens=200, rows=4)
REQUESTS = [
    Score((3, *range(20, 20 + length), item), tuple(range(item, item + 4)))
    for length in (5, 60)
    for item in range(40, 46)
]
TOKENS = sum(len(request.continuation) for request in REQUESTS)


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Loaded]:
    """A reference and a candidate with other weights, head included."""
    root = tmp_path_factory.mktemp("models")
    folders = [save_model(root / f"{seed}", request.param, seed=seed, scale=5) for seed in (0, 1)]
    one, other = (load(folder, dtype="float32", device="cpu") for folder in folders)
    return one, other


def keep(loaded: Loaded, folder: Path, tier: Tier = "tree") -> Path:
    """Let a reference keep its states."""
    path = folder / "states" / "key.bin"
    TorchEngine(loaded, SIZE, tier).predict_tokens(
        REQUESTS, Journal(folder / "reference.jsonl", "key"), keep=path
    )
    return path


def measure(pair: tuple[Loaded, Loaded], folder: Path, tier: Tier = "tree") -> list[TokenScores]:
    path = keep(pair[0], folder, tier)
    journal = Journal(folder / "candidate.jsonl", "key")
    return TorchEngine(pair[1], SIZE, tier).predict_tokens(REQUESTS, journal, reference_states=path)


@pytest.mark.parametrize("tier", ["tree", "plain"])
def test_divergence_is_that_of_two_models_side_by_side(
    pair: tuple[Loaded, Loaded], tmp_path: Path, tier: Tier
) -> None:
    for request, scores in zip(REQUESTS, measure(pair, tmp_path, tier), strict=True):
        ids = torch.tensor([(*request.context, *request.continuation)])
        first = len(request.context) - 1
        p, q = (log_softmax(loaded.model(ids).logits[0, first:-1].double().numpy(), -1) for loaded in pair)
        token = np.arange(len(p)), np.array(request.continuation)
        assert scores.kl == pytest.approx(rel_entr(np.exp(p), np.exp(q)).sum(-1), abs=1e-3)
        assert scores.reverse_kl == pytest.approx(rel_entr(np.exp(q), np.exp(p)).sum(-1), abs=1e-3)
        assert scores.nll == pytest.approx(-q[token], abs=1e-4)
        assert scores.reference_nll == pytest.approx(-p[token], abs=1e-2)
        assert scores.delta_p == pytest.approx(np.exp(q[token]) - np.exp(p[token]), abs=1e-3)
        assert scores.same_top.tolist() == (p.argmax(-1) == q.argmax(-1)).tolist()


def test_token_scores_come_back_from_a_journal_as_they_were() -> None:
    values = np.random.default_rng(0).random((6, 20)).astype(np.float32)
    scores = TokenScores.of(values)
    again = TokenScores.decode(scores.encode(), 20)
    assert np.stack([again.nll, again.reference_nll, again.kl]).tolist() == values[:3].tolist()


def test_an_interrupted_pass_of_the_reference_keeps_every_state(
    pair: tuple[Loaded, Loaded], tmp_path: Path
) -> None:
    whole = measure(pair, tmp_path / "whole", "plain")
    path = keep(pair[0], tmp_path / "broken", "plain")
    path.with_suffix(".json").unlink()
    journal = tmp_path / "broken" / "reference.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) > 1
    # Killed after the first batch; nothing of the second one reached the disk.
    journal.write_bytes(lines[0])
    again = measure(pair, tmp_path / "broken", "plain")
    for one, other in zip(whole, again, strict=True):
        assert one.kl.tolist() == other.kl.tolist()


def test_states_that_were_damaged_while_their_pass_was_interrupted_are_computed_again(
    pair: tuple[Loaded, Loaded], tmp_path: Path
) -> None:
    path = keep(pair[0], tmp_path)
    before = path.read_bytes()
    path.with_suffix(".json").unlink()
    flip(path)
    keep(pair[0], tmp_path)
    assert path.read_bytes() == before


def test_states_take_16_bits_per_value(pair: tuple[Loaded, Loaded], tmp_path: Path) -> None:
    assert keep(pair[0], tmp_path).stat().st_size == TOKENS * 32 * 2


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip, cut, empty, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".bin", ".json", ".head.safetensors"])
def test_damaged_states_are_refused_and_made_again(
    pair: tuple[Loaded, Loaded], tmp_path: Path, suffix: str, damage: object
) -> None:
    whole = measure(pair, tmp_path)
    path = tmp_path / "states" / "key.bin"
    assert are_whole(path)
    damage(path.with_suffix(suffix))  # type: ignore[operator]
    assert not are_whole(path)
    engine = TorchEngine(pair[1], SIZE, "tree")
    with pytest.raises(DamagedStatesError, match="key"):
        engine.predict_tokens(REQUESTS, reference_states=path)
    again = measure(pair, tmp_path)
    for one, other in zip(whole, again, strict=True):
        assert one.kl.tolist() == other.kl.tolist()


@pytest.mark.parametrize(
    "header", [b"[" * 100_000, b"null", b'{"width": "wide"}', b"\xff\xfe", b'{"tokens": 1}']
)
def test_a_header_that_is_something_else_is_damage(
    pair: tuple[Loaded, Loaded], tmp_path: Path, header: bytes
) -> None:
    path = keep(pair[0], tmp_path)
    path.with_suffix(".json").write_bytes(header)
    assert not are_whole(path)


def test_a_header_that_was_edited_is_damage(pair: tuple[Loaded, Loaded], tmp_path: Path) -> None:
    path = keep(pair[0], tmp_path)
    header = path.with_suffix(".json")
    header.write_text(header.read_text().replace('"constant":1.0', '"constant":2.0'))
    assert not are_whole(path)


def test_states_of_other_requests_are_refused(pair: tuple[Loaded, Loaded], tmp_path: Path) -> None:
    path = keep(pair[0], tmp_path)
    with pytest.raises(DamagedStatesError, match=f"holds {TOKENS} tokens and not {TOKENS - 4}"):
        TorchEngine(pair[1], SIZE, "tree").predict_tokens(REQUESTS[1:], reference_states=path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes: the closest to a full disk that a process can do to itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# The states take 3 KiB here, and the head takes 48.
@pytest.mark.parametrize("room", [1000, 10_000])
def test_a_disk_without_room_for_the_states_or_the_head_is_an_error_and_not_a_crash(
    pair: tuple[Loaded, Loaded], tmp_path: Path, room: int
) -> None:
    with largest_file(room), pytest.raises(InputError, match=r"cannot be stored: .*Make room on the disk"):
        keep(pair[0], tmp_path)
    assert are_whole(keep(pair[0], tmp_path))


def test_heads_of_other_vocabularies_are_refused(
    pair: tuple[Loaded, Loaded], tmp_path: Path, tiny_llama: Path
) -> None:
    path = keep(pair[0], tmp_path)
    grown = load(tiny_llama, dtype="float32", device="cpu")
    grown.model.resize_token_embeddings(400)
    with pytest.raises(InputError, match="its head predicts 400 tokens and that of its reference 384"):
        TorchEngine(grown, SIZE, "plain").predict_tokens(REQUESTS, reference_states=path)


def test_a_token_that_the_candidate_thinks_impossible_diverges_without_bound() -> None:
    sure = torch.tensor([[0.0, 0.0, -200.0]])
    scores = compare(torch.zeros(1, 3), sure, torch.tensor([2]))
    assert scores[2] == pytest.approx(200 / 3 - np.log(3) + np.log(2), rel=1e-5)


def test_divergence_over_a_large_vocabulary_is_exact_to_a_few_millionths() -> None:
    draw = torch.Generator().manual_seed(0)
    before = torch.randn(6, 250_000, generator=draw) * 4
    after = before + torch.randn(before.shape, generator=draw)
    p, q = (log_softmax(logits.double().numpy(), -1) for logits in (before, after))
    tokens = torch.randint(250_000, (6,), generator=draw)
    at = np.arange(6), tokens.numpy()
    scores = compare(before, after, tokens).double().numpy()
    assert scores[:2] == pytest.approx(np.stack([-q[at], -p[at]]), abs=1e-5)
    assert scores[2] == pytest.approx((np.exp(p) * (p - q)).sum(-1), abs=1e-5)
    assert scores[3] == pytest.approx((np.exp(q) * (q - p)).sum(-1), abs=1e-5)
    assert scores[4] == pytest.approx(np.exp(q[at]) - np.exp(p[at]), abs=1e-7)
