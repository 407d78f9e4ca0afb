"""The items behind the comparisons, packed for the item explorer of the web page.

Only items that changed are packed: those that flipped, and graded ones whose score moved.
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

# Items on a page.
MAX_ITEMS = 100_000
# Characters of a prompt or a response.
MAX_TEXT = 20_000


class Pack(Record):
    """The changed items of one task.

    Attributes:
        task: The task.
        metric: Its metric.
        reference: The id of the reference.
        counts: The number of items that changed and the number of those packed, by candidate.
        payload: Base64 of gzipped JSON: `documents`, each [doc id, group, prompt, target, response, score, margin] with
            the reference's answer, and `changes`, for each candidate a list of [index of the document, change,
            response, score, margin].
    """

    task: str
    metric: str
    reference: str
    counts: dict[str, tuple[int, int]]
    payload: str


class Explorer:
    """Packs the items of every task as far as a page can hold them, while `gather` has them in memory.

    If all comparisons together have more than `MAX_ITEMS` changed items, each gives the same number; losses come first.

    Args:
        comparisons: The number of comparisons to see, at most.
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
        documents = task.documents(pairs, kept)
        sides = _sides(pairs.candidate_items, pairs.sample.b, kept)
        task.changes[candidate] = [
            [document, str(kinds[row]), *side]
            for document, row, side in zip(documents, kept, sides, strict=True)
        ]

    def packs(self, findings: Findings) -> list[Pack]:
        """Return the packed items, in the order of the report."""
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
        self._indices: dict[tuple[int, str], int] = {}

    def documents(self, pairs: Pairs, rows: Rows) -> list[int]:
        """Return the indices of the documents of these rows; new documents are added."""
        items = pairs.reference_items
        keys = list(zip(*(_values(items, name, rows) for name in ("doc_id", "prompt")), strict=True))
        new = [row for row, key in enumerate(keys) if key not in self._indices]
        if not new:
            return [self._indices[key] for key in keys]
        fresh = rows[new]
        texts = zip(*(_values(items, name, fresh) for name in ("group", "prompt", "target")), strict=True)
        sides = _sides(items, pairs.sample.a, fresh)
        for row, text, side in zip(new, texts, sides, strict=True):
            # A document may occur twice among these rows.
            if keys[row] in self._indices:
                continue
            self._indices[keys[row]] = len(self._rows)
            self._rows.append([keys[row][0], *(_text(part) for part in text), *side])
        return [self._indices[key] for key in keys]

    def pack(self, task: str, reference: str, order: Sequence[str]) -> Pack:
        """Return the items as a pack, with the candidates in this order."""
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
    """Return response, score and margin of each of these rows."""
    margins = choice_margins(_values(items, "choice_logprobs", rows))
    responses = _values(items, "response", rows)
    return [
        [_text(response), round(float(score), 4), None if math.isnan(margin) else round(float(margin), 3)]
        for response, score, margin in zip(responses, scores[rows], margins, strict=True)
    ]


def _values(items: pd.DataFrame, name: str, rows: Rows) -> list[Any]:
    """Return a column at these rows, by numpy, which takes a few of many rows much faster than pandas does."""
    return items[name].to_numpy()[rows].tolist()  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    return "" if pd.isna(value) else visible(str(value), MAX_TEXT)
