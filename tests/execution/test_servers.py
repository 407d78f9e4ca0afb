"""A checkpoint that a server runs, from suite to cells: what is kept, and what never is."""

from pathlib import Path

import pytest

pytest.importorskip("openai", reason="the package openai is not installed")

from kick.comparison import compare
from kick.errors import InputError
from tests.engines.openai.servers import DropsThePrompt, Honest, serving
from tests.execution.bed import Bed


def test_a_served_model_is_scored_next_to_the_reference_on_torch_and_the_key_is_kept_nowhere(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KICK_OPENAI_API_KEY", "a-secret-key")
    bed.keys["series"] = []
    with serving(Honest(bed.folder / "model")) as url:
        bed.keys["checkpoints"].append(
            {"id": "served", "model": url, "tokenizer": "model", "engine": "openai", "weights_of": "dense"}
        )
        summary = bed.run()
        assert (summary.scored, summary.unmeasured) == (4, 0)
        assert bed.run().reused == 4
    record = summary.store.checkpoint("served")
    assert record is not None
    assert record.description is None
    assert record.loading[0] == f"run by {url} (honest), model tiny"
    comparison = compare(summary.store, "dense", "served", "kick_mmlu")
    assert comparison.flips is not None
    assert comparison.flips.lost == comparison.flips.gained == 0
    assert comparison.engine_floor is not None
    assert comparison.engine_floor.checkpoint == "served"
    for path in (bed.folder / "results").rglob("*"):
        assert path.is_dir() or b"a-secret-key" not in path.read_bytes()


def test_what_a_server_cannot_measure_is_said_and_its_texts_are_scored(bed: Bed) -> None:
    bed.keys["series"] = []
    with serving(DropsThePrompt(bed.folder / "model")) as url:
        bed.keys["checkpoints"].append(
            {"id": "served", "model": url, "tokenizer": "model", "engine": "openai", "weights_of": "dense"}
        )
        summary = bed.run()
    assert (summary.scored, summary.unmeasured) == (3, 1)
    store = summary.store
    cells = [store.cell(checkpoint, "kick_squad") for checkpoint in ("dense", "served")]
    texts = [list(store.items(cell)["response"]) for cell in cells if cell]
    assert texts[0] == texts[1]
    record = store.checkpoint("served")
    assert record is not None
    assert "drops the log-probabilities of the prompt" in record.not_measured["kick_mmlu"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"model": "http://user:word@127.0.0.1:1/v1", "engine": "openai"}, "must hold no user, password"),
        ({"model": "http://127.0.0.1:1/v1", "tokenizer": "model"}, "Set `engine: openai`"),
        ({"model": "http://127.0.0.1:1/v1", "engine": "openai"}, "cannot be reached"),
        ({"model": "model", "engine": "openai"}, "Give its address as the model"),
    ],
)
def test_a_server_that_cannot_be_asked_is_refused_before_anything_is_scored(
    bed: Bed, entry: dict[str, object], message: str
) -> None:
    entry = {"engine_args": {"retries": 0}, **entry} if "engine" in entry else entry
    bed.keys["checkpoints"].append({"id": "served", **entry})
    with pytest.raises(InputError, match=message):
        bed.run()
    assert not (bed.folder / "results" / "cells").exists()


def test_a_server_without_a_tokenizer_is_asked_for_one(bed: Bed) -> None:
    with serving(Honest(bed.folder / "model")) as url:
        bed.keys["checkpoints"].append({"id": "served", "model": url, "engine": "openai"})
        with pytest.raises(InputError, match="requests are made of token ids. Set `tokenizer`"):
            bed.run()


def test_another_address_is_another_checkpoint(bed: Bed) -> None:
    folder: Path = bed.folder / "model"
    fingerprints = []
    bed.keys["series"] = []
    for _ in range(2):
        with serving(Honest(folder)) as url:
            entry = {"id": "served", "model": url, "tokenizer": "model", "engine": "openai"}
            bed.keys["checkpoints"][1:] = [entry]
            record = bed.run(tasks=["kick_squad"]).store.checkpoint("served")
            assert record is not None
            fingerprints.append(record.fingerprint)
    assert fingerprints[0] != fingerprints[1]
