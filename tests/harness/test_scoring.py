"""Scores equal plain lm-eval's on the same YAML, item by item; and what kick adds to them."""

import math
from pathlib import Path
from typing import Any

import lm_eval
import pandas as pd
import pytest
import torch
from kick.harness.model import KickLM
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer

from kick.checkpoints import load
from kick.harness.plan import make_plan
from kick.harness.scoring import mean_scores, score_task
from kick.harness.tasks import LoadedTask, load_tasks
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


@pytest.fixture(scope="module")
def ours(
    tasks: dict[str, LoadedTask], tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pd.DataFrame]:
    journals = tmp_path_factory.mktemp("journals")
    lm = KickLM(load(tiny_llama, dtype="float32", device="cpu"), BATCH, "tree")
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    frames = {}
    for name, task in tasks.items():
        plan = make_plan(task, tokenizer, window=4096, limit=LIMIT, seed=SEED)
        frames[name] = score_task(lm, task, plan, Journal(journals / name), lambda _: None)
    return frames


@pytest.fixture(scope="module")
def theirs(tasks: dict[str, LoadedTask], ours: dict[str, pd.DataFrame], tiny_llama: Path) -> dict[str, Any]:
    """Plain lm-eval with its own model class on the items that kick drew."""
    return lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2),
        tasks=[task.task for task in tasks.values()],
        samples={name: frame["doc_id"].tolist() for name, frame in ours.items()},
        fewshot_random_seed=SEED,
        bootstrap_iters=0,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_equals_plain_lm_eval(
    tasks: dict[str, LoadedTask], ours: dict[str, pd.DataFrame], theirs: dict[str, Any], name: str
) -> None:
    scores = mean_scores(tasks[name].info, ours[name])
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
            assert item["response"] == sample["filtered_resps"][0]


@pytest.mark.parametrize("name", NAMES)
def test_items_have_the_columns_of_the_store(
    ours: dict[str, pd.DataFrame], tasks: dict[str, LoadedTask], name: str
) -> None:
    assert [*ours[name].columns] == [*ITEM_COLUMNS, *tasks[name].info.metrics]


def test_items_carry_the_group_that_makes_them_dependent(ours: dict[str, pd.DataFrame]) -> None:
    assert set(ours["kick_mmlu"]["group"]) <= {"abstract_algebra", "high_school_us_history", "virology"}
    assert ours["kick_freebaseqa"]["group"].is_unique


def test_an_item_whose_likelihood_is_not_a_number_is_wrong(
    tasks: dict[str, LoadedTask], tiny_llama: Path, tmp_path: Path
) -> None:
    broken = load(tiny_llama, dtype="float32", device="cpu")
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(math.nan)
    plan = make_plan(tasks["kick_mmlu"], broken.tokenizer, window=4096, limit=None, seed=SEED)
    items = score_task(
        KickLM(broken, BATCH, "tree"), tasks["kick_mmlu"], plan, Journal(tmp_path / "j"), lambda _: None
    )
    assert items["acc"].tolist() == [0.0] * len(items)
