"""The torch engine against plain lm-eval and against `generate`, on random models of several architectures."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from kick.checkpoints import Loaded, load
from kick.engines.base import Completion, Engine, LogLikelihood
from kick.engines.torch import TorchEngine
from kick.engines.torch.tiers import choose_tier
from kick.harness.encoding import Encoder, encode_requests
from kick.store import Journal
from kick.types import BatchSize, Tier
from tests.engines.torch.watch import at_most
from tests.tiny import CONFIGS, MORE_CONFIGS, save_model

HEADER = "".join(f"Question {n}: is the answer in the text?\nAnswer: the answer is {n}\n\n" for n in range(6))
CONTEXTS = (
    "Who kept the lighthouse?\nAnswer:",
    "the answer to the question is in the text, and the text is long enough to fill more than one window:",
    "a",
    *(f"{HEADER}Question: {word}?\nAnswer:" for word in ("who", "who is in the text", "what", "where")),
)
CHOICES = (" the", " in", " the answer", " in the text, or not")  # the first two are one token each


def size(tokens: int, rows: int = 16) -> BatchSize:
    return BatchSize(tokens=tokens, rows=rows)


@pytest.fixture(scope="module", params=[*CONFIGS, *MORE_CONFIGS])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = save_model(tmp_path_factory.mktemp("models") / request.param, request.param, scale=10)
    return load(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


def scored(contexts: Sequence[str] = CONTEXTS) -> list[Instance]:
    return [
        Instance("loglikelihood", {}, (context, choice), index, ("test", doc, 1))
        for doc, context in enumerate(contexts)
        for index, choice in enumerate(CHOICES)
    ]


def generated(
    budget: int = 12, until: Sequence[str] = ("e",), contexts: Sequence[str] = CONTEXTS
) -> list[Instance]:
    settings = {"until": list(until), "max_gen_toks": budget, "do_sample": False}
    return [
        Instance("generate_until", {}, (context, settings), 0, ("test", doc, 1))
        for doc, context in enumerate(contexts)
    ]


def log_likelihoods(
    loaded: Loaded, size: BatchSize, tier: Tier, instances: Sequence[Instance]
) -> list[tuple[float, bool]]:
    """The engine's log-likelihoods, in the form of lm-eval's model classes."""
    return _log_likelihoods(TorchEngine(loaded, size, tier), instances)


def _log_likelihoods(engine: TorchEngine, instances: Sequence[Instance]) -> list[tuple[float, bool]]:
    responses = engine.answer(encode_requests(instances, Encoder(engine.tokenizer)))
    return [(r.value, r.greedy) for r in responses if isinstance(r, LogLikelihood)]


def completions(
    loaded: Loaded, size: BatchSize, tier: Tier, instances: Sequence[Instance]
) -> list[Completion]:
    engine = TorchEngine(loaded, size, tier)
    responses = engine.answer(encode_requests(instances, Encoder(loaded.tokenizer)))
    return [response for response in responses if isinstance(response, Completion)]


def generate(loaded: Loaded, size: BatchSize, tier: Tier, instances: Sequence[Instance]) -> list[str]:
    return [completion.text for completion in completions(loaded, size, tier, instances)]


def _hflm(loaded: Loaded) -> HFLM:
    return HFLM(
        pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=2, softmax_dtype=torch.float32
    )


def _choices(answers: Sequence[tuple[float, bool]]) -> list[int]:
    values = [value for value, _ in answers]
    items = [values[start : start + len(CHOICES)] for start in range(0, len(values), len(CHOICES))]
    return [max(range(len(item)), key=item.__getitem__) for item in items]


def _by_generate(loaded: Loaded, requests: list[Instance]) -> list[str]:
    """The completions of transformers' `generate`, one row at a time, without leading white space."""
    texts = []
    for request in encode_requests(requests, Encoder(loaded.tokenizer)):
        context = torch.tensor([request.context])
        output = loaded.model.generate(context, do_sample=False, max_new_tokens=request.budget)
        text = loaded.tokenizer.decode(output[0, context.shape[1] :], skip_special_tokens=True)
        texts.append(text.lstrip())
    return texts


@pytest.fixture(scope="module")
def by_hflm(loaded: Loaded) -> list[tuple[float, bool]]:
    return _hflm(loaded).loglikelihood(scored(), disable_tqdm=True)


@pytest.mark.parametrize("tier", ["chosen", "prefix", "plain"])
@pytest.mark.parametrize("batch_tokens", [1, 100, 4096])
def test_log_likelihoods_are_those_of_hflm(
    loaded: Loaded, by_hflm: list[tuple[float, bool]], batch_tokens: int, tier: Tier
) -> None:
    recurrent = loaded.model.config.model_type == "mamba"
    chosen = choose_tier(loaded).tier
    assert chosen == ("plain" if recurrent else "tree")
    if recurrent and tier == "prefix":
        pytest.skip("a recurrent model has no keys and values")
    ours = log_likelihoods(loaded, size(batch_tokens), chosen if tier == "chosen" else tier, scored())
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in by_hflm]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in by_hflm], abs=1e-4)


def test_log_likelihoods_are_computed_in_float32_for_a_bfloat16_model(tiny_llama: Path) -> None:
    loaded = load(tiny_llama, dtype="bfloat16", device="cpu")
    values = [value for value, _ in log_likelihoods(loaded, size(64), "tree", scored())]
    representable = [float(torch.tensor(value).to(torch.bfloat16)) == value for value in values]
    assert not all(representable)


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_generations_are_those_of_generate_row_by_row(loaded: Loaded, batch_tokens: int) -> None:
    requests = generated(budget=12, until=())
    texts = generate(loaded, size(batch_tokens), choose_tier(loaded).tier, requests)
    assert texts == _by_generate(loaded, requests)


def test_every_architecture_scores_and_completes_as_hflm_and_generate_do(
    loaded: Loaded, by_hflm: list[tuple[float, bool]]
) -> None:
    """`pytest -s -k every_architecture` prints a line of a table for each."""
    tier = choose_tier(loaded).tier
    ours = log_likelihoods(loaded, size(4096), tier, scored())
    off = max(abs(a - b) for (a, _), (b, _) in zip(ours, by_hflm, strict=True))
    chosen, theirs = (_choices(answers) for answers in (ours, by_hflm))
    requests = generated(budget=12, until=())
    texts, expected = generate(loaded, size(4096), tier, requests), _by_generate(loaded, requests)
    equal = sum(a == b for a, b in zip(texts, expected, strict=True))
    same = sum(a == b for a, b in zip(chosen, theirs, strict=True))
    kind = loaded.model.config.model_type
    print(f"\n| {kind} | {tier} | {off:.1e} | {same} of {len(chosen)} | {equal} of {len(texts)} |")
    assert off <= 1e-4
    assert chosen == theirs
    assert texts == expected


def test_generations_equal_those_of_hflm_but_for_leading_white_space(loaded: Loaded) -> None:
    ours = generate(loaded, size(4096), choose_tier(loaded).tier, generated())
    theirs = _hflm(loaded).generate_until(generated(), disable_tqdm=True)
    assert ours == [text.lstrip() for text in theirs]


def test_a_row_that_ends_early_does_not_change_its_neighbours(llama: Loaded) -> None:
    free = generate(llama, size(4096), "tree", generated(24, until=()))
    stop = free[0][2:4]
    stopped = generate(llama, size(4096), "tree", generated(24, until=(stop,)))
    assert stopped == [text.split(stop)[0] for text in free]
    assert stopped[0] != free[0]


def test_rows_stop_as_soon_as_each_has_met_its_own_stop_string(llama: Loaded) -> None:
    free = generate(llama, size(4096), "tree", generated(64, until=()))
    stops = [text[1:3] for text in free]
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    engine = TorchEngine(llama, size(4096), "tree")
    handle = llama.model.base_model.register_forward_hook(count)
    engine.answer(encode_requests(generated(64, until=stops), Encoder(llama.tokenizer)))
    handle.remove()
    assert 0 < steps < 20


def test_generation_settings_of_the_checkpoint_are_not_applied(tiny_llama: Path) -> None:
    plain, penal = (load(tiny_llama, dtype="float32", device="cpu") for _ in range(2))
    penal.model.generation_config.repetition_penalty = 5.0
    texts = [generate(loaded, size(4096), "tree", generated(24, ())) for loaded in (plain, penal)]
    assert texts[0] == texts[1]


def test_responses_in_the_journal_are_not_computed_again(llama: Loaded, tmp_path: Path) -> None:
    requests = encode_requests([*scored(), *generated()], Encoder(llama.tokenizer))
    journal = Journal(tmp_path / "journal.jsonl", "key")
    engine = TorchEngine(llama, size(64), "tree")
    first = engine.answer(requests, journal)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    # Killed while the third batch was written.
    journal.path.write_bytes(b"".join(lines[:2]) + lines[2][:5])
    steps: list[int] = []
    assert engine.answer(requests, journal, steps.append) == first
    assert sum(steps) == len(requests)
    # One step for what the journal holds, and one per batch that it lacks.
    assert len(steps) == 1 + len(lines) - 2
    assert journal.path.read_bytes() == b"".join(lines)
    with at_most(llama, 0) as refused:
        assert engine.answer(requests, journal) == first
    assert refused == []


def test_an_engine_says_what_it_is_and_what_may_move_its_numbers(llama: Loaded) -> None:
    engine: Engine = TorchEngine(llama, size(64), "prefix")
    assert (engine.name, engine.version) == ("torch", torch.__version__)
    assert engine.settings == {"tier": "prefix", "batch": "64x16"}
    assert engine.capabilities == {"score", "generate", "divergence", "states"}


def test_requests_that_are_run_alone_share_nothing(llama: Loaded, tmp_path: Path) -> None:
    requests = encode_requests(scored(), Encoder(llama.tokenizer))
    plain = TorchEngine(llama, size(100), "plain").answer(requests)
    assert TorchEngine(llama, size(100), "tree").answer(requests, alone=True) == plain
