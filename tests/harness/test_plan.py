"""Plans: what is drawn, how it is tokenised, and what changes the hash."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.models.huggingface import HFLM
from transformers import AutoConfig, AutoTokenizer, MambaConfig, PreTrainedTokenizerBase

from kick.engines.base import Generate, Score
from kick.engines.torch.window import context_window
from kick.errors import InputError
from kick.harness.encoding import Encoder
from kick.harness.plan import Plan, draw, make_plan, render
from kick.harness.tasks import LoadedTask, load_tasks
from kick.suite.catalog import read_catalog
from tests.data_root import make_data_root


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> LoadedTask:
    root = make_data_root(tmp_path_factory.mktemp("data"))
    return load_tasks(["kick_squad"], read_catalog(), data_root=root)[0]


def plan(
    loaded: LoadedTask,
    tokenizer: PreTrainedTokenizerBase,
    *,
    limit: int | None,
    seed: int,
    window: int | None = None,
) -> Plan:
    return make_plan(render(loaded, limit, seed), Encoder(tokenizer), window=window)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200), st.integers())
def test_a_larger_limit_adds_items_to_those_of_a_smaller_one(total: int, a: int, b: int, seed: int) -> None:
    few, many = (set(draw(total, limit, seed)) for limit in sorted((a, b)))
    assert few <= many
    assert len(few) == min(min(a, b), total)


def test_the_seed_decides_which_items_are_drawn() -> None:
    assert draw(1000, 20, seed=1) == draw(1000, 20, seed=1) == sorted(draw(1000, 20, seed=1))
    assert draw(1000, 20, seed=1) != draw(1000, 20, seed=2)


@pytest.mark.parametrize(
    ("context", "continuation"),
    [("Question: who?\nAnswer:", " nobody"), ("ends in a space ", "then"), ("the", " answer"), ("", "text")],
)
def test_requests_are_tokenised_as_hflm_does(
    tiny_llama: Path, tokenizer: PreTrainedTokenizerBase, context: str, continuation: str
) -> None:
    hflm = HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32")
    seen = []
    hflm._loglikelihood_tokens = lambda requests, **_: seen.extend(requests)
    hflm.loglikelihood([_Instance((context, continuation))], disable_tqdm=True)
    score = Encoder(tokenizer).score(context, continuation)
    assert ([*score.context], [*score.continuation]) == seen[0][1:]
    tokens, _ = hflm.tok_batch_encode([context or " "])
    assert Encoder(tokenizer).generate(context or " ", {"until": []}).context == tuple(tokens[0].tolist())


@given(context=st.text(max_size=20), continuation=st.text(min_size=1, max_size=20))
def test_neither_side_of_a_scored_request_is_ever_empty(
    tokenizer: PreTrainedTokenizerBase, context: str, continuation: str
) -> None:
    score = Encoder(tokenizer).score(context, continuation)
    assert score.context
    assert score.continuation


def test_a_token_that_spans_the_join_goes_to_the_continuation(tokenizer: PreTrainedTokenizerBase) -> None:
    whole = tokenizer("the")["input_ids"]
    assert len(whole) == 2, "the test needs 'the' to be one token"
    score = Encoder(tokenizer).score("th", "e")
    assert [*score.context, *score.continuation] == whole


def test_options_that_kick_does_not_apply_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(InputError, match="repetition_penalty"):
        Encoder(tokenizer).generate("a", {"until": ["."], "repetition_penalty": 1.2})
    with pytest.raises(InputError, match="top_p"):
        Encoder(tokenizer).generate("a", {"until": ["."], "do_sample": True, "temperature": 1, "top_p": 0.9})


@pytest.mark.parametrize("temperature", [{}, {"temperature": 0}, {"temperature": -1.0}])
def test_drawing_without_a_temperature_is_an_error(
    tokenizer: PreTrainedTokenizerBase, temperature: dict[str, float]
) -> None:
    with pytest.raises(InputError, match="above 0"):
        Encoder(tokenizer).generate("a", {"until": ["."], "do_sample": True, **temperature})


def test_prompts_draw_with_seeds_of_their_own(tokenizer: PreTrainedTokenizerBase) -> None:
    encoder, settings = Encoder(tokenizer), {"until": ["."], "do_sample": True, "temperature": 0.7}
    one = encoder.generate("a", settings, seed=1)
    assert one == encoder.generate("a", settings, seed=1)
    assert (
        len({one.seed, encoder.generate("b", settings, 1).seed, encoder.generate("a", settings, 2).seed}) == 3
    )
    assert encoder.generate("a", {"until": ["."]}, seed=1) == encoder.generate("a", {"until": ["."]}, seed=2)


def test_the_same_settings_give_the_same_hash(squad: LoadedTask, tokenizer: PreTrainedTokenizerBase) -> None:
    first, second = (plan(squad, tokenizer, limit=3, seed=1) for _ in range(2))
    assert first.info == second.info
    assert first.requests == second.requests


@pytest.mark.parametrize("change", [{"limit": 2}, {"seed": 2}])
def test_the_hash_follows_limit_and_seed(
    squad: LoadedTask, tokenizer: PreTrainedTokenizerBase, change: dict[str, int]
) -> None:
    settings = {"limit": 3, "seed": 1}
    before = plan(squad, tokenizer, **settings)
    after = plan(squad, tokenizer, **{**settings, **change})
    assert before.info.hash != after.info.hash


def test_items_that_do_not_fit_are_left_out_and_listed(
    squad: LoadedTask, tokenizer: PreTrainedTokenizerBase
) -> None:
    whole = plan(squad, tokenizer, limit=None, seed=1)
    spans = [request.span for request in whole.requests]
    window = sorted(spans)[-2]
    fitting = plan(squad, tokenizer, limit=None, seed=1, window=window)
    dropped = [index for index, span in enumerate(spans) if span > window]
    assert [skipped.doc_id for skipped in fitting.skipped] == dropped
    assert set(fitting.doc_ids).isdisjoint(dropped)
    assert fitting.info.items == len(fitting.doc_ids) == len(spans) - len(dropped)
    assert f"window is {window}" in fitting.skipped[0].reason
    kept = [request for request in whole.requests if request.span <= window]
    assert [*fitting.requests] == kept


def test_a_task_of_which_nothing_fits_is_refused(
    squad: LoadedTask, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(InputError, match="none of 6 items fits the model's window of 8 tokens"):
        plan(squad, tokenizer, limit=None, seed=1, window=8)


def test_the_window_is_read_from_the_config(tiny_llama: Path) -> None:
    assert context_window(AutoConfig.from_pretrained(tiny_llama)) == 4096
    assert context_window(MambaConfig()) is None


def test_lengths_count_what_goes_through_the_model() -> None:
    assert Score((1, 2, 3), (4, 5)).length == 4
    assert Score((1, 2, 3), (4, 5)).span == 5
    assert Generate((1, 2, 3), (), 7).span == 10


class _Instance:
    """As much of lm-eval's Instance as `HFLM.loglikelihood` reads."""

    task_name = "test"

    def __init__(self, args: tuple[str, str]) -> None:
        self.args = args
