"""What a model thinks before it answers is kept apart, and never scored."""

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kick.checkpoints import load
from kick.engines.torch import TorchEngine
from kick.harness.chat import ChatFormat, ChatRenderer
from kick.harness.encoding import Encoder
from kick.harness.plan import make_plan, render
from kick.harness.scoring import TaskWork
from kick.harness.tasks import LoadedTask, load_tasks
from kick.harness.thinking import Thinking
from kick.suite.catalog import read_catalog
from kick.types import BatchSize
from tests.data_root import make_data_root

THINKING = Thinking(end="</think>", budget=40)
TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}\n"
TASK = """
task: short
custom_dataset: !function kick.data.datasets.load
dataset_kwargs: {path: stanfordnlp/web_questions, splits: [test]}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answers[0]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 12, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1, family: factoid_qa, metric: exact_match}
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> LoadedTask:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "short.yaml").write_text(TASK)
    data = make_data_root(tmp_path_factory.mktemp("data"))
    return load_tasks(["short"], read_catalog([folder]), include=[folder], data_root=data)[0]


@pytest.fixture(scope="module")
def taught(task: LoadedTask, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned by heart: a thought and the answer; a thought without end; the answer; a wrong one."""
    torch.manual_seed(0)
    folder = Path(shutil.copytree(tiny_llama, tmp_path_factory.mktemp("taught") / "model"))
    loaded = load(folder, dtype="float32", device="cpu")
    encoder = Encoder(loaded.tokenizer)
    rendered = render(task, 4, 7, ChatRenderer(ChatFormat(TEMPLATE), loaded.tokenizer))
    gold = [instance.doc["answers"][0] for instance in rendered.instances]
    said = [
        f"<think>It is {gold[0]}.</think>\n{gold[0]}\nMore.</s>",
        "<think>" + "is it or is it not, " * 30,
        f"{gold[2]}</s>",
        "<think>Hm.</think>no</s>",
    ]
    prompts = [encoder.encode(instance.args[0]) for instance in rendered.instances]
    answers = [encoder.encode(text, False)[:80] for text in said]
    loaded.model.requires_grad_(True)
    optimizer = torch.optim.Adam(loaded.model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = torch.zeros(())
        for prompt, answer in zip(prompts, answers, strict=True):
            ids = torch.tensor([[*prompt, *answer]])
            labels = ids.clone()
            labels[:, : len(prompt)] = -100
            loss = loss + loaded.model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    loaded.model.save_pretrained(folder)
    return folder


def test_thoughts_are_kept_apart_and_answers_scored_without_them(task: LoadedTask, taught: Path) -> None:
    loaded = load(taught, dtype="float32", device="cpu")
    chat = ChatFormat(TEMPLATE, thinking=THINKING)
    encoder = Encoder(loaded.tokenizer)
    plan = make_plan(render(task, 4, 7, ChatRenderer(chat, loaded.tokenizer)), encoder, window=None)
    work = TaskWork(task, plan, encoder, None, thinking=THINKING)
    engine = TorchEngine(loaded, BatchSize(tokens=4096, rows=16), "tree")

    items = work.score(work.answer(engine, None, None))

    gold = items["target"].tolist()
    assert items["response"].tolist() == [gold[0], "", gold[2], "no"]
    assert items["exact_match"].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert items["thought"].tolist()[::2] == [f"It is {gold[0]}.", ""]
    assert items["thought"][1].startswith("is it or is it not, is it")
    assert items["cut_off"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert items["cut"].tolist() == [False, True, False, False]
    lengths = [len(encoder.encode(thought, False)) for thought in items["thought"]]
    assert items["thought_tokens"].tolist() == lengths
    assert work.task.metrics == ("exact_match", "thought_tokens", "cut_off")
    assert work.scores(items) == pytest.approx(
        {"exact_match": 0.5, "thought_tokens": sum(lengths) / 4, "cut_off": 0.25}
    )


def test_a_model_that_may_think_is_asked_for_more_and_stopped_by_nothing_but_its_end(
    task: LoadedTask, tiny_llama: Path
) -> None:
    loaded = load(tiny_llama, dtype="float32", device="cpu")
    encoder = Encoder(loaded.tokenizer)
    plans = [
        make_plan(
            render(task, 2, 7, ChatRenderer(ChatFormat(TEMPLATE, thinking=thinking), loaded.tokenizer)),
            encoder,
            window=None,
        )
        for thinking in (None, THINKING)
    ]
    plain, thinking = (plan.requests[0] for plan in plans)
    assert (plain.budget, thinking.budget) == (12, 52)
    assert "\n" in plain.stop
    assert thinking.stop == ("</s>",)
    assert plans[0].info.hash != plans[1].info.hash


words = st.text(alphabet="abc \n.", max_size=20)


@given(words, words)
def test_what_follows_the_end_of_the_thoughts_is_the_answer(thought: str, answer: str) -> None:
    for opening in ("<think>", "\n<think>\n", ""):
        split = THINKING.split("Q", f"{opening}{thought}</think>{answer}")
        assert (split.text, split.answer, split.cut_off) == (thought.strip(), answer.lstrip(), False)


@given(words)
def test_thoughts_without_end_are_no_answer(thought: str) -> None:
    for prompt, text in (("Q", f"<think>{thought}"), ("Q\n<think>\n", thought)):
        split = THINKING.split(prompt, text)
        assert (split.text, split.answer, split.cut_off) == (thought.strip(), "", True)


@given(words)
def test_without_thoughts_all_is_the_answer(answer: str) -> None:
    assert THINKING.split("Q", answer).answer == answer
