"""Perplexity against the definition, computed with plain transformers."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kick.checkpoints import Loaded, load
from kick.data.corpora import Corpus, load_corpus
from kick.engines.base import LogLikelihood, Score
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.harness.perplexity import WindowsWork, perplexity_scores, plan_windows
from kick.harness.work import Journals, KeptStates, score_cell
from kick.store import Journal
from kick.types import BatchSize
from tests.data_root import make_data_root
from tests.tiny import save_model

TEXT = "the answer to the question is in the text. " * 60


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


def _engine(loaded: Loaded, tokens: int = 1) -> TorchEngine:
    return TorchEngine(loaded, BatchSize(tokens=tokens, rows=1), "tree")


def _loss(loaded: Loaded, request: Score) -> float:
    (response,) = _engine(loaded).answer([request], alone=True)
    assert isinstance(response, LogLikelihood)
    return -response.value / len(request.continuation)


def _plan(loaded: Loaded, **settings: int | None) -> WindowsWork:
    defaults: dict[str, int | None] = {"window": 300, "windows": None, "fits": 4096, "seed": 1}
    return plan_windows(Corpus("text", TEXT), loaded.tokenizer, **{**defaults, **settings})  # type: ignore[arg-type]


def test_perplexity_is_that_of_the_definition(llama: Loaded, tiny_llama: Path) -> None:
    work = _plan(llama)
    items = work.score(work.answer(_engine(llama), None, None))

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    ids = torch.tensor(AutoTokenizer.from_pretrained(tiny_llama)(TEXT).input_ids)
    losses = []
    for start in range(0, len(ids) // 300 * 300, 300):
        window = ids[start : start + 300][None]
        losses.append(model(window, labels=window).loss.item())

    assert items["nll"].tolist() == pytest.approx(losses, rel=1e-5)
    assert perplexity_scores(items)["perplexity"] == pytest.approx(
        math.exp(sum(losses) / len(losses)), rel=1e-5
    )


def test_there_is_one_bos_at_the_start_of_the_text_and_no_other(llama: Loaded) -> None:
    windows = _plan(llama).requests
    tokens = [token for window in windows for token in (*window.context, *window.continuation)]
    assert tokens.count(llama.tokenizer.bos_token_id) == 1
    assert tokens[0] == llama.tokenizer.bos_token_id


def test_the_tail_that_fills_no_window_is_dropped(llama: Loaded) -> None:
    total = len(llama.tokenizer(TEXT).input_ids)
    work = _plan(llama)
    assert work.steps == total // 300
    assert {window.span for window in work.requests} == {300}
    assert _plan(llama, windows=2).requests == work.requests[:2]


def test_a_model_whose_logits_are_soft_capped_is_scored_with_its_cap(tmp_path: Path) -> None:
    capped = load(save_model(tmp_path / "gemma3", "gemma3", scale=10), dtype="float32", device="cpu")
    capped.model.config.final_logit_softcapping = 2.0
    assert _engine(capped).forward.head.rule == "final_logit_softcapping"
    ids = torch.arange(5, 205)[None]
    expected = capped.model(ids, labels=ids).loss.item()
    assert _loss(capped, Score((5,), tuple(range(6, 205)))) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_is_reported_as_such(llama: Loaded, tmp_path: Path) -> None:
    broken = load(save_model(tmp_path / "m"), dtype="float32", device="cpu")
    broken.model.get_output_embeddings().weight.data[7] = math.inf
    work = _plan(broken)
    items = work.score(work.answer(_engine(broken), None, None))
    assert not math.isfinite(perplexity_scores(items)["perplexity"])


def test_windows_answered_before_a_kill_are_not_computed_again(llama: Loaded, tmp_path: Path) -> None:
    journal, work, steps = Journal(tmp_path / "j", "key"), _plan(llama), []
    whole = work.answer(_engine(llama), journal, steps.append)
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join(lines[:2]))
    steps.clear()
    again = work.answer(_engine(llama), journal, steps.append)
    assert steps == [2] + [1] * (work.steps - 2)
    assert again == whole


def test_the_hash_follows_the_window_their_number_and_the_text(llama: Loaded) -> None:
    other = Corpus("text", TEXT.replace("text", "book"))
    plans = [
        _plan(llama),
        _plan(llama, windows=1),
        _plan(llama, window=200),
        plan_windows(other, llama.tokenizer, window=300, windows=None, fits=None, seed=1),
    ]
    assert len({work.info.hash for work in plans}) == len(plans)


def test_a_window_that_does_not_fit_is_refused(llama: Loaded) -> None:
    with pytest.raises(InputError, match="do not fit the model's window of 100"):
        _plan(llama, fits=100)
    with pytest.raises(InputError, match="fewer than one window of 4000"):
        _plan(llama, window=4000)


def test_wikitext_is_joined_by_blank_lines(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = make_data_root(tmp_path)
    file = root / "Salesforce__wikitext/wikitext-2-raw-v1/test.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": [" = Title = \n", "", " Text . \n"]}), file)
    assert load_corpus("wikitext2", root).text == " = Title = \n\n\n\n\n Text . \n"


def test_c4_is_its_first_1100_documents_joined_by_spaces_and_256_windows_at_most(
    llama: Loaded, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "allenai__c4/en/validation.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"text": [f"document {at}" for at in range(1200)]}), file)
    corpus = load_corpus("c4", tmp_path)
    assert corpus.text == " ".join(f"document {at}" for at in range(1100))
    work = plan_windows(corpus, llama.tokenizer, window=20, windows=None, fits=None, seed=1)
    assert work.steps == 256


def test_the_loss_of_the_last_tokens_is_that_of_the_whole_less_that_of_the_first(llama: Loaded) -> None:
    tokens = tuple(llama.tokenizer(TEXT)["input_ids"][:300])
    whole, first = (_loss(llama, Score(tokens[:1], tokens[1:end])) for end in (300, 141))
    last = _loss(llama, Score(tokens[:141], tokens[141:]))
    assert last == pytest.approx((299 * whole - 140 * first) / 159, rel=1e-5)


def test_windows_that_go_through_together_lose_what_they_lose_alone(llama: Loaded) -> None:
    work, steps = _plan(llama, window=100), list[int]()
    alone = work.score(work.answer(_engine(llama), None, None))
    together = work.score(work.answer(_engine(llama, 250), None, steps.append))
    assert together["nll"].tolist() == pytest.approx(alone["nll"].tolist(), rel=1e-6)
    assert steps[0] == 0
    assert sum(steps) == work.steps > len(steps)


def test_windows_lose_the_same_where_divergence_is_measured_and_are_run_once(
    llama: Loaded, tmp_path: Path
) -> None:
    work, engine = _plan(llama, window=100), _engine(llama, 250)
    alone = work.score(work.answer(engine, None, None))
    path = tmp_path / "states" / "key.bin"
    for own in (True, False):
        responses, tokens = (Journal(tmp_path / f"{own}-{kind}", "key") for kind in ("responses", "tokens"))
        cell = score_cell(
            engine, work, Journals(responses, tokens), lambda _: None, KeptStates(path, "dense", own)
        )
        assert cell.items["nll"].tolist() == pytest.approx(alone["nll"].tolist(), rel=1e-7)
        assert not responses.path.exists()
    assert cell.divergence is not None
    assert cell.items["kl"].tolist() == pytest.approx([0] * work.steps, abs=1e-5)


def test_damaged_states_of_the_reference_are_refused_with_what_to_do(llama: Loaded, tmp_path: Path) -> None:
    work, engine = _plan(llama, window=100), _engine(llama, 250)
    states = KeptStates(tmp_path / "states" / "key.bin", "dense", own=False)
    journals = Journals(*(Journal(tmp_path / kind, "key") for kind in ("responses", "tokens")))
    with pytest.raises(InputError, match=r"its divergence from dense cannot be measured: .*without --only"):
        score_cell(engine, work, journals, lambda _: None, states)


def test_logits_are_never_held_for_a_whole_window(llama: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kick.engines.torch.head.PRODUCT", 40 * 384)
    engine, sizes = _engine(llama), list[int]()
    tokens = tuple(llama.tokenizer(TEXT)["input_ids"][:300])
    handle = llama.model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: sizes.append(logits.shape[-2])
    )
    engine.answer([Score(tokens[:1], tokens[1:])], alone=True)
    handle.remove()
    assert max(sizes) == 40
    assert sum(sizes) == 299
