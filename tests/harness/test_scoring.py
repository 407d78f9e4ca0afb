"""Scores equal plain lm-eval's on the same YAML, item by item; and what kick adds to them."""

import math
import os
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pandas as pd
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from kick.checkpoints import Loaded, load
from kick.engines.base import Completion, LogLikelihood
from kick.engines.torch import TorchEngine
from kick.errors import InputError
from kick.harness.encoding import Encoder
from kick.harness.plan import make_plan, render
from kick.harness.scoring import TaskWork
from kick.harness.tasks import LoadedTask, load_tasks
from kick.harness.work import Journals, KeptStates, score_cell
from kick.store import ITEM_COLUMNS, Journal
from kick.suite.catalog import read_catalog
from kick.types import BatchSize
from tests.data_root import make_data_root

NAMES = ["kick_freebaseqa", "kick_mmlu", "kick_hotpotqa", "kick_squad", "kick_cnn_dailymail"]
LIMIT, SEED = 4, 7
BATCH = BatchSize(tokens=4096, rows=16)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedTask]:
    root = make_data_root(tmp_path_factory.mktemp("data"))
    return {task.info.name: task for task in load_tasks(NAMES, read_catalog(), data_root=root)}


def plan(task: LoadedTask, loaded: Loaded, limit: int | None = LIMIT) -> TaskWork:
    encoder = Encoder(loaded.tokenizer)
    return TaskWork(task, make_plan(render(task, limit, SEED), encoder, window=4096), encoder, 4096)


def score(work: TaskWork, engine: TorchEngine) -> pd.DataFrame:
    return work.score(work.answer(engine, None, None))


@pytest.fixture(scope="module")
def ours(
    tasks: dict[str, LoadedTask], tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pd.DataFrame]:
    loaded = load(tiny_llama, dtype="float32", device="cpu")
    engine = TorchEngine(loaded, BATCH, "tree")
    return {name: score(plan(task, loaded), engine) for name, task in tasks.items()}


@pytest.fixture(scope="module")
def theirs(tasks: dict[str, LoadedTask], ours: dict[str, pd.DataFrame], tiny_llama: Path) -> dict[str, Any]:
    """Plain lm-eval with its own model class on the items that kick drew."""
    return lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2),
        tasks=[task.task for task in tasks.values()],
        samples={name: frame["doc_id"].tolist() for name, frame in ours.items()},
        fewshot_random_seed=SEED,
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_equals_plain_lm_eval(
    tasks: dict[str, LoadedTask], ours: dict[str, pd.DataFrame], theirs: dict[str, Any], name: str
) -> None:
    metrics = tasks[name].info.metrics
    scores = {metric: float(ours[name][metric].mean()) for metric in metrics}
    assert scores == {metric: pytest.approx(theirs["results"][name][f"{metric},none"]) for metric in scores}


@pytest.mark.parametrize("name", NAMES)
def test_every_item_equals_plain_lm_eval(
    ours: dict[str, pd.DataFrame], theirs: dict[str, Any], name: str
) -> None:
    samples = {sample["doc_id"]: sample for sample in theirs["samples"][name]}
    assert len(ours[name]) == LIMIT
    for item in ours[name].to_dict("records"):
        sample = samples[item["doc_id"]]
        assert item["prompt"] == sample["arguments"][0][0]
        for column in ("doc_hash", "prompt_hash", "target_hash"):
            assert item[column] == sample[column]
        if name == "kick_mmlu":
            expected = [value for value, _ in sample["filtered_resps"]]
            assert item["choice_logprobs"] == pytest.approx(expected, abs=1e-4)
        else:
            assert item["response"] == sample["filtered_resps"][0].lstrip()


@pytest.mark.parametrize("name", NAMES)
def test_items_have_the_columns_of_the_store(
    ours: dict[str, pd.DataFrame], tasks: dict[str, LoadedTask], name: str
) -> None:
    choice = ["right_probability", "brier", "confidence", "confident_right"] if name == "kick_mmlu" else []
    assert [*ours[name].columns] == [*ITEM_COLUMNS, *choice, *tasks[name].info.metrics]


def test_choices_have_the_probability_of_the_most_probable_one(ours: dict[str, pd.DataFrame]) -> None:
    for item in ours["kick_mmlu"].to_dict("records"):
        spread = torch.softmax(torch.tensor(item["choice_logprobs"], dtype=torch.float64), 0)
        gold = torch.tensor([float(letter == item["target"]) for letter in "ABCD"], dtype=torch.float64)
        assert item["confidence"] == pytest.approx(float(spread.max()), abs=1e-12)
        assert item["confident_right"] == item["acc"]
        assert item["brier"] == pytest.approx(float(((spread - gold) ** 2).sum()), abs=1e-12)


def test_a_choice_has_the_probability_of_its_right_option(ours: dict[str, pd.DataFrame]) -> None:
    for item in ours["kick_mmlu"].to_dict("records"):
        likelihoods = np.exp(item["choice_logprobs"])
        right = "ABCD".index(item["target"])
        assert item["right_probability"] == pytest.approx(likelihoods[right] / likelihoods.sum())
        assert item["acc"] == float(np.argmax(likelihoods) == right)


def test_items_carry_the_group_that_makes_them_dependent(ours: dict[str, pd.DataFrame]) -> None:
    assert set(ours["kick_mmlu"]["group"]) <= {"abstract_algebra", "high_school_us_history", "virology"}
    assert ours["kick_freebaseqa"]["group"].is_unique


def test_an_item_whose_likelihood_is_not_a_number_is_wrong(
    tasks: dict[str, LoadedTask], tiny_llama: Path
) -> None:
    broken = load(tiny_llama, dtype="float32", device="cpu")
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(math.nan)
    work = plan(tasks["kick_mmlu"], broken, limit=None)
    items = score(work, TorchEngine(broken, BATCH, "tree"))
    assert items["acc"].tolist() == [0.0] * len(items)
    assert items["right_probability"].tolist() == [0.0] * len(items)


def test_an_item_says_whether_its_budget_ended_the_response(
    tasks: dict[str, LoadedTask], tiny_llama: Path
) -> None:
    work = plan(tasks["kick_squad"], load(tiny_llama, dtype="float32", device="cpu"))
    responses = [Completion("Paris", cut=place == 1) for place in range(LIMIT)]
    assert work.score(responses)["cut"].tolist() == [False, True, False, False]


def test_checkpoints_that_share_a_plan_do_not_see_each_other_s_responses(
    tasks: dict[str, LoadedTask], tiny_llama: Path
) -> None:
    work = plan(tasks["kick_squad"], load(tiny_llama, dtype="float32", device="cpu"))
    for text in ("Paris", "London"):
        items = work.score([Completion(text, cut=False)] * LIMIT)
        assert items["response"].tolist() == [text] * LIMIT
    assert all(not instance.resps for item in work.plan.items for instance in item.instances)


def test_divergence_is_measured_on_the_right_answers_of_the_items_that_are_scored(
    tasks: dict[str, LoadedTask], tiny_llama: Path, tmp_path: Path
) -> None:
    loaded = load(tiny_llama, dtype="float32", device="cpu")
    engine = TorchEngine(loaded, BATCH, "tree")
    for name in ("kick_mmlu", "kick_squad"):
        work, path = plan(tasks[name], loaded), tmp_path / "states" / f"{name}.bin"
        cells = []
        for own in (True, False):
            journals = Journals(
                *(Journal(tmp_path / f"{name}-{own}-{kind}", "key") for kind in ("responses", "tokens"))
            )
            cells.append(score_cell(engine, work, journals, lambda _: None, KeptStates(path, "dense", own)))
        reference, candidate = cells
        assert reference.divergence is None
        assert candidate.divergence is not None
        assert candidate.divergence.kl == pytest.approx(0, abs=1e-5)
        assert reference.items.equals(candidate.items[reference.items.columns])
        answers = work.right_answers().requests
        assert len(answers) == LIMIT
        for item, answer in zip(work.plan.items, answers, strict=True):
            assert answer.context == item.requests[0].context
        if name == "kick_mmlu":
            gold = [task_gold(work, item.instances[0].doc) for item in work.plan.items]
            assert answers == tuple(
                item.requests[right] for item, right in zip(work.plan.items, gold, strict=True)
            )


def task_gold(work: TaskWork, doc: dict[str, Any]) -> int:
    gold = work.loaded.task.doc_to_target(doc)
    assert isinstance(gold, int)
    return gold


FILTERED = """
task: filtered
custom_dataset: !function kick.data.datasets.load
dataset_kwargs: {path: stanfordnlp/web_questions, splits: [test]}
test_split: test
output_type: generate_until
doc_to_text: "Q: {{question}} A:"
doc_to_target: "{{answers[0]}}"
generation_kwargs: {until: ["?"], max_gen_toks: 8, do_sample: %s, temperature: 1.0}
repeats: %d
filter_list:
  - name: strict-match
    filter: [{function: regex, regex_pattern: "#### (.+)"}, {function: take_first}]
  - name: flexible-extract
    filter: [{function: regex, group_select: -1, regex_pattern: "([a-z]+)"}, {function: take_first}]
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
metadata: {version: 1, family: factoid_qa, metric: "%s"}
"""


def filtered_task(
    tmp_path: Path, repeats: int = 1, sampled: str = "false", metric: str = "exact_match"
) -> LoadedTask:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "filtered.yaml").write_text(FILTERED % (sampled, repeats, metric))
    data = make_data_root(tmp_path / "data")
    return load_tasks(["filtered"], read_catalog([folder]), include=[folder], data_root=data)[0]


def test_every_filter_of_a_task_is_scored_and_metrics_of_the_second_carry_its_name(
    tmp_path: Path, tiny_llama: Path
) -> None:
    task = filtered_task(tmp_path)
    assert task.info.metrics == ("exact_match", "exact_match,flexible-extract")
    work = plan(task, load(tiny_llama, dtype="float32", device="cpu"))
    targets = [item.instances[0].doc["answers"][0] for item in work.plan.items]
    responses = [Completion(f"it is {targets[0].lower()}", cut=False)]
    responses += [Completion(f"#### {target}", cut=False) for target in targets[1:]]
    items = work.score(responses)
    assert items["exact_match"].tolist() == [0.0, 1.0, 1.0, 1.0]
    last = [target.lower().split()[-1] == target.lower() for target in targets]
    assert items["exact_match,flexible-extract"].tolist() == [float(one) for one in last]
    assert items["response"].tolist() == [response.text for response in responses]
    assert work.scores(items)["exact_match"] == 0.75


@pytest.mark.parametrize("repeats", [1, 3])
def test_filters_and_repeats_are_scored_as_by_plain_lm_eval(
    tmp_path: Path, tiny_llama: Path, repeats: int
) -> None:
    task = filtered_task(tmp_path, repeats)
    loaded = load(tiny_llama, dtype="float32", device="cpu")
    items = score(plan(task, loaded), TorchEngine(loaded, BATCH, "tree"))
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2),
        tasks=[task.task],
        samples={"filtered": items["doc_id"].tolist()},
        fewshot_random_seed=SEED,
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    for sample in results["samples"]["filtered"]:
        (item,) = items[items["doc_id"] == sample["doc_id"]].to_dict("records")
        further = "" if sample["filter"] == "strict-match" else f",{sample['filter']}"
        assert item[f"exact_match{further}"] == sample["exact_match"]
        assert len(sample["resps"][0]) == repeats
        assert item["response"] == sample["resps"][0][0].lstrip()


def test_repeats_of_a_drawn_request_draw_other_tokens(tmp_path: Path, tiny_llama: Path) -> None:
    loaded = load(tiny_llama, dtype="float32", device="cpu")
    work = plan(filtered_task(tmp_path, 3, "true"), loaded)
    assert work.steps == 3 * LIMIT
    texts = [r.text for r in work.answer(TorchEngine(loaded, BATCH, "tree"), None, None)]  # type: ignore[union-attr]
    assert len(set(texts[:3])) == 3


def test_a_task_may_be_read_by_its_second_filter(tmp_path: Path) -> None:
    assert filtered_task(tmp_path, metric="exact_match,flexible-extract").info.metric.endswith("extract")


def test_a_metric_of_no_filter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'exact_match,flexible' is not in metric_list"):
        filtered_task(tmp_path, metric="exact_match,flexible")


def test_a_metric_that_process_results_does_not_give_is_refused(
    tasks: dict[str, LoadedTask], tiny_llama: Path
) -> None:
    task = tasks["kick_squad"]
    info = task.info.model_copy(update={"metrics": (*task.info.metrics, "charm")})
    work = plan(
        LoadedTask(info, task.task, task.config_hash), load(tiny_llama, dtype="float32", device="cpu")
    )
    with pytest.raises(InputError, match=r"metric_list names \['charm'\]"):
        work.score([Completion("Paris", cut=False)] * LIMIT)


def test_the_kind_of_a_task_is_read_from_its_output_type(tasks: dict[str, LoadedTask]) -> None:
    kinds = {name: task.info.kind for name, task in tasks.items()}
    assert kinds == {name: "choice" if name == "kick_mmlu" else "generation" for name in NAMES}


def test_the_choices_of_an_item_are_scored_in_order(tasks: dict[str, LoadedTask], tiny_llama: Path) -> None:
    work = plan(tasks["kick_mmlu"], load(tiny_llama, dtype="float32", device="cpu"))
    responses = [LogLikelihood(-float(place), greedy=False) for place in range(work.steps)]
    items = work.score(responses)
    assert [value for row in items["choice_logprobs"] for value in row] == [r.value for r in responses]


GSM8K = """
include: {yaml}
task: gsm8k_here
dataset_path: parquet
dataset_name: null
dataset_kwargs: {{data_files: {{train: {data}/test.parquet, test: {data}/test.parquet}}}}
num_fewshot: 1
generation_kwargs: {{until: ["Question:"], do_sample: false, max_gen_toks: 16}}
"""


@pytest.mark.real
def test_lm_eval_s_own_gsm8k_is_scored_by_both_of_its_filters(tiny_llama: Path, tmp_path: Path) -> None:
    data = Path(os.environ["KICK_DATA_ROOT"]) / "openai__gsm8k" / "main"
    yaml = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml"
    (tmp_path / "gsm8k.yaml").write_text(GSM8K.format(yaml=yaml, data=data))
    task = load_tasks(["gsm8k_here"], read_catalog([tmp_path]), include=[tmp_path])[0]
    assert task.info.metrics == ("exact_match", "exact_match,flexible-extract")
    loaded = load(tiny_llama, dtype="float32", device="cpu")
    work = plan(task, loaded)
    items = score(work, TorchEngine(loaded, BATCH, "tree"))
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2),
        tasks=[task.task],
        samples={"gsm8k_here": items["doc_id"].tolist()},
        fewshot_random_seed=SEED,
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    samples = results["samples"]["gsm8k_here"]
    assert [sample["filter"] for sample in samples] == ["strict-match"] * LIMIT + ["flexible-extract"] * LIMIT
    texts = [sample["resps"][0][0].lstrip() for sample in samples[:LIMIT]]
    assert items["response"].tolist() == texts
    right = [f"It is {item.instances[0].doc['answer'].split()[-1]}" for item in work.plan.items]
    scored = work.score([Completion(text, cut=False) for text in right])
    assert scored["exact_match"].tolist() == [0.0] * LIMIT
    assert scored["exact_match,flexible-extract"].tolist() == [1.0] * LIMIT
