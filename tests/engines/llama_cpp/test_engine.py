"""llama.cpp next to torch, on the same random weights: the same numbers, whatever is shared or was interrupted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from kick.checkpoints import load
from kick.engines.base import (
    EngineOrder,
    Generate,
    LoadedEngine,
    LogLikelihood,
    ModelFiles,
    Request,
    Score,
)
from kick.engines.llama_cpp import ENGINE
from kick.engines.llama_cpp.engine import LlamaCppEngine
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.store import Journal
from kick.types import BatchSize
from tests.engines.llama_cpp.files import TEXT, save_gguf, save_llama
from tests.tiny import tokenizer

SIZE = BatchSize(tokens=8192, rows=16)
WORDS = tokenizer()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def torch_engine(model: Path) -> TorchEngine:
    return TorchEngine(load(model, dtype="float32", device="cpu"), SIZE, "plain")


def on_llama(model: Path, packing: str = "F32", size: BatchSize = SIZE, **arguments: Any) -> LoadedEngine:
    """A file in llama.cpp: with nothing in 16 bits, if the arguments do not say otherwise."""
    exact = {"threads": 1, "kv_type": "f32", "flash_attention": False}
    order = EngineOrder({**exact, **arguments}, size, "cpu")
    return ENGINE.load(ModelFiles(save_gguf(model, packing), model, "float32"), order)


def ids(text: str) -> tuple[int, ...]:
    return tuple(WORDS(text)["input_ids"])


def continued(text: str) -> tuple[int, ...]:
    return tuple(WORDS(text, add_special_tokens=False)["input_ids"])


HEADER = ids(f"{TEXT}: " * 3)
REQUESTS: list[Request] = [
    *(
        Score((*HEADER, *continued(context)), continued(choice))
        for context in (" who is it?", " what, then, is in the text? " + TEXT, " where?")
        for choice in (" the", " the text", " in", " in the answer to the question")
    ),
    Score(ids("the"), continued(" answer")),
    Generate((*HEADER, *continued(" the answer is")), ("e",), 12),
    Generate((*HEADER, *continued(" where")), (), 9),
    Generate(ids("the question"), (" the",), 12, temperature=1.0, seed=3),
    Generate((*HEADER, *continued(" where")), (), 9),
]


def test_float_weights_give_the_numbers_of_torch(model: Path, torch_engine: TorchEngine) -> None:
    ours = on_llama(model).engine.answer(REQUESTS)
    theirs = torch_engine.answer(REQUESTS)
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, LogLikelihood):
            assert isinstance(other, LogLikelihood)
            assert one.value == pytest.approx(other.value, abs=1e-3)
            assert one.greedy == other.greedy
        else:
            assert one == other


def test_what_is_shared_does_not_change_the_numbers(model: Path) -> None:
    engine = on_llama(model).engine
    together = engine.answer(REQUESTS[:12])
    alone = [engine.answer([request])[0] for request in REQUESTS[:12]]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, LogLikelihood)
        assert isinstance(other, LogLikelihood)
        assert one.value == pytest.approx(other.value, abs=1e-4)


def test_a_run_that_was_interrupted_gives_the_very_numbers_of_one_that_was_not(
    model: Path, tmp_path: Path
) -> None:
    engine = on_llama(model, kv_type="q8_0", flash_attention=True).engine
    whole = engine.answer(REQUESTS)
    entries = Journal(tmp_path / "whole.jsonl", "key")
    engine.answer(REQUESTS, entries)
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) > 2
    for kept in range(len(lines)):
        path = tmp_path / f"{kept}.jsonl"
        path.write_bytes(b"".join(lines[:kept]))
        assert engine.answer(REQUESTS, Journal(path, "key")) == whole


def test_a_quantized_cache_changes_the_numbers_a_little(model: Path) -> None:
    scores = [request for request in REQUESTS if isinstance(request, Score)]

    def values(kv_type: str) -> list[float]:
        flash = kv_type != "f32"
        responses = on_llama(model, kv_type=kv_type, flash_attention=flash).engine.answer(scores)
        return [response.value for response in responses if isinstance(response, LogLikelihood)]

    exact = values("f32")
    off = {
        kind: max(abs(a - b) for a, b in zip(exact, values(kind), strict=True))
        for kind in ("f16", "q8_0", "q4_0")
    }
    assert 0 < off["f16"] < off["q8_0"] < off["q4_0"] < 5


def test_divergence_from_the_reference_in_torch_is_exact(
    model: Path, torch_engine: TorchEngine, tmp_path: Path
) -> None:
    scores = [request for request in REQUESTS if isinstance(request, Score)]
    torch_engine.predict_tokens(scores, keep=tmp_path / "states.bin")
    itself = on_llama(model).engine.predict_tokens(scores, reference_states=tmp_path / "states.bin")
    assert max(float(abs(one.kl).max()) for one in itself) < 1e-3
    assert min(float(one.same_top.min()) for one in itself) == 1
    packed = on_llama(model, "Q8_0").engine
    assert isinstance(packed, LlamaCppEngine)
    responses = packed.predict_tokens(scores, reference_states=tmp_path / "states.bin")
    for request, response in zip(scores, responses, strict=True):
        tokens = [*request.context, *request.continuation[:-1]]
        first = len(request.context) - 1
        with packed.context(len(tokens)) as context:
            ((_, logits),) = context.extend(tokens, range(first, len(tokens)))
        with torch.inference_mode():
            own = torch_engine.model(input_ids=torch.tensor([tokens])).logits[0, first:]
        p, q = (rows.double().log_softmax(-1) for rows in (own, logits))
        exact = (p.exp() * (p - q)).sum(-1)
        assert exact.max() > 1e-4
        losses = [-float(q[i, token]) for i, token in enumerate(request.continuation)]
        # The reference's states are kept in 16 bits.
        assert response.kl == pytest.approx(exact.numpy(), abs=2e-3)
        assert response.nll == pytest.approx(losses, abs=1e-4)


def test_windows_of_a_text_are_run_by_themselves(model: Path, torch_engine: TorchEngine) -> None:
    tokens = ids(TEXT * 20)
    windows = [Score(tokens[start : start + 1], tokens[start + 1 : start + 64]) for start in (0, 64, 128)]
    ours = on_llama(model).engine.answer(windows, alone=True)
    theirs = torch_engine.answer(windows, alone=True)
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, LogLikelihood)
        assert isinstance(other, LogLikelihood)
        assert one.value == pytest.approx(other.value, abs=1e-2)


def test_smaller_batches_are_other_batches(model: Path) -> None:
    order = EngineOrder({}, SIZE, "cpu")
    smaller = replace(order, batch=BatchSize(tokens=SIZE.tokens // 4, rows=4))
    assert ENGINE.plan(order).batching != ENGINE.plan(smaller).batching


def test_another_models_tokenizer_is_refused(model: Path, tmp_path: Path) -> None:
    tokenizer(["quite another text, about other things"]).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is not that of the GGUF file: .* tokens differ"):
        ENGINE.load(ModelFiles(save_gguf(model), tmp_path, "float32"), EngineOrder({}, SIZE, "cpu"))


def test_a_file_that_llama_cpp_cannot_load_is_refused_with_its_reason(model: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(save_gguf(model).read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"short.gguf cannot be loaded by llama.cpp: .+"):
        ENGINE.load(ModelFiles(short, model, "float32"), EngineOrder({}, SIZE, "cpu"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kv_type": "q9"}, "engine_args of llama-cpp: kv_type: "),
        ({"kv_typ": "q8_0"}, "kv_typ: unknown key. Did you mean 'kv_type'"),
        ({"threads": 0}, "threads: "),
    ],
)
def test_an_argument_that_is_not_valid_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ENGINE.plan(EngineOrder(arguments, SIZE, "cpu"))


def test_a_cache_that_the_model_does_not_take_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match="makes no context .* of type q8_0: "):
        # Heads of 8 values are less than a block of Q8_0.
        on_llama(tiny_llama, kv_type="q8_0", flash_attention=True).engine.answer([Score((1,), (2,))])
