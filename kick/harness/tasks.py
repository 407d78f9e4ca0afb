"""lm-eval task objects, loaded once and serving every checkpoint of a suite."""

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.utils import env as templates

from kick.files import digest
from kick.suite.catalog import Catalog, CatalogTask, FunctionName, packaged_tasks
from kick.types import TaskInfo

if TYPE_CHECKING:
    from kick.harness.entailment import EntailmentModel


@dataclass(frozen=True)
class LoadedTask:
    """A task with its data in memory."""

    info: TaskInfo
    task: ConfigurableTask
    config_hash: str
    """A hash of prompts, targets, choices, generation settings, metrics, and the functions that are named."""

    entailment: "EntailmentModel | None" = None
    """The model that judges whether summaries follow from their articles; None: that is not measured."""


def load_tasks(
    names: Sequence[str],
    catalog: Catalog,
    *,
    include: Sequence[Path] = (),
    data_root: Path | None = None,
    tokenizer: Path | None = None,
) -> list[LoadedTask]:
    """Load tasks of the catalog with their data.

    Args:
        names: the names of the tasks.
        catalog: where they are declared.
        include: the folders of the catalog besides the packaged one.
        data_root: a local mirror of the data; the hub if None.
        tokenizer: the folder of the reference, for tasks whose items are chosen by their length in tokens.

    Raises:
        InputError: data are missing (from `kick.data.datasets`).
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    _keep_templates()
    if not names:
        return []
    metadata = {"tokenizer": str(tokenizer)} if tokenizer else None
    manager = TaskManager(
        include_path=[packaged_tasks(), *include], include_defaults=False, metadata=metadata
    )
    entries = [{"task": name, **_data_overrides(catalog.tasks[name].config, data_root)} for name in names]
    loaded = manager.load([{"group": "kick_suite", "task": entries}])["tasks"]
    return [_loaded(catalog, name, loaded[name]) for name in names]


def _keep_templates() -> None:
    """Let lm-eval compile a template once; once per document took longer than scoring a small model."""
    if not hasattr(templates.from_string, "cache_info"):
        templates.from_string = functools.lru_cache(maxsize=4096)(templates.from_string)


def _loaded(catalog: Catalog, name: str, task: ConfigurableTask) -> LoadedTask:
    if task.config.num_fewshot is None:
        task.set_config(key="num_fewshot", value=0)
    return LoadedTask(catalog.tasks[name].info, task, _config_hash(catalog.tasks[name]))


def _config_hash(declared: CatalogTask) -> str:
    """Return a hash of all that the YAML says and of the source of every function that it names."""
    config = {key: value for key, value in declared.config.items() if key != "metadata"}
    sources = [function.source().decode("latin-1") for function in _functions(declared.config)]
    return digest(json.dumps(config, sort_keys=True, default=str), declared.info.model_dump_json(), sources)


def _functions(value: object) -> list[FunctionName]:
    if isinstance(value, FunctionName):
        return [value]
    if isinstance(value, Mapping):
        return [function for part in value.values() for function in _functions(part)]
    if isinstance(value, list):
        return [function for part in value for function in _functions(part)]
    return []


def _data_overrides(config: Mapping[str, Any], data_root: Path | None) -> dict[str, Any]:
    if data_root is None:
        return {}
    return {"dataset_kwargs": {**(config.get("dataset_kwargs") or {}), "data_root": str(data_root)}}
