"""The files of a leaderboard: its pages, and the same as JSON and CSV beside each."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from kick.reports import frame, text
from kick.reports.figures import style
from kick.reports.figures.curves import curve
from kick.reports.figures.gallery import curve_caption
from kick.reports.findings import Findings, Group
from kick.reports.formats.web import data_uri, picture, render
from kick.reports.leaderboard import tables
from kick.reports.leaderboard.badge import badge
from kick.reports.leaderboard.records import OVERALL, Board, BoardEntry
from kick.reports.leaderboard.words import LEGEND, lead
from kick.reports.tables import provenance
from kick.reports.tables import scores as report_tables
from kick.types import Comparison, Estimate

MARK = '<meta name="generator" content="kick">'
_BITS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32)
_BYTES = tuple(int(step * 10**power) for power in range(6, 13) for step in (1, 2, 5))


def site(board: Board) -> dict[str, str]:
    """Every file of the site by its path below it."""
    files = {
        "index.html": _index(board),
        "index.json": _index_json(board),
        "index.csv": frame.csv(_index_frame(board)),
    }
    figures: dict[tuple[str, str], bytes] = {}
    for entry in board.entries:
        found = board.findings[entry.folder]
        group = next(group for group in found.groups if entry.checkpoint in group.candidates)
        if group in found.curves() and (entry.folder, group.name) not in figures:
            figures[entry.folder, group.name] = style.svg(curve(found, group))
        drawn = badge(entry)
        files[f"badges/{entry.page}.svg"] = drawn
        stem = f"checkpoints/{entry.page}"
        files[f"{stem}.html"] = _page(
            board, entry, group, figures.get((entry.folder, group.name)), drawn.encode()
        )
        files[f"{stem}.json"] = _page_json(board, entry)
        files[f"{stem}.csv"] = frame.csv(frame.tidy(_alone(found, entry)))
    return files


def _index(board: Board) -> str:
    measured = [entry.record.description for entry in board.entries]
    content = {
        "lead": lead(board),
        "board": tables.standings(board),
        "rows": [_row_facts(entry) for entry in board.entries],
        "choices": {
            "base": [(name, name) for name in sorted({entry.base for entry in board.entries})],
            "method": [(name, name) for name in sorted({entry.method for entry in board.entries})],
            "bits": [(step, f"{step} bits") for step in _steps([e.bits for e in board.entries], _BITS)],
            "bytes": [
                (step, text.bytes_(step))
                for step in _steps([one.bytes_on_disk if one else None for one in measured], _BYTES)
            ],
        },
        "incomplete": tables.incomplete(board),
        "refused": tables.refused(board),
        "bases": tables.bases(board),
        "plans": tables.plans(board),
        "legend": LEGEND,
    }
    return render("leaderboard.html", ("board.js",), content)


def _row_facts(entry: BoardEntry) -> dict[str, Any]:
    measured = entry.record.description
    facts = {
        "base": entry.base,
        "method": entry.method,
        "bits": entry.bits,
        "bytes": measured.bytes_on_disk if measured else None,
    }
    return {
        "href": f"checkpoints/{entry.page}.html",
        "facts": {name: value for name, value in facts.items() if value is not None},
    }


def _steps(values: Sequence[float | None], ladder: Sequence[int]) -> list[int]:
    """The steps of a ladder that leave some of the values out and not all."""
    known = [value for value in values if value is not None]
    return [step for step in ladder if known and min(known) <= step < max(known)]


def _page(board: Board, entry: BoardEntry, group: Group, figure: bytes | None, drawn_badge: bytes) -> str:
    found = board.findings[entry.folder]
    alone = _alone(found, entry)
    names = {other.page: other for other in board.entries}
    overall = entry.standings.get(OVERALL)
    content = {
        "entry": entry,
        "overall": overall,
        "kept": text.percent(overall.kept) if overall else "",
        "rank": tables.ranks(overall) if overall else "",
        "tied": [names[page] for page in overall.tied] if overall else [],
        "badge": data_uri(drawn_badge),
        "families": tables.families(board, entry),
        "results": tables.results(entry, alone),
        "measured": report_tables.checkpoints(alone),
        "group": group,
        "caption": curve_caption(found, group),
        "figure": picture(figure),
        "data": report_tables.curve_data(found, group),
        "caveats": _caveats(alone, entry),
        "versions": provenance.versions(alone.cells()),
        "provenance": [provenance.checkpoints(alone), provenance.tasks(alone)],
        "methods": provenance.interval_methods(alone),
    }
    return render("checkpoint.html", (), content)


def _alone(found: Findings, entry: BoardEntry) -> Findings:
    """What a report says of an entry and its reference."""
    both = (entry.reference, entry.checkpoint)
    return found.model_copy(
        update={
            "checkpoints": both,
            "entries": {task: {name: row[name] for name in both} for task, row in found.entries.items()},
        }
    )


def _caveats(alone: Findings, entry: BoardEntry) -> list[str]:
    """Each caveat of a comparison, with the tasks that it holds for."""
    tasks: dict[str, list[str]] = {}
    for task in alone.tasks:
        comparison = alone.entry(task, entry.checkpoint).comparison
        for caveat in comparison.caveats if comparison else ():
            tasks.setdefault(caveat, []).append(task.name)
    return [f"{', '.join(names)}: {caveat}" for caveat, names in tasks.items()]


def _index_json(board: Board) -> str:
    content = {
        "entries": [entry.model_dump(mode="json", exclude={"comparisons"}) for entry in board.entries],
        "refused": [one.model_dump(mode="json") for one in board.refused],
        "bases": [base.model_dump(mode="json") for base in board.bases],
        "families": board.families,
        "tasks": [
            {"task": task.model_dump(mode="json"), "plan": _plan(board, task.name)} for task in board.tasks
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _plan(board: Board, task: str) -> dict[str, Any]:
    return board.plan_cells[task].identity.plan.model_dump(mode="json")


def _page_json(board: Board, entry: BoardEntry) -> str:
    alone = _alone(board.findings[entry.folder], entry)
    cells = [cell.model_dump(mode="json") for cell in alone.cells()]
    return json.dumps({"entry": entry.model_dump(mode="json"), "cells": cells}, indent=1) + "\n"


def _index_frame(board: Board) -> pd.DataFrame:
    """A row an entry; shares and ratios as they are, not in percent."""
    return pd.DataFrame([_index_row(board, entry) for entry in board.entries])


def _index_row(board: Board, entry: BoardEntry) -> dict[str, Any]:
    measured = entry.record.description
    row: dict[str, Any] = {
        "checkpoint": entry.checkpoint,
        "base": entry.base,
        "suite": entry.suite,
        "folder": entry.folder,
        "made_by": entry.made_by,
        "method": entry.method,
        "bits": entry.bits,
        "bits_per_weight": measured.bits_per_weight if measured else None,
        "sparsity": measured.sparsity if measured else None,
        "parameters": measured.parameters if measured else None,
        "nonzero": measured.nonzero if measured else None,
        "bytes_on_disk": measured.bytes_on_disk if measured else None,
    }
    for column in (OVERALL, *board.families):
        standing = entry.standings.get(column)
        row |= _estimate(column, standing.kept if standing else None)
        row |= {
            f"{column}_rank_best": standing.best if standing else None,
            f"{column}_rank_worst": standing.worst if standing else None,
            f"{column}_ranked": standing.of if standing else None,
            f"{column}_matching": standing.matching.outcome if standing else None,
        }
    for task in tables.unranked_tasks(board):
        comparison: Comparison | None = entry.comparisons.get(task.name)
        row |= _estimate(f"{task.name}_ratio", comparison.ratio if comparison else None)
    return row | {
        "missing": ", ".join(entry.missing),
        "fingerprint": entry.fingerprint,
        "base_fingerprint": entry.base_fingerprint,
        "page": f"checkpoints/{entry.page}.html",
    }


def _estimate(column: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        column: estimate.value if estimate else None,
        f"{column}_low": estimate.low if estimate else None,
        f"{column}_high": estimate.high if estimate else None,
        f"{column}_n": estimate.n if estimate else None,
    }
