"""The files of a leaderboard: its pages, and the same as JSON and CSV next to each."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from kick import text
from kick.gating.rendering import summary_line
from kick.reports import frame
from kick.reports.blocks import (
    Block,
    Bullets,
    Figure,
    Link,
    Paragraph,
    Section,
    Table,
    Terms,
    applicable,
)
from kick.reports.figures import style
from kick.reports.figures.curves import curve
from kick.reports.figures.gallery import curve_caption
from kick.reports.findings import Findings, Group
from kick.reports.formats.web import data_uri, picture, render
from kick.reports.glossary import BOARD
from kick.reports.leaderboard import tables
from kick.reports.leaderboard.badge import badge
from kick.reports.leaderboard.records import OVERALL, Board, BoardEntry
from kick.reports.tables import provenance
from kick.reports.tables.checkpoints import checkpoints
from kick.reports.tables.scores import curve_data
from kick.types import Comparison, Estimate, Origin, Record

_BITS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32)
_BYTES = tuple(int(step * 10**power) for power in range(6, 13) for step in (1, 2, 5))


def site(board: Board) -> dict[str, str]:
    """Return every file of the site by its path below it."""
    files = {
        "index.html": _index(board),
        "index.json": _index_json(board),
        "index.csv": frame.csv(_index_frame(board)),
    }
    figures: dict[tuple[str, str], bytes] = {}
    for entry in board.entries:
        findings = board.findings[entry.folder]
        group = next(group for group in findings.groups if entry.checkpoint in group.candidates)
        curve_key = (entry.folder, group.name)
        if group in findings.curves() and curve_key not in figures:
            figures[curve_key] = style.svg(curve(findings, group))
        picture_of_badge = badge(entry)
        files[f"badges/{entry.page}.svg"] = picture_of_badge
        stem = f"checkpoints/{entry.page}"
        files[f"{stem}.html"] = _page(board, entry, group, figures.get(curve_key), picture_of_badge.encode())
        files[f"{stem}.json"] = _page_json(board, entry)
        files[f"{stem}.csv"] = frame.csv(frame.tidy(_alone(findings, entry)))
    return files


def lead(board: Board) -> str:
    """Return the sentence that opens the board: who is ranked, and on what."""
    tasks = [task for members in board.families.values() for task in members]
    items = {board.plan_cells[task].items for task in tasks}
    bases = {base.name for base in board.bases}
    parts = [
        f"{text.count(len(board.entries), 'compressed checkpoint')} of {text.count(len(bases), 'base model')}, "
        f"by how much of the base model's knowledge they keep on {text.count(len(tasks), 'task')} "
        f"of {text.number_range(items)} items."
    ]
    if board.incomplete:
        parts.append(f"{text.count(len(board.incomplete), 'is', 'are')} incomplete.")
    if board.refused:
        parts.append(f"{text.count(board.refusals, 'entry was', 'entries were')} refused.")
    return " ".join(parts)


def _index(board: Board) -> str:
    measured = [entry.record.description for entry in board.entries]
    sections = (
        Section(
            "incomplete", "Incomplete: no overall rank", "", _if_rows(tables.incomplete(board)), "Incomplete"
        ),
        Section("refused", "Refused", "", (tables.refused(board),)),
        Section("bases", "Base models: what 100 % means", "", (tables.bases(board),), "Base models"),
        Section("plans", "What was scored", "", (tables.plans(board),)),
        Section("legend", "How to read this", "", (Terms(BOARD),)),
    )
    content = {
        "lead": lead(board),
        "board": replace(tables.standings(board), links=tuple(_link(entry) for entry in board.entries)),
        "choices": {
            "base": [(name, name) for name in sorted({entry.base for entry in board.entries})],
            "method": [(name, name) for name in sorted({entry.method for entry in board.entries})],
            "bits": [(step, f"{step} bits") for step in _steps([e.bits for e in board.entries], _BITS)],
            "bytes": [
                (step, text.bytes_(step))
                for step in _steps([one.bytes_on_disk if one else None for one in measured], _BYTES)
            ],
        },
        "sections": list(applicable(sections, {})),
    }
    return render("leaderboard.html", ("board.js",), content)


def _if_rows(table: Table) -> tuple[Table, ...]:
    return (table,) if table.rows else ()


def _link(entry: BoardEntry) -> Link:
    measured = entry.record.description
    facts = {
        "base": entry.base,
        "method": entry.method,
        "bits": entry.bits,
        "bytes": measured.bytes_on_disk if measured else None,
    }
    return Link(
        address=f"checkpoints/{entry.page}.html",
        facts={name: value for name, value in facts.items() if value is not None},
    )


def _steps(values: Sequence[float | None], ladder: Sequence[int]) -> list[int]:
    """Return the steps of a ladder that leave some of the values out, but not all."""
    known = [value for value in values if value is not None]
    return [step for step in ladder if known and min(known) <= step < max(known)]


def _page(board: Board, entry: BoardEntry, group: Group, figure: bytes | None, badge_svg: bytes) -> str:
    findings = board.findings[entry.folder]
    alone = _alone(findings, entry)
    by_page = {other.page: other for other in board.entries}
    overall = entry.standings.get(OVERALL)
    name = f"curve-{group.name}"
    pictures = {name: picture(figure)} if figure else {}
    content = {
        "entry": entry,
        "overall": overall,
        "verdict": summary_line(entry.verdict),
        "kept": text.percent(overall.kept) if overall else "",
        "rank": tables.ranks(overall) if overall else "",
        "tied": [by_page[page] for page in overall.tied] if overall else [],
        "badge": data_uri(badge_svg),
        "families": tables.families(board, entry),
        "pictures": pictures,
        "sections": list(
            applicable(_sections(entry, alone, findings, group, board.origins[entry.folder]), pictures)
        ),
    }
    return render("checkpoint.html", (), content)


def _sections(
    entry: BoardEntry, alone: Findings, findings: Findings, group: Group, files: Origin
) -> tuple[Section, ...]:
    """Return the sections of the page of an entry, below its rank."""
    results, weights = tables.results(entry, alone), checkpoints(alone)
    tasks: list[Block] = [results]
    if caveats := _caveats(alone, entry):
        tasks += [Paragraph("Compared, although:"), Bullets(tuple(caveats))]
    data = curve_data(findings, group)
    figure = Figure(f"curve-{group.name}", curve_caption(findings, group), "The numbers follow.", data)
    software = text.one_line(provenance.versions(alone.cells()), 600)
    origin = (
        f"Results folder: {text.one_line(entry.folder, 200)}, suite {text.one_line(entry.suite, 200)}. "
        f"Its files: {files}. "
        f"Software: {software}."
    )
    return (
        Section("tasks", results.title, "", tuple(tasks), "Tasks"),
        Section("measured", "What was measured on its weights", "", (weights,), "Weights"),
        Section("curve", f"Its series: {group.name}", "", (figure,), "Curve"),
        Section(
            "provenance",
            "Provenance",
            "",
            (
                Paragraph(origin),
                provenance.checkpoints(alone),
                provenance.tasks(alone),
                Paragraph("How the intervals were made:"),
                Bullets(tuple(provenance.interval_methods(alone))),
            ),
        ),
    )


def _alone(findings: Findings, entry: BoardEntry) -> Findings:
    """Return the findings on an entry and its reference."""
    both = (entry.reference, entry.checkpoint)
    return findings.model_copy(
        update={
            "checkpoints": both,
            "entries": {task: {name: row[name] for name in both} for task, row in findings.entries.items()},
        }
    )


def _caveats(alone: Findings, entry: BoardEntry) -> list[str]:
    """Return each caveat of a comparison with the tasks that it holds for."""
    tasks: dict[str, list[str]] = {}
    for task in alone.tasks:
        comparison = alone.entry(task, entry.checkpoint).comparison
        for caveat in comparison.caveats if comparison else ():
            tasks.setdefault(caveat, []).append(task.name)
    return [f"{', '.join(names)}: {caveat}" for caveat, names in tasks.items()]


def _index_json(board: Board) -> str:
    content = {
        "entries": [_plain(entry, "comparisons", "verdict") for entry in board.entries],
        "refused": [_plain(one) for one in board.refused],
        "bases": [_plain(base) for base in board.bases],
        "origins": {folder: _plain(origin) for folder, origin in board.origins.items()},
        "families": board.families,
        "tasks": [{"task": _plain(task), "plan": _plan(board, task.name)} for task in board.tasks],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _plan(board: Board, task: str) -> Any:
    return _plain(board.plan_cells[task].identity.plan)


def _plain(record: Record, *without: str) -> Any:
    """Return a record as JSON has it: infinities, which JSON lacks, become strings."""
    return json.loads(record.model_dump_json(exclude=set(without)))


def _page_json(board: Board, entry: BoardEntry) -> str:
    alone = _alone(board.findings[entry.folder], entry)
    cells = [_plain(cell) for cell in alone.cells()]
    return json.dumps({"entry": _plain(entry), "cells": cells}, indent=1, allow_nan=False) + "\n"


def _index_frame(board: Board) -> pd.DataFrame:
    """Return one row per entry; shares and ratios as they are, not in percent."""
    return pd.DataFrame([_index_row(board, entry) for entry in board.entries])


def _index_row(board: Board, entry: BoardEntry) -> dict[str, Any]:
    measured = entry.record.description
    row: dict[str, Any] = {
        "checkpoint": entry.checkpoint,
        "base": entry.base,
        "suite": entry.suite,
        "folder": entry.folder,
        "files": board.origins[entry.folder].kind,
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
        judged = entry if column == OVERALL else entry.verdict.family(column)
        row |= _estimate(column, standing.kept if standing else None)
        row |= {
            f"{column}_rank_best": standing.best if standing else None,
            f"{column}_rank_worst": standing.worst if standing else None,
            f"{column}_ranked": standing.of if standing else None,
            f"{column}_verdict": judged.outcome if judged else None,
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
