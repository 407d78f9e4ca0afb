"""One task on one checkpoint, through `lm_eval.evaluator.evaluate`: its items and scores."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from lm_eval.evaluator import evaluate

from kick.errors import InputError
from kick.harness.model import KickLM, Progress
from kick.harness.plan import Plan
from kick.harness.tasks import LoadedTask
from kick.store import Journal
from kick.types import TaskInfo


def score_task(
    lm: KickLM, loaded: LoadedTask, plan: Plan, journal: Journal, progress: Progress
) -> pd.DataFrame:
    """Score the items of a plan.

    Returns:
        One row an item, with the columns of `kick.store.ITEM_COLUMNS` and one a metric.

    An item with a log-likelihood that is not a number scores 0 in every metric: it answers nothing.
    """
    lm.follow(plan, journal, progress)
    loaded.task.set_fewshot_seed(plan.info.seed)
    name = loaded.info.name
    results = evaluate(
        lm=lm,
        task_dict={"tasks": {name: loaded.task}},
        samples={name: list(plan.doc_ids)},
        bootstrap_iters=0,
        log_samples=True,
        cache_requests=False,
        apply_chat_template=False,
        fewshot_as_multiturn=False,
        system_instruction=None,
    )
    samples = results["samples"][name]
    if len(samples) != len(plan.doc_ids):
        raise InputError(
            f"{name}: its filter_list makes several scores an item. kick scores tasks with one filter."
        )
    return pd.DataFrame([_item(loaded, sample) for sample in samples])


def mean_scores(task: TaskInfo, items: pd.DataFrame) -> dict[str, float]:
    """The mean of every metric over the items."""
    return {metric: float(items[metric].mean()) for metric in task.metrics}


def _item(loaded: LoadedTask, sample: Mapping[str, Any]) -> dict[str, Any]:
    generated = loaded.task.OUTPUT_TYPE == "generate_until"
    responses = sample["filtered_resps"]
    log_likelihoods = [] if generated else [float(response[0]) for response in responses]
    answered = all(not math.isnan(value) for value in log_likelihoods)
    group_by = loaded.info.group_by
    return {
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "prompt_hash": sample["prompt_hash"],
        "target_hash": sample["target_hash"],
        "group": str(sample["doc"][group_by]) if group_by else str(sample["doc_id"]),
        "prompt": sample["arguments"][0][0],
        "target": _target(loaded, sample),
        "response": responses[0] if generated else "",
        "choice_logprobs": log_likelihoods,
        **{metric: float(sample[metric]) if answered else 0.0 for metric in loaded.info.metrics},
    }


def _target(loaded: LoadedTask, sample: Mapping[str, Any]) -> str:
    """The expected answer as a reader wants to see it; alternatives are separated by ` | `."""
    target = sample["target"]
    if loaded.task.config.doc_to_choice is not None and isinstance(target, int):
        return str(loaded.task.doc_to_choice(sample["doc"])[target])
    return " | ".join(str(part) for part in target) if isinstance(target, list) else str(target)
