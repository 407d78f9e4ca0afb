#!/usr/bin/env python
"""Do two results folders of one suite say the same? Every cell of both, item by item.

    python scripts/compare_results.py BEFORE AFTER [--metric-tolerance 0] [--json]

Responses are compared without leading white space, which older versions kept. A response that was nothing but white
space before, and goes on behind it now, is counted apart. Exit code 1 if a metric of an item differs by more than the
tolerance (relative, for losses of a text), or if cells or items are missing.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

COLUMNS = (
    "checkpoint",
    "task",
    "items",
    "scores differ by",
    "items that differ",
    "texts",
    "past blanks",
    "log-p",
)
# The parts of a text: names of the columns that carry their lengths, then and now.
RENAMED = {"tokens": "units", "bytes_per_token": "bytes_per_unit"}


@dataclass(frozen=True)
class CellDifference:
    """The difference of one cell between both folders."""

    checkpoint: str
    task: str
    items: int

    score: float
    """The largest difference of a score of the cell."""

    differing: int
    """Items with another value of a metric."""

    metric: float
    """The largest difference of a metric of an item; relative, for the losses of a text."""

    texts: int
    """Responses that differ behind their leading white space."""

    past_blanks: int
    """Responses that were empty or white space before, and are text now."""

    log_likelihood: float
    """The largest difference of a choice's log-likelihood, in nats."""

    def __str__(self) -> str:
        cells = (self.checkpoint, self.task, self.items, f"{self.score:.1e}", self.differing, self.texts)
        return f"| {' | '.join(map(str, (*cells, self.past_blanks, f'{self.log_likelihood:.1e}')))} |"


def current_cells(root: Path) -> dict[tuple[str, str], Path]:
    """Return the folders of the current cells by checkpoint and task; files of any version are read as they are."""
    cells = {}
    for file in sorted((root / "checkpoints").glob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        for task, key in record["cells"].items():
            folder = root / "cells" / record["checkpoint"]["id"] / task / key
            if (folder / "cell.json").is_file():
                cells[record["checkpoint"]["id"], task] = folder
    return cells


def read_cell(folder: Path) -> tuple[dict[str, float], Sequence[str], pd.DataFrame]:
    """Return the scores of a cell, its metrics, and its items by `doc_id`."""
    cell = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    items = pq.ParquetFile(folder / "items.parquet").read().to_pandas().rename(columns=RENAMED)
    return cell["scores"], cell["task"]["metrics"], items.set_index("doc_id")


def differences(before: Path, after: Path) -> Iterator[CellDifference]:
    """Compare the cells that both folders have.

    Raises:
        SystemExit: a folder lacks cells or items of the other one.
    """
    ours, theirs = current_cells(after), current_cells(before)
    if ours.keys() != theirs.keys():
        missing = sorted(ours.keys() ^ theirs.keys())
        raise SystemExit(
            f"{len(missing)} cells are in one of the two folders alone, the first is {missing[0]}."
        )
    if not ours:
        raise SystemExit("neither folder holds a cell.")
    for (checkpoint, task), folder in sorted(ours.items()):
        yield compare(checkpoint, task, read_cell(theirs[checkpoint, task]), read_cell(folder))


def compare(
    checkpoint: str,
    task: str,
    before: tuple[dict[str, float], Sequence[str], pd.DataFrame],
    after: tuple[dict[str, float], Sequence[str], pd.DataFrame],
) -> CellDifference:
    """Compare one cell of both folders."""
    (old_scores, metrics, old), (new_scores, _, new) = before, after
    if sorted(old.index) != sorted(new.index):
        raise SystemExit(f"{checkpoint} on {task}: the items differ ({len(old)} before, {len(new)} after).")
    old = old.loc[new.index]
    for column in ("prompt", "target"):
        if old[column].tolist() != new[column].tolist():
            raise SystemExit(f"{checkpoint} on {task}: the column '{column}' differs.")
    off = np.zeros(len(new))
    for metric in metrics:
        one, other = old[metric].to_numpy(float), new[metric].to_numpy(float)
        scale = np.maximum(1, np.abs(one)) if "units" in new else 1
        off = np.maximum(
            off, np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0, abs(one - other) / scale)
        )
    texts = [*zip(old["response"], new["response"], strict=True)]
    blank = [not was.strip() and bool(now) for was, now in texts]
    other_text = [was.lstrip() != now.lstrip() for was, now in texts]
    likelihoods = [
        abs(a - b)
        for one, other in zip(old["choice_logprobs"], new["choice_logprobs"], strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return CellDifference(
        checkpoint=checkpoint,
        task=task,
        items=len(new),
        score=max(abs(old_scores[name] - new_scores[name]) for name in old_scores),
        differing=int((off > 0).sum()),
        metric=float(off.max()),
        texts=sum(differs and not past for differs, past in zip(other_text, blank, strict=True)),
        past_blanks=sum(blank),
        log_likelihood=max(likelihoods, default=0.0),
    )


def main() -> None:
    """Print one line per cell, and the largest differences of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--metric-tolerance", type=float, default=0.0, help="that no item may exceed")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    cells = [*differences(options.before, options.after)]
    worst = max(cell.metric for cell in cells)
    total = {
        "cells": len(cells),
        "items": sum(cell.items for cell in cells),
        "score": max(cell.score for cell in cells),
        "metric": worst,
        "items that differ": sum(cell.differing for cell in cells),
        "texts that differ": sum(cell.texts for cell in cells),
        "past blanks": sum(cell.past_blanks for cell in cells),
        "log-likelihood": max(cell.log_likelihood for cell in cells),
    }
    if options.json:
        print(json.dumps({"cells": [asdict(cell) for cell in cells], "total": total}, indent=1))
    else:
        print(f"| {' | '.join(COLUMNS)} |\n| {' | '.join(['---'] * len(COLUMNS))} |")
        print(*cells, sep="\n")
        print("\n" + ", ".join(f"{name}: {value:.3g}" for name, value in total.items()))
    raise SystemExit(0 if worst <= options.metric_tolerance else 1)


if __name__ == "__main__":
    main()
