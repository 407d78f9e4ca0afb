"""The tasks that exist, read from their YAML without lm-eval, so a suite is checked before anything heavy loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import yaml

from kick.errors import InputError, nearest
from kick.types import Family, TaskInfo, TaskKind
from kick.yaml_files import FastLoader, check_bounds

# The kind of a task by lm-eval's `output_type`.
KINDS: Mapping[str, TaskKind] = {
    "generate_until": "generation",
    "multiple_choice": "choice",
    "loglikelihood": "likelihood",
    "loglikelihood_rolling": "text",
}

# The metrics of lm-eval that are computed from all items at once.
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
        "word_perplexity",
    }
)


@dataclass(frozen=True)
class CatalogTask:
    """A task as its YAML declares it."""

    info: TaskInfo
    path: Path
    # Includes are merged; `!function` values are `FunctionName`.
    config: Mapping[str, Any]

    @property
    def items(self) -> int | None:
        """The number of items in the pinned split, as the task states it; None: the tokenizer or the mirror decides."""
        metadata, data = (self.config.get(key) or {} for key in ("metadata", "dataset_kwargs"))
        items: int | None = metadata.get("items", data.get("items"))
        return items


@dataclass(frozen=True)
class Catalog:
    """Every task and group below some folders."""

    tasks: Mapping[str, CatalogTask]
    groups: Mapping[str, tuple[str, ...]]

    def expand(self, names: Sequence[str], where: str) -> tuple[str, ...]:
        """Return the task names for task and group names, each once and in order.

        Raises:
            InputError: a name is neither a task nor a group; `where` says in which file and key.
        """
        expanded: dict[str, None] = {}
        pending, opened = list(names), set[str]()
        while pending:
            name = pending.pop(0)
            if name in self.tasks:
                expanded[name] = None
            elif name in self.groups:
                if name not in opened:
                    pending[:0] = self.groups[name]
                opened.add(name)
            else:
                hint = nearest(name, [*self.tasks, *self.groups])
                raise InputError(f"{where}: there is no task '{name}'. {hint}")
        return tuple(expanded)


def packaged_tasks() -> Path:
    """Return the folder of the tasks that come with kick: in the wheel, or next to the package in a checkout."""
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
            # A base that others include has no name.
            if not isinstance(name, str):
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
            "variant its own YAML file."
        )
    return tuple(members)


def _task_info(path: Path, config: Mapping[str, Any]) -> TaskInfo:
    metadata = config.get("metadata") or {}
    metric_list = [entry["metric"] for entry in config.get("metric_list") or []]
    family = metadata.get("family", "other")
    if family not in get_args(Family):
        raise InputError(
            f"{path}: metadata.family: '{family}' is not a family. {nearest(family, get_args(Family))}"
        )
    if metadata.get("grouping", "cluster") not in ("cluster", "strata"):
        raise InputError(
            f"{path}: metadata.grouping: '{metadata['grouping']}' is neither 'cluster' nor 'strata'. Give one of them."
        )
    items = metadata.get("items")
    if items is not None and (not isinstance(items, int) or items < 1):
        raise InputError(
            f"{path}: metadata.items: '{items}' is not a number of items. Give a whole number, or null."
        )
    if not metric_list:
        raise InputError(f"{path}: metric_list: name at least one metric.")
    metrics = _metrics(metric_list, config.get("filter_list") or [])
    metric = metadata.get("metric", metric_list[0])
    if metric not in metrics:
        raise InputError(
            f"{path}: metadata.metric: '{metric}' is not in metric_list. {nearest(metric, metrics)}"
        )
    output_type = config.get("output_type", "generate_until")
    if output_type not in KINDS:
        raise InputError(
            f"{path}: output_type: '{output_type}' is unknown to kick. {nearest(output_type, [*KINDS])}"
        )
    for entry in config["metric_list"]:
        if entry.get("aggregation", "mean") != "mean":
            raise InputError(
                f"{path}: metric_list: {entry['metric']}: kick takes the mean over items, no other aggregation."
            )
        if entry["metric"] in CORPUS_METRICS and "process_results" not in config:
            raise InputError(
                f"{path}: metric_list: lm-eval's {entry['metric']} has no value for a single item, so models cannot be "
                "compared item by item. Score items in `process_results`."
            )
    better = {entry["metric"]: entry.get("higher_is_better", True) for entry in config["metric_list"]}
    return TaskInfo(
        name=config["task"],
        kind=KINDS[output_type],
        family=family,
        metric=metric,
        metrics=metrics,
        higher_is_better=better[metric.partition(",")[0]],
        chance=metadata.get("chance"),
        shots=metadata.get("shots", config.get("num_fewshot") or 0),
        group_by=metadata.get("group_by"),
        grouping=metadata.get("grouping", "cluster"),
        version=str(metadata.get("version", "0")),
    )


def _metrics(names: Sequence[str], filters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the metric columns of a task: by its first filter as they are, by others as `<metric>,<filter>`."""
    further = [f"{name},{entry['name']}" for entry in filters[1:] for name in names]
    return (*names, *further)


class FunctionName(str):
    """The value of `!function`: `module.function`, where the module is a file next to the YAML or an importable one."""

    folder: Path

    def source(self) -> bytes:
        """Return the module's source, so a changed function is noticed; empty if it has none.

        A module of `kick` counts with its whole package: `kick.metrics.answers` is made of its neighbours.

        Raises:
            InputError: there is no such module.
        """
        module = self.rpartition(".")[0]
        own = self.folder / f"{module.replace('.', '/')}.py"
        if own.is_file():
            return own.read_bytes()
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise InputError(
                f"{self.folder}: !function {self}: there is no module '{module}' next to it or installed."
            )
        if not spec.origin or not spec.origin.endswith(".py"):
            return b""
        file = Path(spec.origin)
        if module.startswith("kick."):
            return b"".join(part.read_bytes() for part in sorted(file.parent.glob("*.py")))
        return file.read_bytes()


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Return a safe YAML loader for which `!function x` is a `FunctionName` seen from `folder`."""

    class Loader(FastLoader):  # type: ignore[valid-type, misc]
        pass

    def function_name(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> FunctionName:
        name = FunctionName(loader.construct_scalar(node))
        name.folder = folder
        return name

    Loader.add_constructor("!function", function_name)
    return Loader


def _read_config(path: Path, including: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings of a task file with those that it includes; `including` are the files that include it."""
    try:
        text = path.read_text(encoding="utf-8")
        check_bounds(text, str(path))
        config = yaml.load(text, Loader=_loader(path.parent))
    except (yaml.YAMLError, ValueError, LookupError, TypeError, OSError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a mapping of lm-eval task settings.")
    merged: dict[str, Any] = {}
    includes = config.pop("include", [])
    for include in includes if isinstance(includes, list) else [includes]:
        other = path.parent / str(include)
        if other.resolve() in [path.resolve(), *including]:
            raise InputError(f"{path}: include: {other} includes this file. Remove one of the two lines.")
        merged.update(_read_config(other, (*including, path.resolve())))
    merged.update(config)
    return merged
