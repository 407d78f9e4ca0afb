"""The items behind the comparisons, packed for the item explorer of the web page.

Only items that changed are packed: those that flipped, or, of graded ones, whose score moved.
"""

import base64
import gzip
import json
import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from kick.comparison import load_pairs
from kick.comparison.items import changed_items
from kick.reports.findings import Findings
from kick.reports.text import visible
from kick.store import Store
from kick.types import Record

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


def pack(store: Store, findings: Findings) -> list[Pack]:
    """The items of every task that was compared, as far as a page can hold them.

    Where all comparisons together have more than `MAX_ITEMS` changed items, each gives the same number;
    losses come first.
    """
    tasks = [task for task in findings.tasks if task.family != "perplexity"]
    compared = {
        task.name: [name for name in findings.checkpoints if findings.entry(task, name).comparison]
        for task in tasks
    }
    pairs = sum(len(names) for names in compared.values())
    share = MAX_ITEMS // max(pairs, 1)
    packs = [_pack(store, findings, task.name, compared[task.name], share) for task in tasks]
    return [made for made in packs if made.counts]


def _pack(store: Store, findings: Findings, task: str, candidates: list[str], share: int) -> Pack:
    documents: dict[tuple[int, str], int] = {}
    rows: list[list[Any]] = []
    changes: dict[str, list[list[Any]]] = {}
    counts: dict[str, tuple[int, int]] = {}
    metric = ""
    for candidate in candidates:
        pairs = load_pairs(store, findings.reference, candidate, task)
        metric = pairs.metric
        frame = changed_items(pairs)
        kept = frame.head(share)
        counts[candidate] = (len(frame), len(kept))
        changes[candidate] = []
        for item in kept.to_dict("records"):
            key = (item["doc_id"], item["prompt"])
            if key not in documents:
                documents[key] = len(rows)
                rows.append(
                    [item["doc_id"], *_shown(item, "group", "prompt", "target"), *_side(item, "reference")]
                )
            changes[candidate].append([documents[key], item["change"], *_side(item, "candidate")])
    content = json.dumps({"documents": rows, "changes": changes}, ensure_ascii=False, separators=(",", ":"))
    packed = gzip.compress(content.encode("utf-8", "replace"), mtime=0)
    return Pack(
        task=task,
        metric=metric,
        reference=findings.reference,
        counts=counts,
        payload=base64.b64encode(packed).decode(),
    )


def _side(item: Mapping[Hashable, Any], side: str) -> list[Any]:
    """Response, score and margin of the reference or the candidate."""
    margin = item[f"{side}_margin"]
    return [
        *_shown(item, f"{side}_response"),
        round(item[f"{side}_score"], 4),
        None if math.isnan(margin) else round(margin, 3),
    ]


def _shown(item: Mapping[Hashable, Any], *names: str) -> list[str]:
    return ["" if pd.isna(item[name]) else visible(str(item[name]), MAX_TEXT) for name in names]
