"""Values that others published, drawn over the curves on request, each as a share of its own source's dense score.

Nothing published shares kick's items, prompts or models, so a published line shows a shape and no more. It is drawn
only if method and kind of task are the same, and its caption says what differs.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from kick.errors import InputError
from kick.reports.findings import Findings, Group
from kick.types import Axis, Family, Record

# Tasks of the sources that ask for the same kind of knowledge and are scored by right or wrong, as kick's are. Grades
# by a judge model are left out.
_FAMILIES: dict[str, Family] = {
    "factoid_qa": "factoid_qa",
    "mmlu": "multiple_choice",
    "mmlu_5shot": "multiple_choice",
    "triviaqa_open_book": "incontext_qa",
    "wikitext2_perplexity": "perplexity",
    "wikitext2": "perplexity",
}
_UNSCALED = "do not overlay"
INCOMPATIBLE = (
    "Published values, hollow: of other models, on other items with other prompts, without intervals; each is a share "
    "of its own dense score, so only the shape of a line can be compared."
)
_DENSE: dict[Axis, float] = {"sparsity": 0.0, "bits": 16.0}


class Published(Record):
    """One line of a source: a method on a task of one model.

    Attributes:
        source: The publication.
        model: The model.
        method: The method, with its N:M pattern if it has one.
        axis: What the rates measure.
        family: The family of the task.
        task: The task, as the source calls it.
        points: Rate, and value / the dense model's value, from light to heavy compression.
        n: The number of items, if the source gives it.
        notes: Notes of the source.
    """

    source: str
    model: str
    method: str
    axis: Axis
    family: Family
    task: str
    points: tuple[tuple[float, float], ...]
    n: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The label of the line in a legend."""
        return f"published: {self.task}, {self.model}"

    @property
    def caption(self) -> str:
        """Task, model, items, source and its notes, for the caption of a figure."""
        items = f" on {self.n} items" if self.n else ""
        notes = "".join(f" ({note})" for note in self.notes)
        return f"{self.task} of {self.model}{items}, {self.source}{notes}"


def packaged() -> Path:
    """Return the folder of published values: in the wheel, or next to the package in a checkout."""
    inside = Path(__file__).parent.parent / "_paper"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "results" / "paper"


def read(folder: Path | None = None) -> list[Published]:
    """Return every line whose source also gives the dense model's value on the same task.

    Raises:
        InputError: The folder holds no CSV files, or one lacks a column.
    """
    folder = folder or packaged()
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise InputError(f"{folder} holds no CSV files of published values.")
    rows = [
        _row(path, row) for path in paths for row in csv.DictReader(path.open(encoding="utf-8", newline=""))
    ]
    values: dict[tuple[str, ...], dict[float, dict[str, str]]] = {}
    dense: dict[tuple[str, ...], float] = {}
    for row in rows:
        if row["task"] not in _FAMILIES or row["axis"] not in _DENSE or _UNSCALED in row["note"]:
            continue
        method, rate = _rate(row)
        about = (row["source"], row["model"], row["task"], row["metric"])
        if rate in _DENSE.values():
            dense[about] = float(row["value"])
        else:
            values.setdefault((*about, method, row["axis"]), {})[rate] = row
    return [_line(key, points, dense[key[:4]]) for key, points in values.items() if dense.get(key[:4], 0) > 0]


def _row(path: Path, row: dict[str, str]) -> dict[str, str]:
    """Return a row with the same keys for both kinds of file: tasks with a value, or texts with a perplexity."""
    named = row | {
        "task": row.get("task") or row.get("dataset") or "",
        "value": row.get("value") or row.get("perplexity") or "",
        "metric": row.get("metric") or f"perplexity, window {row.get('window')}",
    }
    missing = [
        name for name in ("source", "model", "method", "rate", "axis", "task", "value") if not named.get(name)
    ]
    if missing:
        raise InputError(
            f"{path}: a row lacks {', '.join(missing)}: {', '.join(filter(None, row.values()))}."
        )
    return named


def _rate(row: dict[str, str]) -> tuple[str, float]:
    """Return the method with its pattern, and the rate as a number: `2:4` in place of a sparsity is a pattern."""
    pattern = re.fullmatch(r"(\d+):(\d+)", row["rate"])
    if pattern:
        return f"{row['method']} {row['rate']}", 1 - int(pattern[1]) / int(pattern[2])
    return row["method"], float(row["rate"])


def _line(key: tuple[str, ...], points: dict[float, dict[str, str]], dense: float) -> Published:
    source, model, task, _, method, axis = key
    rates = sorted(points, reverse=axis == "bits")
    first = points[rates[0]]
    return Published(
        source=source,
        model=model,
        method=method,
        axis="bits" if axis == "bits" else "sparsity",
        family=_FAMILIES[task],
        task=task,
        points=tuple((rate, float(points[rate]["value"]) / dense) for rate in rates),
        n=first.get("n") or "",
        notes=tuple(dict.fromkeys(row["note"] for row in points.values() if row["note"])),
    )


def matching(lines: Sequence[Published], findings: Findings, group: Group) -> list[Published]:
    """Return the lines for a series: those of its method, pattern and axis, on a family that the report has tasks of.

    If a source has several models, the smallest is taken.
    """
    families = {task.family for task in findings.tasks}
    methods = {_method(findings, candidate) for candidate in group.candidates}
    fitting = [
        line
        for line in lines
        if line.axis == group.axis and line.method in methods and line.family in families
    ]
    smallest: dict[tuple[str, str, str], Published] = {}
    for line in fitting:
        key = (line.source, line.task, line.method)
        if key not in smallest or _parameters(line.model) < _parameters(smallest[key].model):
            smallest[key] = line
    return list(smallest.values())


def _method(findings: Findings, candidate: str) -> str:
    record = findings.records.get(candidate)
    step = record.step if record else None
    return "" if step is None else f"{step.method} {step.pattern or ''}".strip()


def _parameters(model: str) -> float:
    """Return the billions of parameters by a model's name; infinite if it does not say."""
    size = re.search(r"(\d+(?:\.\d+)?)b\b", model.lower())
    return float(size[1]) if size else float("inf")
