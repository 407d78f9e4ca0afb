"""The same knowledge read in several ways, so a lost format is not taken for lost knowledge.

A checkpoint that falls in one readout and not in the others has lost a format; one that falls in all of them has lost
the knowledge (The Benchmark Illusion, arXiv 2606.17609).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pandas as pd

from kick.comparison.paired import score
from kick.errors import InputError
from kick.store import Store
from kick.types import Cell, Estimate, Record

# Subject -> the way in which it is read -> the task.
READOUTS: Mapping[str, Mapping[str, str]] = {
    "MMLU": {
        "letter, by likelihood": "kick_mmlu",
        "option text, by likelihood": "kick_mmlu_text",
        "letter, generated": "kick_mmlu_generated",
    },
    "FreebaseQA": {
        "open answer": "kick_freebaseqa",
        "one of four, by likelihood": "kick_freebaseqa_likelihood",
    },
    "PopQA": {"open answer": "kick_popqa", "one of four, by likelihood": "kick_popqa_likelihood"},
}
# Task -> the items that it leaves out of those that the other ways ask.
LEFT_OUT: Mapping[str, str] = {
    "kick_mmlu_text": "without the items that refer to their options",
}
FLAG = "gold_in_question"
FORMAT_FAILURE = "format_failure"


class Readout(Record):
    """One checkpoint on items that are read in one way."""

    # The name of the knowledge that is read, and the way.
    subject: str
    way: str
    task: str
    checkpoint: str
    score: Estimate
    # On the items whose question names their answer, and on the others; None: no question does, or it is not flagged.
    named: Estimate | None = None
    others: Estimate | None = None
    # The share of answers that are not in the requested format.
    format_failures: Estimate | None = None


def read_readouts(store: Store, checkpoints: Sequence[str]) -> tuple[Readout, ...]:
    """Return the readouts of every subject that was read in two ways or more.

    Whether a question names its answer is flagged on the items of the open readout; the other ways ask the same items.
    A damaged cell is left out.
    """
    readouts: list[Readout] = []
    for subject, ways in READOUTS.items():
        for checkpoint in checkpoints:
            cells = {way: cell for way, task in ways.items() if (cell := store.cell(checkpoint, task))}
            if len(cells) > 1:
                readouts += _of_subject(subject, cells, store)
    return tuple(readouts)


def _of_subject(subject: str, cells: Mapping[str, Cell], store: Store) -> list[Readout]:
    items: dict[str, pd.DataFrame] = {}
    for way, cell in cells.items():
        # The report names a damaged cell among its problems.
        with suppress(InputError):
            items[way] = store.items(cell)
    named = {
        int(document)
        for frame in items.values()
        if FLAG in frame
        for document in frame.loc[frame[FLAG] == 1, "doc_id"]
    }
    return [_readout(subject, way, cells[way], frame, named) for way, frame in items.items()]


def _readout(subject: str, way: str, cell: Cell, items: pd.DataFrame, named: set[int]) -> Readout:
    flagged = items["doc_id"].isin(named)
    apart = bool(flagged.any()) and not flagged.all()
    return Readout(
        subject=subject,
        way=way,
        task=cell.task.name,
        checkpoint=cell.checkpoint,
        score=score(cell, items),
        named=score(cell, items[flagged].reset_index(drop=True)) if apart else None,
        others=score(cell, items[~flagged].reset_index(drop=True)) if apart else None,
        format_failures=score(cell, items, FORMAT_FAILURE) if FORMAT_FAILURE in cell.task.metrics else None,
    )
