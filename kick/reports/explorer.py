"""The items behind the comparisons, packed for the item explorer of the web page.

Only items that changed are packed: those that flipped, or, of graded ones, whose score moved.
"""

import base64
import gzip
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kick.comparison import Pairs
from kick.comparison.items import choice_margins, item_changes, listed
from kick.comparison.statistics.moments import Array
from kick.reports.findings import Findings
from kick.text import visible
from kick.types import Record

Rows = npt.NDArray[np.intp]

MAX_ITEMS = 100_000  # on a page
MAX_TEXT = 20_000  # characters of a prompt or a response


class Pack(Record):
    """The changed items of one task.

    `payload` is base64 of gzipped JSON: `documents`, one [doc id, group, prompt, target, response, score,
    margin] of the reference each, and `changes`, for each candidate a list of [index of the document,
    change, response, score, margin].
    """

    task: str
    metric: str
    reference: str
    counts: dict[str, tuple[int, int]]  # candidate -> items that changed, items packed
    payload: str


class Explorer:
    """Packs the items of every task as far as a page can hold them, while `gather` has them at hand.

    Where all comparisons together have more than `MAX_ITEMS` changed items, each gives the same number;
    losses come first.

    Args:
        comparisons: how many there are to see, at most.
    """

    def __init__(self, comparisons: int) -> None:
        self._share = MAX_ITEMS // max(comparisons, 1)
        self._tasks: dict[str, _Task] = {}

    def see(self, pairs: Pairs) -> None:
        """Take the changed items of one comparison."""
        if pairs.sample.perplexity:
            return
        task = self._tasks.setdefault(pairs.task, _Task(pairs.metric))
        kinds = item_changes(pairs)
        rows = listed(kinds)
        kept = rows[: self._share]
        candidate = pairs.candidate.checkpoint
        task.counts[candidate] = (len(rows), len(kept))
        places = task.documents(pairs, kept)
        sides = _sides(pairs.candidate_items, pairs.sample.b, kept)
        task.changes[candidate] = [
            [place, str(kinds[row]), *side] for place, row, side in zip(places, kept, sides, strict=True)
        ]

    def packs(self, findings: Findings) -> list[Pack]:
        """What was seen, in the order of the report."""
        names = [task.name for task in findings.tasks if task.name in self._tasks]
        order = findings.checkpoints[1:]
        return [self._tasks[name].pack(name, findings.reference, order) for name in names]


class _Task:
    """The changed items of one task, each document once."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.counts: dict[str, tuple[int, int]] = {}
        self.changes: dict[str, list[list[Any]]] = {}
        self._rows: list[list[Any]] = []
        self._places: dict[tuple[int, str], int] = {}

    def documents(self, pairs: Pairs, rows: Rows) -> list[int]:
        """Where the documents of these rows lie; the new ones are added."""
        items = pairs.reference_items
        keys = list(zip(*(_values(items, name, rows) for name in ("doc_id", "prompt")), strict=True))
        new = [place for place, key in enumerate(keys) if key not in self._places]
        if not new:
            return [self._places[key] for key in keys]
        fresh = rows[new]
        texts = zip(*(_values(items, name, fresh) for name in ("group", "prompt", "target")), strict=True)
        sides = _sides(items, pairs.sample.a, fresh)
        for place, text, side in zip(new, texts, sides, strict=True):
            if keys[place] in self._places:  # a document that stands twice among these rows
                continue
            self._places[keys[place]] = len(self._rows)
            self._rows.append([keys[place][0], *(_shown(part) for part in text), *side])
        return [self._places[key] for key in keys]

    def pack(self, task: str, reference: str, order: Sequence[str]) -> Pack:
        candidates = [name for name in order if name in self.counts]
        content = json.dumps(
            {"documents": self._rows, "changes": {name: self.changes[name] for name in candidates}},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        packed = gzip.compress(content.encode("utf-8", "replace"), mtime=0)
        return Pack(
            task=task,
            metric=self.metric,
            reference=reference,
            counts={name: self.counts[name] for name in candidates},
            payload=base64.b64encode(packed).decode(),
        )


def _sides(items: pd.DataFrame, scores: Array, rows: Rows) -> list[list[Any]]:
    """Response, score and margin of each of these rows."""
    margins = choice_margins(_values(items, "choice_logprobs", rows))
    responses = _values(items, "response", rows)
    return [
        [_shown(response), round(float(score), 4), None if math.isnan(margin) else round(float(margin), 3)]
        for response, score, margin in zip(responses, scores[rows], margins, strict=True)
    ]


def _values(items: pd.DataFrame, name: str, rows: Rows) -> list[Any]:
    """A column at these rows; through numpy, which takes a few of many rows much faster than pandas does."""
    return items[name].to_numpy()[rows].tolist()  # type: ignore[no-any-return]


def _shown(value: Any) -> str:
    return "" if pd.isna(value) else visible(str(value), MAX_TEXT)
