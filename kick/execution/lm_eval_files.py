"""The files that `lm_eval --log_samples` writes for one model, read strictly; lm-eval itself is not needed.

A folder holds `results_<date>.json` with the settings of each run, and `samples_<task>_<date>.jsonl` with one JSON
object per item and filter. Text is written raw, so a line ends at a newline and nowhere else.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kick.errors import InputError
from kick.files import digest, open_regular

_SAMPLES = re.compile(r"samples_(.+)_(\d{4}-\d{2}-\d{2}T[\d.\-]+)\.jsonl")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Fields of an item by which it is paired.
HASHES = ("doc_hash", "prompt_hash", "target_hash")
# Settings that say which model was run.
_MODEL = ("model", "model_args", "model_sha", "model_revision")

Row = Mapping[str, Any]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class SampleFile:
    """The newest samples of one task, with the settings of the run that wrote them."""

    task: str
    path: Path
    settings: Settings

    def rows_by_filter(self) -> dict[str, list[Row]]:
        """Return the items of each filter, in the order of the file.

        Raises:
            InputError: a line is damaged, an item lacks its hashes or occurs twice, items are missing, or a filter has
                a name that cannot be a part of a path.
        """
        filters: dict[str, list[Row]] = {}
        for row in self._rows():
            name = str(row.get("filter", "none"))
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"{self.path}: {name!r} cannot name a filter. Use letters, digits, '.', '_' and '-'."
                )
            filters.setdefault(name, []).append(row)
        if not filters:
            raise InputError(f"{self.path} is empty. Copy the file again.")
        for rows in filters.values():
            self._check(rows)
        return filters

    def _rows(self) -> Iterator[Row]:
        with open_regular(self.path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield read_object(line, f"{self.path}, line {number}")

    def _check(self, rows: list[Row]) -> None:
        if any(name not in row for row in rows for name in (*HASHES, "doc_id")):
            raise InputError(f"{self.path} has no item hashes. Write it with lm-eval 0.4.5 or later.")
        seen: dict[Any, int] = {}
        for row in rows:
            identifier = str(row["doc_id"])
            seen[identifier] = seen.get(identifier, 0) + 1
        repeated = [(identifier, count) for identifier, count in seen.items() if count > 1]
        if repeated:
            identifier, count = repeated[0]
            raise InputError(
                f"{self.path}: item {identifier} occurs {count} times, and {len(repeated)} items are repeated in "
                "all. Items count once: give the file as lm-eval wrote it."
            )
        counts = (self.settings.get("n-samples") or {}).get(self.task) or {}
        planned = counts.get("effective")
        if isinstance(planned, int) and planned != len(rows):
            raise InputError(
                f"{self.path} holds {len(rows)} of the {planned} items that were scored. Copy the file again."
            )


@dataclass(frozen=True)
class ModelRuns:
    """The newest samples of each task of one model."""

    # The folder of the files.
    folder: Path
    files: tuple[SampleFile, ...]

    @property
    def newest(self) -> Settings:
        """The settings of the newest run."""
        return max(self.files, key=lambda file: file.path.name.rpartition("_")[2]).settings

    @property
    def model(self) -> str:
        """The name of the model as an id."""
        name = str(self.newest.get("model_name") or self.folder.name)
        return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.-") or "model"

    @property
    def fingerprint(self) -> str:
        """A hash of what the settings say of the model: its name, arguments and commit."""
        return digest(_identity(self.newest))


def read_runs(folder: Path) -> ModelRuns:
    """Return the samples that a folder holds.

    Args:
        folder: what was given as `--output_path`, or the folder of the model in it.

    Raises:
        InputError: there are no samples, no settings beside them, or samples of more than one model.
    """
    files = sorted(folder.rglob("samples_*.jsonl")) if folder.is_dir() else []
    matches = [(file, match) for file in files if (match := _SAMPLES.fullmatch(file.name))]
    if not matches:
        raise InputError(
            f"{folder} holds no samples of lm-eval (samples_*.jsonl). "
            "Give the folder that `lm_eval --log_samples --output_path` wrote."
        )
    parents = sorted({str(file.parent) for file, _ in matches})
    if len(parents) > 1:
        raise InputError(f"{folder} holds samples of several models. Give one of: {', '.join(parents)}.")
    settings: dict[Path, Settings] = {}
    newest: dict[str, SampleFile] = {}
    # Within a task files are sorted by date, so the newest is kept.
    for file, match in matches:
        path = file.with_name(f"results_{match[2]}.json")
        if path not in settings:
            if not path.is_file():
                raise InputError(f"{path} is missing beside {file.name}. Copy it there.")
            settings[path] = read_object(path.read_bytes(), str(path))
        newest[match[1]] = SampleFile(match[1], file, settings[path])
    _refuse_several_models(newest.values())
    return ModelRuns(files[0].parent, tuple(newest.values()))


def _refuse_several_models(files: Iterable[SampleFile]) -> None:
    """Refuse samples of which some were written by another model, or by the same weights loaded in another way."""
    first, *others = files
    for other in others:
        one, two = _identity(first.settings), _identity(other.settings)
        unlike = [name for name, value in one.items() if value != two[name]]
        if unlike:
            shown = "; ".join(f"{name}: {one[name]} | {two[name]}" for name in unlike)
            raise InputError(
                f"{first.path.parent} holds samples of several models: {first.path.name} and {other.path.name} "
                f"differ in {shown}. Put the files of each model into a folder of its own."
            )


def _identity(settings: Settings) -> dict[str, object]:
    config = settings.get("config") or {}
    return {"model_name": settings.get("model_name"), **{name: config.get(name) for name in _MODEL}}


def read_object(text: bytes, where: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        InputError: `text` is not one; the message begins with `where`.
    """
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{where} is not JSON. Copy the file again.") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object.")
    return value


def is_number(value: object) -> bool:
    """Return whether a value is a finite number, or true or false."""
    return isinstance(value, int | float) and math.isfinite(value)


def is_likelihood(value: object) -> bool:
    """Return whether a value is a log-likelihood with its weight, which is finite and above 0.

    The log-likelihood of a broken model may be infinite.
    """
    if not isinstance(value, list) or len(value) != 2 or not is_number(value[1]):
        return False
    return isinstance(value[0], int | float) and not math.isnan(value[0]) and value[1] > 0
