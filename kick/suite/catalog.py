"""The tasks there are, read from their YAML without lm-eval, so that a suite is checked before anything heavy loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import yaml

from kick.errors import InputError, nearest
from kick.types import Family, TaskInfo

# lm-eval's metrics that are computed from all items at once.
CORPUS_METRICS = frozenset(
    {
        "bits_per_byte",
        "bleu",
        "brier_score",
        "byte_perplexity",
        "chrf",
        "f1",
        "likelihood",
        "mcc",
        "perplexity",
        "ter",
    }
    | {"word_perplexity"}
)


@dataclass(frozen=True)
class CatalogTask:
    """A task as its YAML declares it."""

    info: TaskInfo
    path: Path
    config: Mapping[str, Any]  # with its includes merged; `!function` values as `FunctionName`

    @property
    def items(self) -> int | None:
        """The items of the pinned split, as the task states them; None where the tokenizer or the mirror decides."""
        metadata, data = (self.config.get(key) or {} for key in ("metadata", "dataset_kwargs"))
        items: int | None = metadata.get("items", data.get("items"))
        return items


@dataclass(frozen=True)
class Catalog:
    """Every task and group below some folders."""

    tasks: Mapping[str, CatalogTask]
    groups: Mapping[str, tuple[str, ...]]

    def expand(self, names: Sequence[str], where: str) -> tuple[str, ...]:
        """Task names for task and group names, each once and in order.

        Raises:
            InputError: a name is neither a task nor a group; `where` says in which file and key.
        """
        expanded: dict[str, None] = {}
        waiting, opened = list(names), set[str]()
        while waiting:
            name = waiting.pop(0)
            if name in self.tasks:
                expanded[name] = None
            elif name in self.groups:
                if name not in opened:
                    waiting[:0] = self.groups[name]
                opened.add(name)
            else:
                hint = nearest(name, [*self.tasks, *self.groups])
                raise InputError(f"{where}: there is no task '{name}'. {hint}")
        return tuple(expanded)


def packaged_tasks() -> Path:
    """The folder of the tasks that come with kick: in the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parents[1] / "_tasks"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "tasks"


def read_catalog(include: Sequence[Path] = ()) -> Catalog:
    """Read the packaged tasks and those below the folders `include`.

    Raises:
        InputError: a folder or a YAML file is missing or damaged, or two files define one name.
    """
    tasks: dict[str, CatalogTask] = {}
    groups: dict[str, tuple[str, ...]] = {}
    seen: dict[str, Path] = {}
    for folder in (packaged_tasks(), *include):
        if not folder.is_dir():
            raise InputError(
                f"{folder} is not a folder of tasks. Give a folder that holds lm-eval task YAML files."
            )
        for path in sorted(folder.rglob("*.yaml")):
            config = _read_config(path)
            name = config.get("group") or config.get("task")
            if not isinstance(name, str):  # a base that others include
                continue
            if name in seen:
                raise InputError(f"{path}: '{name}' is already defined in {seen[name]}. Rename one of them.")
            seen[name] = path
            if "group" in config:
                groups[name] = _members(path, config)
            else:
                tasks[name] = CatalogTask(_task_info(path, config), path, config)
    return Catalog(tasks, groups)


def _members(path: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    members = config.get("task")
    if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
        raise InputError(
            f"{path}: task: expected the names of the group's tasks. kick takes no overrides inside a group: give each "
            "variant a YAML file of its own."
        )
    return tuple(members)


def _task_info(path: Path, config: Mapping[str, Any]) -> TaskInfo:
    metadata = config.get("metadata") or {}
    metric_list = [entry["metric"] for entry in config.get("metric_list") or []]
    family = metadata.get("family", "other")
    if family not in get_args(Family):
        raise InputError(
            f"{path}: metadata.family: '{family}' is no family. {nearest(family, get_args(Family))}"
        )
    if metadata.get("grouping", "cluster") not in ("cluster", "strata"):
        raise InputError(
            f"{path}: metadata.grouping: '{metadata['grouping']}' is neither 'cluster' nor 'strata'. Give one of them."
        )
    items = metadata.get("items")
    if items is not None and (not isinstance(items, int) or items < 1):
        raise InputError(
            f"{path}: metadata.items: '{items}' is no number of items. Give a whole number, or null."
        )
    if not metric_list:
        raise InputError(f"{path}: metric_list: name at least one metric.")
    metric = metadata.get("metric", metric_list[0])
    if metric not in metric_list:
        raise InputError(
            f"{path}: metadata.metric: '{metric}' is not in metric_list. {nearest(metric, metric_list)}"
        )
    for entry in config["metric_list"]:
        if entry.get("aggregation", "mean") != "mean":
            raise InputError(
                f"{path}: metric_list: {entry['metric']}: kick takes the mean over items, no other aggregation."
            )
        if entry["metric"] in CORPUS_METRICS and "process_results" not in config:
            raise InputError(
                f"{path}: metric_list: lm-eval's {entry['metric']} has no value for a single item, so that models "
                "cannot be compared item by item. Score items in `process_results`."
            )
    better = {entry["metric"]: entry.get("higher_is_better", True) for entry in config["metric_list"]}
    return TaskInfo(
        name=config["task"],
        family=family,
        metric=metric,
        metrics=tuple(metric_list),
        higher_is_better=better[metric],
        chance=metadata.get("chance"),
        shots=metadata.get("shots", config.get("num_fewshot") or 0),
        group_by=metadata.get("group_by"),
        grouping=metadata.get("grouping", "cluster"),
        version=str(metadata.get("version", "0")),
    )


class FunctionName(str):
    """What stands behind `!function`: `module.function`, the module a file beside the YAML or an importable one."""

    folder: Path

    def source(self) -> bytes:
        """The module's source, so that a changed function is seen; empty if it has none.

        Raises:
            InputError: there is no such module.
        """
        module = self.rpartition(".")[0]
        beside = self.folder / f"{module.replace('.', '/')}.py"
        if beside.is_file():
            return beside.read_bytes()
        try:
            found = find_spec(module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise InputError(
                f"{self.folder}: !function {self}: there is no module '{module}' beside it or installed."
            )
        return Path(found.origin).read_bytes() if found.origin and found.origin.endswith(".py") else b""


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Safe YAML in which `!function x` is a `FunctionName` seen from `folder`."""

    class Loader(yaml.SafeLoader):
        pass

    def function_name(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> FunctionName:
        name = FunctionName(loader.construct_scalar(node))
        name.folder = folder
        return name

    Loader.add_constructor("!function", function_name)
    return Loader


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader(path.parent))
    except (yaml.YAMLError, OSError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a mapping of lm-eval task settings.")
    merged: dict[str, Any] = {}
    includes = config.pop("include", [])
    for include in includes if isinstance(includes, list) else [includes]:
        merged.update(_read_config(path.parent / include))
    merged.update(config)
    return merged
