"""What `lm_eval --log_samples` wrote becomes a results folder, so that a team's own runs can be compared
and gated.

Only its files are read; lm-eval itself is not needed.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from kick.errors import InputError
from kick.store import Store, cell_key
from kick.types import Cell, CellIdentity, Checkpoint, CheckpointRecord, PlanInfo, TaskInfo

_SAMPLES = re.compile(r"samples_(.+)_(\d{4}-\d{2}-\d{2}T[\d.\-]+)\.jsonl")
_HASHES = ("doc_hash", "prompt_hash", "target_hash")
_TOKENIZER = ("tokenizer_bos_token", "tokenizer_eos_token", "tokenizer_pad_token", "chat_template_sha")


def import_lm_eval(
    reference: Path, candidate: Path, results: Path, *, group_by: str | None = None
) -> tuple[Store, list[str]]:
    """Turn two output folders of lm-eval (0.4.5 or later) into a results folder of kick.

    The checkpoints are called after the models, or `reference` and `candidate` where these have one name. A
    task with several filters becomes one task a filter, `<task>.<filter>`. What stands for the task's plan
    is the hash of its configuration, shots, special tokens, chat template, and of every document and
    prompt; lm-eval does not record the tokens themselves.

    Args:
        reference, candidate: the folders given as `--output_path`, or the model's folder in them.
        results: a new folder.
        group_by: the field of a document whose equal values make items dependent, if there is one.

    Returns:
        The results folder, and a sentence for each task that was left out because it holds no number per
        item.

    Raises:
        InputError: a folder holds no samples, or more than one model's, or a file is damaged.
    """
    runs = [_Run(reference), _Run(candidate)]
    names = [run.model for run in runs]
    if names[0] == names[1]:
        names = ["reference", "candidate"]
    checkpoints = [Checkpoint(id=name, model=str(run.folder)) for name, run in zip(names, runs, strict=True)]
    suite = {
        "name": "lm-eval",
        "reference": names[0],
        "checkpoints": [checkpoint.model_dump(exclude_none=True) for checkpoint in checkpoints],
        "tasks": sorted({task for run in runs for task in run.tasks(group_by)}),
    }
    store = Store.create(results, yaml.safe_dump(suite, sort_keys=False))
    for checkpoint, run in zip(checkpoints, runs, strict=True):
        keys = {}
        for cell, items in run.cells(checkpoint.id, group_by):
            keys[cell.task.name] = store.write_cell(cell, items).key
        record = CheckpointRecord(
            checkpoint=checkpoint, fingerprint=run.model, tokenizer_fingerprint=run.tokenizer, cells=keys
        )
        store.write_checkpoint(record)
    return store, sorted({note for run in runs for note in run.notes})


@dataclass(frozen=True)
class _Scored:
    """The samples of one task and filter."""

    task: TaskInfo
    items: pd.DataFrame
    settings: Mapping[str, Any]  # the results file written beside the samples
    config: Mapping[str, Any]  # the task's own configuration


class _Run:
    """The samples of one model, the newest of each task, with the settings recorded beside them."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.rglob("samples_*.jsonl")) if folder.is_dir() else []
        if not files:
            raise InputError(
                f"{folder} holds no samples of lm-eval (samples_*.jsonl). "
                "Give the folder that `lm_eval --log_samples --output_path` wrote."
            )
        parents = sorted({str(file.parent) for file in files})
        if len(parents) > 1:
            raise InputError(f"{folder} holds samples of several models. Give one of: {', '.join(parents)}.")
        self.folder = files[0].parent
        self.files: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        for file in files:  # sorted by date within a task: the newest wins
            if match := _SAMPLES.fullmatch(file.name):
                settings = self.folder / f"results_{match[2]}.json"
                if not settings.is_file():
                    raise InputError(f"{settings} is missing beside {file.name}. Copy it there.")
                self.files[match[1]] = (file, _read_json(settings.read_text(encoding="utf-8"), str(settings)))
        newest = next(reversed(self.files.values()))[1]
        self.model = re.sub(r"[^\w.-]+", "_", str(newest.get("model_name") or self.folder.name)).strip("_.")
        self.tokenizer = _hash([newest.get(name) for name in _TOKENIZER])
        self.notes: list[str] = []
        self._read: dict[str, _Scored] = {}

    def tasks(self, group_by: str | None) -> "dict[str, _Scored]":
        """What was scored, by the name that it gets here."""
        if not self._read:
            for task, (file, settings) in self.files.items():
                rows = [
                    _read_json(line, f"{file}, line {number}")
                    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
                ]
                if not rows or any(name not in row for row in rows for name in _HASHES):
                    raise InputError(f"{file} has no item hashes. Write it with lm-eval 0.4.5 or later.")
                filters = list(dict.fromkeys(row.get("filter", "none") for row in rows))
                for name in filters:
                    chosen = [row for row in rows if row.get("filter", "none") == name]
                    full = task if len(filters) == 1 else f"{task}.{name}"
                    read = _items(full, task, chosen, settings, group_by)
                    if read is None:
                        self.notes.append(f"{full} was left out: its metrics are no number per item.")
                    else:
                        config = settings.get("configs", {}).get(task, {})
                        self._read[full] = _Scored(*read, settings, config)
        return self._read

    def cells(self, checkpoint: str, group_by: str | None) -> list[tuple[Cell, pd.DataFrame]]:
        """The cells of this run under a checkpoint's id."""
        cells = []
        for name, scored in self.tasks(group_by).items():
            task, items, settings = scored.task, scored.items, scored.settings
            config = settings.get("config", {})
            identity = CellIdentity(
                checkpoint=self.model,
                tokenizer=self.tokenizer,
                task=name,
                plan=_plan(scored, self.tokenizer),
                dtype=str(config.get("model_dtype") or "not recorded").removeprefix("torch."),
                device=str(config.get("device") or "not recorded").split(":")[0],
                tier=f"lm-eval {config.get('model')}",
                versions={
                    "lm_eval": str(settings.get("lm_eval_version")),
                    "transformers": str(settings.get("transformers_version")),
                },
            )
            cell = Cell(
                checkpoint=checkpoint,
                task=task,
                key=cell_key(identity),
                identity=identity,
                scores={metric: float(items[metric].mean()) for metric in task.metrics},
                items=len(items),
                seconds=float(settings.get("total_evaluation_time_seconds") or 0),
                finished=datetime.fromtimestamp(float(settings.get("date") or 0), UTC).isoformat(),
                items_sha256="",
            )
            cells.append((cell, items))
        return cells


def _items(
    full: str, task: str, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], group_by: str | None
) -> tuple[TaskInfo, pd.DataFrame] | None:
    """The items of a task and filter; None if no metric is a number (or a likelihood) of each item."""
    names = [str(name) for name in rows[0].get("metrics", [])]
    numbers = [name for name in names if all(isinstance(row.get(name), int | float) for row in rows)]
    likelihoods = [name for name in names if all(_is_likelihood(row.get(name)) for row in rows)]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in ("doc_id", *_HASHES)}
    columns["group"] = [None if group_by is None else _field(row, group_by, full) for row in rows]
    columns["prompt"] = [str(_first_argument(row)) for row in rows]
    columns["target"] = [str(row.get("target", "")) for row in rows]
    columns["response"] = [_response(row) for row in rows]
    # lm-eval does not say whether a response was ended by its budget.
    columns["cut"] = False
    columns["choice_logprobs"] = [_logprobs(row) for row in rows]
    if numbers:
        better = settings.get("higher_is_better", {}).get(task, {})
        info = TaskInfo(
            name=full,
            kind="choice" if any(columns["choice_logprobs"]) else "generation",
            family="other",
            metric=numbers[0],
            metrics=tuple(numbers),
            higher_is_better=better.get(numbers[0]) is not False,
            shots=int(settings.get("n-shot", {}).get(task) or 0),
            group_by=group_by,
        )
        columns |= {name: [float(row[name]) for row in rows] for name in numbers}
    elif likelihoods:
        info = TaskInfo(
            name=full,
            kind="text",
            family="perplexity",
            metric="nll",
            metrics=("nll",),
            higher_is_better=False,
        )
        pairs = [row[likelihoods[0]] for row in rows]
        columns["nll"] = [-float(total) / float(weight) for total, weight in pairs]
        columns["units"] = [float(weight) for _, weight in pairs]
    else:
        return None
    return info, pd.DataFrame(columns).sort_values("doc_id", kind="stable", ignore_index=True)


def _plan(scored: _Scored, tokenizer: str) -> PlanInfo:
    run = scored.settings.get("config", {})
    machine = (
        "metadata",
        "dataset_path",
        "dataset_kwargs",
    )  # arguments of the model, and paths of the machine
    config = {key: value for key, value in scored.config.items() if key not in machine}
    documents, prompts = list(scored.items["doc_hash"]), list(scored.items["prompt_hash"])
    system = scored.settings.get("system_instruction_sha")
    return PlanInfo(
        hash=_hash([config, scored.task.shots, tokenizer, system, documents, prompts]),
        task_config=_hash(config),
        documents=_hash(documents),
        shots=scored.task.shots,
        limit=None if run.get("limit") is None else int(run["limit"]),
        seed=int(run.get("fewshot_seed") or 0),
        items=len(scored.items),
    )


def _is_likelihood(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(isinstance(part, int | float) for part in value)
    )


def _field(row: Mapping[str, Any], name: str, task: str) -> str:
    if name not in row["doc"]:
        raise InputError(f"--group-by: documents of {task} have no field '{name}'.")
    return str(row["doc"][name])


def _first_argument(row: Mapping[str, Any]) -> object:
    first: object = next(iter(row.get("arguments", {}).values()), {})
    return first.get("arg_0", "") if isinstance(first, dict) else ""


def _response(row: Mapping[str, Any]) -> str:
    answers = row.get("filtered_resps") or [""]
    return answers[0] if isinstance(answers[0], str) and not _logprobs(row) else ""


def _logprobs(row: Mapping[str, Any]) -> list[float]:
    """The log-likelihoods of the choices; lm-eval writes numbers as strings."""
    answers = row.get("filtered_resps") or []
    if len(answers) < 2 or not all(isinstance(answer, list) and len(answer) == 2 for answer in answers):
        return []
    return [float(answer[0]) for answer in answers]


def _read_json(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise InputError(f"{where} is not JSON. Copy the file again.") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object.")
    return value


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
