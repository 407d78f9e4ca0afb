"""The data that a suite reads: what a mirror for a machine without a network has to hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kick.data.corpora import CALIBRATION, SOURCES
from kick.data.datasets import FreebaseqaFile, HubSplit
from kick.data.mirror import Need
from kick.errors import InputError
from kick.suite.catalog import CatalogTask, read_catalog
from kick.suite.suite import Suite


def needs(suite: Suite) -> list[Need]:
    """Return the files that the tasks, the perplexity and the calibration of a suite read, in the order of the suite.

    Raises:
        InputError: a task loads its data by itself (lm-eval's `dataset_path`), so a data root is of no use to it.
    """
    catalog = read_catalog([Path(folder) for folder in suite.include_path])
    users: dict[str, tuple[HubSplit | FreebaseqaFile, list[str]]] = {}
    for name in suite.tasks:
        for origin in _origins(catalog.tasks[name]):
            users.setdefault(origin.file, (origin, []))[1].append(name)
    for name in suite.perplexity.datasets if suite.perplexity else ():
        if name in SOURCES:
            users.setdefault(SOURCES[name].file, (SOURCES[name], []))[1].append(f"perplexity_{name}")
    for checkpoint in suite.checkpoints:
        for step in checkpoint.recipe.steps if checkpoint.recipe else ():
            if step.calibration and step.calibration.data in CALIBRATION:
                origin = CALIBRATION[step.calibration.data]
                names = users.setdefault(origin.file, (origin, []))[1]
                names += ["calibration"] if "calibration" not in names else []
    return [Need(origin=origin, tasks=tuple(tasks)) for origin, tasks in users.values()]


def _origins(task: CatalogTask) -> Sequence[HubSplit | FreebaseqaFile]:
    data: Mapping[str, Any] = task.config.get("dataset_kwargs") or {}
    function = str(task.config.get("custom_dataset") or "")
    if not function:
        raise InputError(
            f"{task.path}: {task.info.name} loads its data by lm-eval's dataset_path, which reads no data root. Load "
            "them with `custom_dataset: !function kick.data.datasets.load`, or leave the task out of the suite."
        )
    splits = [*data.get("splits", ()), *([data["shots_split"]] if "shots_split" in data else [])]
    if "freebaseqa" in function.rpartition(".")[2]:
        return [FreebaseqaFile(split=split, commit=data["commit"]) for split in splits]
    # Documents of kick's own world are made, and not fetched.
    if "path" not in data:
        return []
    return [
        HubSplit(
            repository=data["path"],
            config=data.get("name", "default"),
            split=split,
            commit=data.get("commit"),
        )
        for split in splits
    ]
