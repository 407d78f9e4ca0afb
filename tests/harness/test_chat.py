"""Prompts become conversations as lm-eval makes them, and no template costs an item its question."""

import shutil
from pathlib import Path
from typing import Any

import lm_eval
import pandas as pd
import pytest
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerBase

from kick.checkpoints import load
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.harness.chat import ChatFormat, ChatRenderer
from kick.harness.encoding import Encoder
from kick.harness.plan import make_plan, render
from kick.harness.scoring import TaskWork
from kick.harness.tasks import LoadedTask, load_tasks
from kick.suite.catalog import read_catalog
from kick.types import BatchSize
from tests.data_root import make_data_root
from tests.tiny import tokenizer

NAMES = ["kick_freebaseqa", "kick_mmlu", "kick_squad"]
LIMIT, SEED, SYSTEM = 3, 7, "Answer briefly."
# Llama's way: a BOS, and a header for each turn.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who wrote Emma?"}]


def renderer(template: str, **settings: Any) -> ChatRenderer:
    return ChatRenderer(ChatFormat(template, **settings), tokenizer())


@pytest.fixture(scope="module")
def chat_model(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(tiny_llama, tmp_path_factory.mktemp("chat") / "model"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedTask]:
    root = make_data_root(tmp_path_factory.mktemp("data"))
    return {task.info.name: task for task in load_tasks(NAMES, read_catalog(), data_root=root)}


@pytest.mark.parametrize("fewshot_as", ["turns", "message"])
def test_prompts_and_scores_equal_lm_eval_s_chat_template(
    tasks: dict[str, LoadedTask], chat_model: Path, fewshot_as: Any
) -> None:
    loaded = load(chat_model, dtype="float32", device="cpu")
    engine = TorchEngine(loaded, BatchSize(tokens=4096, rows=16), "tree")
    chat = ChatRenderer(ChatFormat(TEMPLATE, SYSTEM, fewshot_as), loaded.tokenizer)
    encoder = Encoder(loaded.tokenizer)
    ours: dict[str, pd.DataFrame] = {}
    for name, task in tasks.items():
        plan = make_plan(render(task, LIMIT, SEED, chat), encoder, window=None)
        work = TaskWork(task, plan, encoder, None)
        ours[name] = work.score(work.answer(engine, None, None))

    theirs = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(chat_model), device="cpu", dtype="float32", max_length=2**14),
        tasks=[task.task for task in tasks.values()],
        samples={name: frame["doc_id"].tolist() for name, frame in ours.items()},
        fewshot_random_seed=SEED,
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
        apply_chat_template=True,
        system_instruction=SYSTEM,
        fewshot_as_multiturn=fewshot_as == "turns",
    )

    for name, frame in ours.items():
        samples = {sample["doc_id"]: sample for sample in theirs["samples"][name]}
        for item in frame.to_dict("records"):
            sample = samples[item["doc_id"]]
            assert item["prompt"] == sample["arguments"][0][0]
            assert SYSTEM in item["prompt"]
            if name == "kick_mmlu":
                expected = [value for value, _ in sample["filtered_resps"]]
                assert item["choice_logprobs"] == pytest.approx(expected, abs=1e-4)
            else:
                assert item["response"] == sample["filtered_resps"][0].lstrip()


def test_a_conversation_begins_with_one_bos(tasks: dict[str, LoadedTask], chat_model: Path) -> None:
    words: PreTrainedTokenizerBase = load(chat_model, dtype="float32", device="cpu").tokenizer
    chat = ChatRenderer(ChatFormat(TEMPLATE), words)
    plan = make_plan(render(tasks["kick_squad"], LIMIT, SEED, chat), Encoder(words), window=None)
    assert [request.context.count(words.bos_token_id) for request in plan.requests] == [1] * LIMIT
    assert all(request.context[0] == words.bos_token_id for request in plan.requests)


def test_the_plan_of_a_conversation_is_another_plan(tasks: dict[str, LoadedTask], chat_model: Path) -> None:
    words = load(chat_model, dtype="float32", device="cpu").tokenizer
    task, encoder = tasks["kick_squad"], Encoder(words)
    raw = make_plan(render(task, LIMIT, SEED), encoder, window=None).info
    asked, told = (
        make_plan(render(task, LIMIT, SEED, ChatRenderer(chat, words)), encoder, window=None).info
        for chat in (ChatFormat(TEMPLATE), ChatFormat(TEMPLATE, SYSTEM))
    )
    assert raw.chat is None
    assert len({raw.hash, asked.hash, told.hash}) == 3
    assert len({raw.chat, asked.chat, told.chat}) == 3


def test_a_system_message_that_a_template_refuses_goes_in_front_of_the_user_s_first() -> None:
    refusing = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + TEMPLATE
    )
    chat = renderer(refusing)
    assert chat(TURNS) == "<s>[user] Be brief.\n\nWho wrote Emma?</s>\n[assistant] "
    assert chat.folded


def test_a_system_message_that_a_template_drops_goes_there_too() -> None:
    dropping = TEMPLATE.replace(
        "{% for message in messages %}", "{% for message in messages if message['role'] != 'system' %}"
    )
    chat = renderer(dropping)
    assert "Be brief." in chat(TURNS)
    assert chat.folded


def test_a_system_message_that_a_template_takes_stays_one() -> None:
    chat = renderer(TEMPLATE)
    assert chat(TURNS) == "<s>[system] Be brief.</s>\n[user] Who wrote Emma?</s>\n[assistant] "
    assert not chat.folded


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[0]['content'] + 1 }}",
        "{% for %}",
        # Out of the sandbox.
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append({'role': 'user', 'content': 'x'}) }}",
    ],
)
def test_a_template_that_fails_or_tries_to_escape_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="the chat template cannot render a prompt"):
        renderer(template)(TURNS)


def test_a_template_that_drops_the_question_is_refused() -> None:
    with pytest.raises(InputError, match="drops a message of the user"):
        renderer("{{ bos_token }}Hello.")(TURNS)


def test_variables_reach_the_template() -> None:
    template = (
        TEMPLATE + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    )
    assert renderer(template, variables={"enable_thinking": False})(TURNS).endswith("<think></think>")
    assert not renderer(template)(TURNS).endswith("<think></think>")


def test_a_template_that_prints_the_date_prints_the_same_one_every_day() -> None:
    assert renderer("{{ strftime_now('%d %b %Y') }} " + TEMPLATE)(TURNS).startswith("26 Jul 2024 ")
