"""Results folders for tests, without a model: what `kick run` would leave behind, with planted damage.

`make_results(path)` writes a whole suite - a dense reference, a magnitude series, an RTN series, a
checkpoint of its own - on five tasks and a perplexity text. `write_scores` writes one cell from plain
arrays and `write_pair` two, for tests that need exact tables. Everything goes through `Store`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from kick.store import Store, cell_key
from kick.types import (
    Cell,
    CellIdentity,
    Checkpoint,
    CheckpointRecord,
    Description,
    Divergence,
    Family,
    Floor,
    Floors,
    PlanInfo,
    Recipe,
    ResponseSigns,
    TaskInfo,
)

PERPLEXITY = TaskInfo(
    name="perplexity_wikitext2",
    kind="text",
    family="perplexity",
    metric="nll",
    metrics=("nll",),
    higher_is_better=False,
)
TASKS = {
    "kick_freebaseqa": TaskInfo(
        name="kick_freebaseqa", kind="generation", family="factoid_qa", metric="em", metrics=("em", "f1")
    ),
    "kick_hotpotqa": TaskInfo(
        name="kick_hotpotqa",
        kind="generation",
        family="multihop_reasoning",
        metric="em",
        metrics=("em", "f1"),
        shots=2,
    ),
    "kick_squad": TaskInfo(
        name="kick_squad",
        kind="generation",
        family="incontext_qa",
        metric="f1",
        metrics=("em", "f1"),
        group_by="title",
    ),
    "kick_cnn_dailymail": TaskInfo(
        name="kick_cnn_dailymail",
        kind="generation",
        family="summarization",
        metric="rougeL",
        metrics=("rougeL",),
    ),
    "kick_mmlu": TaskInfo(
        name="kick_mmlu",
        kind="choice",
        family="multiple_choice",
        metric="acc",
        metrics=("acc",),
        chance=0.25,
        shots=5,
        group_by="subject",
    ),
    PERPLEXITY.name: PERPLEXITY,
}
# Share of its ability that a checkpoint has lost: 0 nothing, 1 everything.
DAMAGE = {
    "dense": 0.0,
    "magnitude-0.1": 0.01,
    "magnitude-0.3": 0.08,
    "magnitude-0.5": 0.45,
    "rtn-8": 0.0,
    "rtn-4": 0.06,
    "rtn-3": 0.35,
    "w4a16": 0.05,
}


def make_results(
    path: Path,
    *,
    items: int = 400,
    windows: int = 40,
    tasks: Sequence[str] = tuple(TASKS),
    damage: Mapping[str, float] = DAMAGE,
    seed: int = 0,
) -> Store:
    """A results folder of the checkpoints in `damage` (`dense` is the reference) on `tasks`.

    Ids of the form `magnitude-<sparsity>` and `rtn-<bits>` become points of those series. Items keep their
    difficulty across checkpoints, so that scores are correlated as those of real checkpoints are; a
    checkpoint with no damage still differs from the reference on a few items.
    """
    store = Store.create(path, _suite(damage, tasks))
    for checkpoint_id in damage:
        for task in tasks:
            frame = _frame(
                TASKS[task], items, windows, damage[checkpoint_id], f"{seed}/{task}", checkpoint_id
            )
            write_scores(store, checkpoint_id, TASKS[task], frame)
    return store


def write_scores(
    store: Store,
    checkpoint: str,
    task: TaskInfo,
    frame: pd.DataFrame,
    *,
    plan: Mapping[str, Any] | None = None,
    divergence: Divergence | None = None,
    not_diverged: str | None = None,
    available: int | None = None,
    floor: float | None = None,
    signs: ResponseSigns | None = None,
    **identity: Any,
) -> Cell:
    """Write one cell and make it the checkpoint's current one.

    `frame` needs the metric columns of the task; the columns of `ITEM_COLUMNS` that it lacks are filled in
    with values that are the same for every checkpoint. `plan` and `identity` replace fields of `PlanInfo` and
    `CellIdentity`; `divergence`, `not_diverged`, `available` and `signs` are those of the cell; `floor` is the score
    of its best answerer without knowledge.
    """
    frame = _with_item_columns(frame, task)
    planned = PlanInfo(
        hash=_hash(task.name, *frame["prompt_hash"]),
        task_config=_hash("config", task.name),
        documents=_hash("documents", *frame["doc_hash"]),
        shots=task.shots,
        limit=len(frame),
        seed=1234,
        items=len(frame),
    ).model_copy(update=dict(plan or {}))
    cell_identity = CellIdentity(
        checkpoint=_weights(checkpoint),
        tokenizer=_hash("tokenizer"),
        task=task.name,
        plan=planned,
        dtype="bfloat16",
        device="cpu",
        attention="sdpa",
        tier="fast",
        versions={"kick": "0.1.0", "lm_eval": "0.4.13", "torch": "2.13.0", "transformers": "5.17.0"},
    ).model_copy(update=identity)
    scores = {metric: float(frame[metric].mean()) for metric in task.metrics}
    if task.family == "perplexity":
        scores["perplexity"] = float(np.exp(np.average(frame["nll"], weights=frame["units"])))
    cell = store.write_cell(
        Cell(
            checkpoint=checkpoint,
            task=task,
            key=cell_key(cell_identity),
            identity=cell_identity,
            scores=scores,
            items=len(frame),
            seconds=1.0,
            finished="2026-11-22T08:00:00+00:00",
            items_sha256="",
            divergence=divergence,
            not_diverged=not_diverged,
            available=available,
            floors=None if floor is None else floors_at(task, floor, len(frame)),
            signs=signs,
        ),
        frame,
    )
    known = store.checkpoint(checkpoint) or checkpoint_record(checkpoint)
    store.write_checkpoint(known.model_copy(update={"cells": {**known.cells, task.name: cell.key}}))
    return cell


def floors_at(task: TaskInfo, score: float, items: int) -> Floors:
    """Floors of which the question given back is the best."""
    return Floors(
        task=task.name,
        metric=task.metric,
        higher_is_better=task.higher_is_better,
        items=items,
        floors=(
            Floor(answerer="empty", score=0.0),
            Floor(answerer="the question given back", score=score),
        ),
    )


def diverged_from(kl: Sequence[float], reference: str = "dense") -> Divergence:
    """The statistics of as many tokens as there are items, each with one of these divergences."""
    ranks = (99.9, 99.0, 95.0, 90.0, 50.0, 10.0, 5.0, 1.0)
    mean = float(np.mean(kl))
    return Divergence(
        reference=reference,
        tokens=len(kl),
        kl=mean,
        kl_error=float(np.std(kl, ddof=1) / np.sqrt(len(kl))),
        kl_max=max(kl),
        kl_percentiles={f"{rank:g}": float(np.percentile(kl, rank)) for rank in ranks},
        reverse_kl=1.1 * mean,
        log_perplexity_ratio=mean,
        log_perplexity_ratio_error=0.1 * mean,
        delta_p=-0.1 * mean,
        delta_p_rms=0.2 * mean,
        same_top=1 - mean / 10,
        nll_correlation=0.9,
    )


def binary_task(name: str = "facts", **changes: Any) -> TaskInfo:
    """A task with one metric, `em`, that is 0 or 1."""
    family: Family = "factoid_qa"
    return TaskInfo(name=name, kind="generation", family=family, metric="em", metrics=("em",)).model_copy(
        update=changes
    )


def write_pair(
    path: Path,
    reference: Sequence[float],
    candidate: Sequence[float],
    task: TaskInfo | None = None,
    floor: float | None = None,
    **columns: Any,
) -> Store:
    """A results folder of two checkpoints, `dense` and `small`, with these scores on one task."""
    task = task or binary_task()
    store = Store.create(path, _suite(["dense", "small"], [task.name]))
    for checkpoint, values in (("dense", reference), ("small", candidate)):
        write_scores(
            store,
            checkpoint,
            task,
            pd.DataFrame({task.metric: np.asarray(values, float), **columns}),
            floor=floor,
        )
    return store


def checkpoint_record(checkpoint_id: str) -> CheckpointRecord:
    """A plausible record of a checkpoint that has no cells yet."""
    method, _, rate = checkpoint_id.rpartition("-")
    recipe = None
    if method == "magnitude":
        recipe = Recipe(method=method, sparsity=float(rate))
    elif method == "rtn":
        recipe = Recipe(method=method, bits=int(rate), group_size=128)
    elif method == "low-rank":
        recipe = Recipe(method=method, rank=float(rate))
    elif method == "layer-drop":
        recipe = Recipe(method=method, layers=int(rate))
    zeros = int(1000 * (recipe.sparsity or 0)) if recipe else 0
    return CheckpointRecord(
        checkpoint=Checkpoint(
            id=checkpoint_id,
            model=f"models/{checkpoint_id}",
            base="dense" if recipe else None,
            recipe=recipe,
            series=method if recipe else None,
        ),
        fingerprint=_weights(checkpoint_id),
        tokenizer_fingerprint=_hash("tokenizer"),
        description=Description(
            architecture="LlamaForCausalLM",
            parameters=2000,
            nonzero=2000 - zeros,
            linear_parameters=1000,
            linear_zeros=zeros,
            sparsity=zeros / 1000,
            sparsity_min=zeros / 1000,
            sparsity_max=zeros / 1000,
            bytes_on_disk=4000,
            bits_per_weight=16.0,
            stored_dtypes={"bfloat16": 2000},
        ),
    )


def _weights(checkpoint_id: str) -> str:
    """The fingerprint of a checkpoint; a noise run is of the same weights as its reference."""
    return _hash("weights", checkpoint_id.partition("@")[0])


def _suite(checkpoints: Iterable[str], tasks: Sequence[str]) -> str:
    """What `kick run` keeps of a suite: series expanded, task names resolved."""
    listed = [
        checkpoint_record(name).checkpoint.model_dump(mode="json", exclude_none=True) for name in checkpoints
    ]
    scored = [task for task in tasks if TASKS.get(task) is not PERPLEXITY]
    suite = {"name": "synthetic", "reference": "dense", "checkpoints": listed, "tasks": scored, "seed": 1234}
    if len(scored) < len(tasks):
        suite["perplexity"] = {"datasets": ["wikitext2"], "window": 2048}
    return yaml.safe_dump(suite, sort_keys=False)


def _frame(
    task: TaskInfo, items: int, windows: int, damage: float, world: str, checkpoint: str
) -> pd.DataFrame:
    shared = np.random.default_rng(int(_hash("world", world), 16))  # the same for every checkpoint
    own = np.random.default_rng(int(_hash("own", world, checkpoint), 16))
    if task.family == "perplexity":
        # What damage costs grows faster than linearly and differs from window to window.
        text = shared.normal(3.0, 0.25, windows)
        cost = 2.0 * damage**1.5 * shared.uniform(0.7, 1.3, windows) + 0.002 * own.normal(size=windows)
        return pd.DataFrame({"nll": text + cost, "units": np.full(windows, 2047)})
    groups = max(items // 8, 2)
    group = shared.integers(0, groups, items)
    ability = shared.normal(0.4, 1.0, items) + 0.5 * shared.normal(size=groups)[group]
    ability = ability - 3.0 * damage * shared.uniform(0.4, 1.6, items)
    ability = ability + (0.08 + 2 * damage) * own.normal(size=items)
    right = (ability > 0).astype(float)
    quality = 1 / (1 + np.exp(-2 * ability))
    columns: dict[str, Any] = {}
    if task.group_by:
        columns["group"] = [f"{task.group_by} {index}" for index in group]
    if task.family == "multiple_choice":
        gold = shared.integers(0, 4, items)
        lures = (gold + 1 + shared.integers(0, 3, items)) % 4
        logprobs = shared.normal(-4, 0.5, (items, 4))
        logprobs[np.arange(items), np.where(right == 1, gold, lures)] = -1 - np.exp(-np.abs(ability))
        columns |= {"acc": right, "choice_logprobs": list(logprobs), "target": [str(index) for index in gold]}
        return pd.DataFrame(columns)
    if task.family == "summarization":
        return pd.DataFrame({"rougeL": np.round(0.1 + 0.35 * quality, 4)} | columns)
    columns["em"] = right
    columns["f1"] = np.where(right == 1, 1.0, np.round(np.where(quality > 0.2, quality, 0.0), 2))
    columns["target"] = [f"answer {index}" for index in range(items)]
    lure = own.integers(0, 3, items)
    columns["response"] = [
        f"answer {index}" if right[index] else f"guess {lure[index]}" for index in range(items)
    ]
    return pd.DataFrame(columns)


def _with_item_columns(frame: pd.DataFrame, task: TaskInfo) -> pd.DataFrame:
    n = len(frame)
    documents = frame["doc_id"].tolist() if "doc_id" in frame else list(range(n))
    blank = {
        "doc_id": documents,
        "doc_hash": [_hash(task.name, "doc", index) for index in documents],
        "prompt_hash": [_hash(task.name, "prompt", index) for index in documents],
        "target_hash": [_hash(task.name, "target", index) for index in documents],
        "group": [None] * n,
        "prompt": [f"Question {index}?" for index in documents],
        "target": [""] * n,
        "response": [""] * n,
        "cut": [False] * n,
        "choice_logprobs": [np.array([])] * n,
    }
    return pd.DataFrame({**{name: values for name, values in blank.items() if name not in frame}, **frame})


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
