"""Perplexity against the definition, computed with plain transformers."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kick.checkpoints import Loaded, load
from kick.data.corpora import Corpus, load_corpus
from kick.engines.torch.forward import Forward
from kick.errors import InputError
from kick.harness.perplexity import (
    PerplexityPlan,
    Stretch,
    TextScorer,
    make_perplexity_plan,
    perplexity_scores,
    score_windows,
)
from kick.store import Journal
from kick.types import BatchSize
from tests.data_root import make_data_root
from tests.tiny import save_model

TEXT = "the answer to the question is in the text. " * 60


@pytest.fixture(scope="module")
def llama(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, dtype="float32", device="cpu")


def _scorer(loaded: Loaded, tokens: int = 1) -> TextScorer:
    return TextScorer(Forward(loaded.model, "plain"), BatchSize(tokens=tokens, rows=1))


def _plan(loaded: Loaded, **settings: int | None) -> PerplexityPlan:
    defaults: dict[str, int | None] = {"window": 300, "windows": None, "fits": 4096, "seed": 1}
    return make_perplexity_plan(Corpus("text", TEXT), loaded.tokenizer, **{**defaults, **settings})  # type: ignore[arg-type]


def test_perplexity_is_that_of_the_definition(llama: Loaded, tiny_llama: Path, tmp_path: Path) -> None:
    plan = _plan(llama)
    items = score_windows(_scorer(llama), plan, Journal(tmp_path / "j"), lambda _: None)

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
    tokens = [token for window in _plan(llama).windows for token in window]
    assert tokens.count(llama.tokenizer.bos_token_id) == 1
    assert tokens[0] == llama.tokenizer.bos_token_id


def test_the_tail_that_fills_no_window_is_dropped(llama: Loaded) -> None:
    total = len(llama.tokenizer(TEXT).input_ids)
    plan = _plan(llama)
    assert len(plan.windows) == total // 300
    assert {len(window) for window in plan.windows} == {300}
    assert _plan(llama, windows=2).windows == plan.windows[:2]


def test_a_model_whose_logits_are_soft_capped_is_scored_with_its_cap(tmp_path: Path) -> None:
    capped = load(save_model(tmp_path / "gemma3", "gemma3", scale=10), dtype="float32", device="cpu")
    capped.model.config.final_logit_softcapping = 2.0
    scorer = _scorer(capped)
    assert scorer.forward.head.rule == "final_logit_softcapping"
    ids = torch.arange(5, 205)[None]
    assert scorer.mean_loss(tuple(range(5, 205))) == pytest.approx(
        capped.model(ids, labels=ids).loss.item(), rel=1e-5
    )


def test_a_loss_that_is_not_finite_is_reported_as_such(llama: Loaded, tmp_path: Path) -> None:
    broken = load(save_model(tmp_path / "m"), dtype="float32", device="cpu")
    broken.model.get_output_embeddings().weight.data[7] = math.inf
    items = score_windows(_scorer(broken), _plan(broken), Journal(tmp_path / "j"), lambda _: None)
    assert not math.isfinite(perplexity_scores(items)["perplexity"])


def test_windows_answered_before_a_kill_are_not_computed_again(llama: Loaded, tmp_path: Path) -> None:
    journal, plan, steps = Journal(tmp_path / "j"), _plan(llama), []
    whole = score_windows(_scorer(llama), plan, journal, steps.append)
    lines = journal.path.read_text().splitlines(keepends=True)
    journal.path.write_text("".join(lines[:2]))
    steps.clear()
    again = score_windows(_scorer(llama), plan, journal, steps.append)
    assert steps == [2] + [1] * (len(plan.windows) - 2)
    assert again.equals(whole)


def test_the_hash_follows_the_window_their_number_and_the_text(llama: Loaded) -> None:
    other = Corpus("text", TEXT.replace("text", "book"))
    plans = [
        _plan(llama),
        _plan(llama, windows=1),
        _plan(llama, window=200),
        make_perplexity_plan(other, llama.tokenizer, window=300, windows=None, fits=None, seed=1),
    ]
    assert len({plan.info.hash for plan in plans}) == len(plans)


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
    plan = make_perplexity_plan(corpus, llama.tokenizer, window=20, windows=None, fits=None, seed=1)
    assert len(plan.windows) == 256


def test_the_loss_of_the_last_tokens_is_that_of_the_whole_less_that_of_the_first(llama: Loaded) -> None:
    tokens = llama.tokenizer(TEXT)["input_ids"][:300]
    scorer = _scorer(llama)
    whole, first = scorer.mean_loss(tokens), scorer.mean_loss(tokens[:141])
    assert scorer.mean_loss(tokens, 159) == pytest.approx((299 * whole - 140 * first) / 159, rel=1e-5)


def test_windows_that_go_through_together_lose_what_they_lose_alone(llama: Loaded, tmp_path: Path) -> None:
    plan = _plan(llama, window=100)
    assert [len(batch) for batch in plan.batches(BatchSize(tokens=250, rows=1))][:2] == [2, 2]
    alone = score_windows(_scorer(llama), plan, Journal(tmp_path / "alone"), lambda _: None)
    steps: list[int] = []
    together = score_windows(_scorer(llama, 250), plan, Journal(tmp_path / "together"), steps.append)
    assert together["nll"].tolist() == pytest.approx(alone["nll"].tolist(), rel=1e-6)
    assert steps[:2] == [0, 2]


def test_stretches_of_unequal_length_do_not_change_each_other(llama: Loaded) -> None:
    tokens = llama.tokenizer(TEXT)["input_ids"]
    stretches = [Stretch(tokens[:9], 3), Stretch(tokens[:200]), Stretch(tokens[5:60], 1)]
    scorer = _scorer(llama)
    alone = [scorer.losses([stretch])[0] for stretch in stretches]
    assert scorer.losses(stretches) == pytest.approx(alone, rel=1e-5)


def test_logits_are_never_held_for_a_whole_window(llama: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kick.engines.torch.head.PRODUCT", 40 * 384)
    scorer, sizes = _scorer(llama), []
    handle = llama.model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: sizes.append(logits.shape[-2])
    )
    loss = scorer.mean_loss(llama.tokenizer(TEXT)["input_ids"][:300])
    handle.remove()
    assert math.isfinite(loss)
    assert max(sizes) == 40
    assert sum(sizes) == 299
