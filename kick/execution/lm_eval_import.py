"""Runs of lm-eval become a results folder, which report, compare and gate read like any other: `kick import`."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from kick.errors import InputError
from kick.execution.lm_eval_files import (
    HASHES,
    ModelRuns,
    Row,
    SampleFile,
    Settings,
    is_likelihood,
    is_number,
    read_runs,
)
from kick.files import digest
from kick.metrics.signs import response_signs
from kick.store import Store, cell_key
from kick.suite.catalog import KINDS
from kick.types import Cell, CellIdentity, Checkpoint, CheckpointRecord, PlanInfo, TaskInfo
from kick.yaml_files import dump_yaml

_TOKENIZER = ("tokenizer_bos_token", "tokenizer_eos_token", "tokenizer_pad_token", "chat_template_sha")
# Fields of a task's configuration that hold arguments of the model and paths of the machine.
_MACHINE = ("metadata", "dataset_path", "dataset_kwargs")
_COPY = "Copy the file again, or leave the task out."


@dataclass(frozen=True)
class Imported:
    """A results folder made from runs of lm-eval."""

    store: Store
    checkpoints: list[str]
    cells: int
    # What a reader should know: tasks that were left out, folders that are alike.
    notes: list[str]


def import_lm_eval(folders: Sequence[Path], results: Path, *, group_by: str | None = None) -> Imported:
    """Turn output folders of lm-eval (0.4.5 or later) into a results folder of kick.

    Checkpoints are named for their models, with a number where a name is taken. A task with several filters becomes one
    task per filter, `<task>.<filter>`. The plan of a task is represented by a hash of its configuration, shots, special
    tokens, chat template, and every document and prompt; lm-eval does not record the tokens themselves. A task that is
    left out because it has no number per item stays in the suite, so a gate knows that it is missing.

    Args:
        folders: one per model, the reference first: what was given as `--output_path`, or the model's folder in it.
        results: a new folder.
        group_by: the field of a document whose equal values make items dependent, if there is one.

    Raises:
        InputError: fewer than two folders or one of them twice; a folder without samples or with those of several
            models; a file that is damaged, has repeated or missing items, or a metric without a value.
    """
    if len(folders) < 2:
        raise InputError("give at least two folders: the reference's first, then one per candidate.")
    if (results / "suite.yaml").exists():
        raise InputError(f"{results} is a results folder already. Give a new folder.")
    runs = [read_runs(folder) for folder in folders]
    _refuse_repeated(runs)
    scored = [[one for file in run.files for one in _read(file, group_by)] for run in runs]
    names = _names(runs)
    checkpoints = [Checkpoint(id=name, model=str(run.folder)) for name, run in zip(names, runs, strict=True)]
    notes = [
        f"{run.folder} and {runs[0].folder} say that they are of one model, loaded in one way: {run.model}."
        for run in runs[1:]
        if run.fingerprint == runs[0].fingerprint
    ]
    made = results.exists()
    store = Store.create(results, _suite(checkpoints, runs, scored))
    try:
        for checkpoint, run, tasks in zip(checkpoints, runs, scored, strict=True):
            _write(store, checkpoint, run, [one for one in tasks if one.items is not None])
    except BaseException:
        if not made:
            shutil.rmtree(results, ignore_errors=True)
        raise
    notes += sorted(
        {
            f"{one.name} was left out: its metrics are no number per item."
            for tasks in scored
            for one in tasks
            if one.items is None
        }
    )
    cells = sum(one.items is not None for tasks in scored for one in tasks)
    return Imported(store, names, cells, notes)


@dataclass(frozen=True)
class _Scored:
    """The samples of one task and filter, by the name that the task gets."""

    name: str
    file: SampleFile
    # None where no metric is a number of each item.
    task: TaskInfo | None
    items: pd.DataFrame | None


def _refuse_repeated(runs: Sequence[ModelRuns]) -> None:
    folders = [run.folder.resolve() for run in runs]
    for position, folder in enumerate(folders):
        if folder in folders[:position]:
            raise InputError(
                f"{runs[position].folder} is given twice: a model compared with itself always passes. "
                "Give the candidate's folder."
            )


def _names(runs: Sequence[ModelRuns]) -> list[str]:
    """Return an id per run: the model's name, with a number where runs share one."""
    names: list[str] = []
    for run in runs:
        name, count = run.model, 1
        while name in names:
            count += 1
            name = f"{run.model}-{count}"
        names.append(name)
    return names


def _suite(
    checkpoints: Sequence[Checkpoint], runs: Sequence[ModelRuns], scored: Sequence[Sequence[_Scored]]
) -> str:
    suite = {
        "name": "lm-eval",
        "imported": f"lm-eval {_version(runs[0].newest)}",
        "reference": checkpoints[0].id,
        "checkpoints": [checkpoint.model_dump(exclude_none=True) for checkpoint in checkpoints],
        "tasks": sorted({one.name for tasks in scored for one in tasks}),
        "seed": _seed(runs[0].newest),
    }
    return dump_yaml(suite)


def _write(store: Store, checkpoint: Checkpoint, run: ModelRuns, scored: Sequence[_Scored]) -> None:
    tokenizer = digest([run.newest.get(name) for name in _TOKENIZER])
    keys = {}
    for one in scored:
        cell = _cell(one, checkpoint.id, run.fingerprint, tokenizer)
        assert one.items is not None
        keys[cell.task.name] = store.write_cell(cell, one.items).key
    store.write_checkpoint(
        CheckpointRecord(
            checkpoint=checkpoint, fingerprint=run.fingerprint, tokenizer_fingerprint=tokenizer, cells=keys
        )
    )


def _cell(one: _Scored, checkpoint: str, fingerprint: str, tokenizer: str) -> Cell:
    task, items, settings = one.task, one.items, one.file.settings
    assert task is not None
    assert items is not None
    config = settings.get("config") or {}
    identity = CellIdentity(
        checkpoint=fingerprint,
        tokenizer=tokenizer,
        task=task.name,
        plan=_plan(one.file, task, items, tokenizer),
        dtype=str(config.get("model_dtype") or "not recorded").removeprefix("torch."),
        device=str(config.get("device") or "not recorded").split(":")[0],
        attention="not recorded",
        tier=f"lm-eval {config.get('model')}",
        versions={
            "lm_eval": _version(settings),
            "transformers": str(settings.get("transformers_version")),
        },
    )
    scores = {metric: float(items[metric].mean()) for metric in task.metrics}
    return Cell(
        checkpoint=checkpoint,
        task=task,
        key=cell_key(identity),
        identity=identity,
        scores=scores,
        items=len(items),
        notes=(f"imported from lm-eval {_version(settings)}",),
        seconds=_float(settings.get("total_evaluation_time_seconds")),
        finished=datetime.fromtimestamp(_float(settings.get("date")), UTC).isoformat(),
        items_sha256="",
        signs=response_signs(list(items["response"])) if task.kind == "generation" else None,
    )


def _read(file: SampleFile, group_by: str | None) -> list[_Scored]:
    filters = file.rows_by_filter()
    scored = []
    for name, rows in filters.items():
        full = file.task if len(filters) == 1 else f"{file.task}.{name}"
        task = _task(file, full, rows, group_by)
        items = None if task is None else _items(task, rows, group_by)
        scored.append(_Scored(full, file, task, items))
    return scored


def _task(file: SampleFile, full: str, rows: Sequence[Row], group_by: str | None) -> TaskInfo | None:
    """Return what is known of a task; None if no metric is a number, or a likelihood, of each item.

    Raises:
        InputError: a metric is a number of some items and not of others.
    """
    settings = file.settings
    names = [str(name) for name in rows[0].get("metrics", [])]
    numbers = _complete(file, names, rows, is_number)
    likelihoods = _complete(file, names, rows, is_likelihood)
    version = str((settings.get("versions") or {}).get(file.task, "0"))
    if numbers:
        better = (settings.get("higher_is_better") or {}).get(file.task) or {}
        config = (settings.get("configs") or {}).get(file.task) or {}
        return TaskInfo(
            name=full,
            kind=KINDS.get(str(config.get("output_type")), "generation"),
            family="other",
            metric=numbers[0],
            metrics=tuple(numbers),
            higher_is_better=better.get(numbers[0]) is not False,
            shots=int((settings.get("n-shot") or {}).get(file.task) or 0),
            group_by=group_by,
            version=version,
        )
    if likelihoods:
        return TaskInfo(
            name=full,
            kind="text",
            family="perplexity",
            metric="nll",
            metrics=("nll",),
            higher_is_better=False,
            version=version,
        )
    return None


def _complete(
    file: SampleFile, names: Sequence[str], rows: Sequence[Row], fits: Callable[[object], bool]
) -> list[str]:
    """Return the metrics whose value fits in every row.

    Raises:
        InputError: a metric fits in some rows alone, or has no value in any.
    """
    complete = []
    for name in names:
        broken = [row for row in rows if not fits(row.get(name))]
        if not broken:
            complete.append(name)
        elif len(broken) < len(rows) or all(_is_void(row.get(name)) for row in rows):
            raise InputError(
                f"{file.path}: {name} of item {broken[0]['doc_id']} is {broken[0].get(name)} "
                f"({len(broken)} of {len(rows)} items). {_COPY}"
            )
    return complete


def _is_void(value: object) -> bool:
    """Return whether a value is null, or a number that is not finite."""
    return value is None or (isinstance(value, float) and not is_number(value))


def _items(task: TaskInfo, rows: Sequence[Row], group_by: str | None) -> pd.DataFrame:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("doc_id", *HASHES)}
    columns["group"] = [None if group_by is None else _field(row, group_by, task.name) for row in rows]
    columns["prompt"] = [str(_first_argument(row)) for row in rows]
    columns["target"] = [str(row.get("target", "")) for row in rows]
    columns["response"] = [_response(row) for row in rows]
    # lm-eval's samples do not say which responses their budget ended.
    columns["cut"] = [False] * len(rows)
    columns["choice_logprobs"] = [_logprobs(row) for row in rows]
    if task.kind == "text":
        name = next(str(name) for name in rows[0]["metrics"] if is_likelihood(rows[0].get(name)))
        pairs = [row[name] for row in rows]
        columns["nll"] = [-float(total) / float(weight) for total, weight in pairs]
        columns["units"] = [float(weight) for _, weight in pairs]
    else:
        columns |= {name: [float(row[name]) for row in rows] for name in task.metrics}
    return pd.DataFrame(columns).sort_values("doc_id", kind="stable", ignore_index=True)


def _plan(file: SampleFile, task: TaskInfo, items: pd.DataFrame, tokenizer: str) -> PlanInfo:
    run = file.settings.get("config") or {}
    configuration = (file.settings.get("configs") or {}).get(file.task) or {}
    config = {key: value for key, value in configuration.items() if key not in _MACHINE}
    documents, prompts = list(items["doc_hash"]), list(items["prompt_hash"])
    system = file.settings.get("system_instruction_sha")
    limit = run.get("limit")
    return PlanInfo(
        hash=digest([config, task.shots, tokenizer, system, documents, prompts]),
        task_config=digest(config),
        documents=digest(documents),
        shots=task.shots,
        # A limit below 1 is a share of the items.
        limit=None if limit is None else int(limit) if limit >= 1 else len(items),
        seed=_seed(file.settings),
        items=len(items),
    )


def _version(settings: Settings) -> str:
    return str(settings.get("lm_eval_version") or "of an unknown version")


def _seed(settings: Settings) -> int:
    return int((settings.get("config") or {}).get("fewshot_seed") or 0)


def _float(value: object) -> float:
    return float(value) if isinstance(value, str | int | float) and value else 0.0


def _field(row: Row, name: str, task: str) -> str:
    document = row.get("doc")
    if not isinstance(document, Mapping) or name not in document:
        raise InputError(f"--group-by: documents of {task} have no field '{name}'.")
    return str(document[name])


def _first_argument(row: Row) -> object:
    first: object = next(iter((row.get("arguments") or {}).values()), {})
    return first.get("arg_0", "") if isinstance(first, dict) else ""


def _response(row: Row) -> str:
    answers = row.get("filtered_resps") or [""]
    return answers[0] if isinstance(answers[0], str) and not _logprobs(row) else ""


def _logprobs(row: Row) -> list[float]:
    """Return the log-likelihoods of the choices; lm-eval writes numbers as strings."""
    answers = row.get("filtered_resps") or []
    if len(answers) < 2 or not all(isinstance(answer, list) and len(answer) == 2 for answer in answers):
        return []
    return [float(answer[0]) for answer in answers]
