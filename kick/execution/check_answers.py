"""The answers of a checkpoint to a task that is scored block by block: no item is answered twice.

A cell's key contains its limit, so a larger limit is another cell. The answers are therefore kept by document, in one
journal per checkpoint and task that outlives the cells. To grow a cell, the items of the new block alone go through
the engine, and the cell is scored from the answers to all of its items.

The requests of the earlier items cannot simply be put in the journal of the larger cell: batches are cut from a whole
plan, and those that mix old and new items would be computed again. Batches of a block are cut from that block, so a
number may differ from that of one `kick run` over the same items as it differs between batch sizes: within the noise
floor. A check that was killed cuts the same blocks and computes the same numbers as one that was not.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kick.draws import draw_order
from kick.engines.base import Engine, Progress, Request, Response, Score, as_response
from kick.execution.jobs import Job
from kick.files import digest
from kick.harness.plan import PlannedItem
from kick.harness.scoring import TaskWork
from kick.harness.work import Scored
from kick.store import Journal, Store, cell_key
from kick.types import CellIdentity

# Requests of one item, at most: a row of the journal is the number of the document times this, plus the request's.
_MOST_REQUESTS = 1 << 16


def score_block(
    engine: Engine, job: Job, task: str, store: Store, *, earlier: int, progress: Progress | None = None
) -> Scored:
    """Answer the items of a task that no earlier block holds, and score all items of the plan.

    Args:
        engine: the engine of the checkpoint.
        job: the checkpoint with the plan of its task.
        task: the name of a task.
        store: the results folder, which keeps the answers.
        earlier: the limit of the cell that this one continues; 0 if it is the first.
        progress: called with the number of requests that were answered since the last call.
    """
    work = job.work[task]
    assert isinstance(work, TaskWork)
    items, info = work.plan.items, work.info
    key = _book_key(job.identities[task])
    path = store.journal_path(job.checkpoint.id, key)
    everything = _BlockJournal(path, key, items)
    before = set(draw_order(work.available, info.seed)[:earlier])
    known = everything.read()
    fresh = tuple(
        item
        for item, positions in zip(items, everything.positions, strict=True)
        # A prompt that changed with the limit (drawn examples) is another request, which was not answered yet.
        if item.doc_id not in before or not all(position in known for position in positions)
    )
    if fresh:
        requests = [request for item in fresh for request in item.requests]
        engine.answer(requests, _BlockJournal(path, key, fresh), progress)
        known = everything.read()
    responses: list[Response] = [
        as_response(request, known[position]) for position, request in enumerate(work.plan.requests)
    ]
    return Scored(work.score(responses), None)


def same_measurement(one: CellIdentity, other: CellIdentity) -> bool:
    """Return whether two cells differ in nothing but the number of items."""
    return _book_key(one) == _book_key(other)


def _book_key(identity: CellIdentity) -> str:
    """Return the key of the journal by document: that of a cell without what depends on the limit."""
    plan = identity.plan.model_copy(update={"hash": "", "documents": "", "limit": None, "items": 0})
    return cell_key(identity.model_copy(update={"plan": plan}))


class _BlockJournal(Journal):
    """The part of a journal by document that holds the requests of some items, by position among these.

    Each response is kept with a hash of its request, and counts for no other one.
    """

    def __init__(self, path: Path, key: str, items: Sequence[PlannedItem]) -> None:
        super().__init__(path, key)
        self._rows: list[int] = []
        self._marks: list[str] = []
        self.positions: list[range] = []
        for item in items:
            start = len(self._rows)
            for number, request in enumerate(item.requests):
                self._rows.append(item.doc_id * _MOST_REQUESTS + number)
                self._marks.append(_mark(request))
            self.positions.append(range(start, len(self._rows)))

    def read(self) -> dict[int, Any]:
        """Return position -> response for the requests of these items."""
        kept = super().read()
        return {
            position: kept[row][1]
            for position, (row, mark) in enumerate(zip(self._rows, self._marks, strict=True))
            if row in kept and kept[row][0] == mark
        }

    def append(self, rows: Sequence[int], responses: Sequence[Any]) -> None:
        """Add one batch of responses to the requests at the positions `rows`."""
        marked = [[self._marks[row], response] for row, response in zip(rows, responses, strict=True)]
        super().append([self._rows[row] for row in rows], marked)


def _mark(request: Request) -> str:
    if isinstance(request, Score):
        return digest(json.dumps(["score", request.context, request.continuation]))
    settings = [request.stop, request.budget, request.temperature, request.seed]
    return digest(json.dumps(["generate", request.context, *settings]))
