"""The content of a leaderboard, gathered from results folders: who is ranked, who is not, and why.

An entry is ranked by recovery: what it keeps of its own reference on the items of the board. A family's is the mean
over its tasks, the overall one the mean over the families. A task on which a reference is not above chance, or scores
0, does not count for its candidates: what it does not know cannot be lost.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from kick.comparison.ranking import Standing, standings
from kick.reports.findings import Findings
from kick.reports.leaderboard import folders
from kick.reports.leaderboard.admission import (
    Admitted,
    admit,
    cells,
    damage,
    entry_of,
    is_ranked,
    objection,
    ranked_tasks,
    unknown_tasks,
)
from kick.reports.leaderboard.folders import UNREADABLE, why_unreadable
from kick.reports.leaderboard.plans import BoardPlan
from kick.reports.leaderboard.records import OVERALL, Base, Board, BoardEntry, Refused
from kick.store import Store
from kick.store.snapshot import Snapshot


def gather(stores: Sequence[Store]) -> Board:
    """Read results folders into one board; what cannot be on it is refused with the reason.

    Args:
        stores: The folders. The first that scored a task sets its plan, and the first of equal weights is the entry.

    Raises:
        InputError: No folder is given, or one twice.
    """
    reader = _Reader(folders.labelled(stores))
    admitted = list(reader.admitted())
    tasks = tuple(sorted((cell.task for cell in reader.plan.cells.values()), key=lambda t: not is_ranked(t)))
    families: dict[str, tuple[str, ...]] = {}
    for task in ranked_tasks(tasks):
        families[task.family] = (*families.get(task.family, ()), task.name)
    entries = _ranked(admitted, families)
    return Board(
        entries=tuple(entries),
        refused=tuple(
            Refused(folder=folder, checkpoints=tuple(names), reason=reason)
            for (folder, reason), names in reader.refused.items()
        ),
        bases=tuple(
            _base(folder, findings, reader.names, entries)
            for folder, findings in reader.findings.items()
            if any(entry.folder == folder for entry in entries)
        ),
        tasks=tasks,
        families=families,
        plan_cells=reader.plan.cells,
        findings=reader.findings,
    )


class _Reader:
    """Reads folders one by one; what one of them raises is the reason why it is refused.

    Attributes:
        refused: The ids of refused checkpoints by folder and reason; without ids, the whole folder is refused.
        findings: The findings of the folders whose reference is sound.
        plan: The plan of the board.
        names: The names of the base models by fingerprint.
    """

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.findings: dict[str, Findings] = {}
        self.plan = BoardPlan()
        self._stores: dict[str, Snapshot] = {}
        for folder, store in stores.items():
            try:
                self._read(folder, store)
            except UNREADABLE as error:
                self.refused[folder, why_unreadable(error, store)] = []
        self.names = _base_names(list(self.findings.values()))

    def _read(self, folder: str, store: Store) -> None:
        snapshot, findings = folders.read(store)
        if problem := damage(snapshot, findings.reference):
            self.refused[folder, f"its reference {problem}"] = []
            return
        for cell in cells(findings, findings.reference):
            self.plan.adopt(cell)
        self._stores[folder], self.findings[folder] = snapshot, findings

    def admitted(self) -> Iterator[Admitted]:
        """Yield the checkpoints that are let in, folder by folder; the others are refused."""
        entries: dict[tuple[str, str], BoardEntry] = {}
        items: dict[str, pd.Series] = {}
        pages: set[str] = set()
        for folder, findings in self.findings.items():
            store = self._stores[folder]
            for checkpoint in findings.checkpoints[1:]:
                try:
                    reason = objection(store, findings, checkpoint, self.plan)
                    if reason is None:
                        entry = entry_of(folder, findings, checkpoint, self.names)
                        weights = (entry.base_fingerprint, entry.fingerprint)
                        if weights not in entries:
                            page = _free(entry.page, pages)
                            entry = entry.model_copy(update={"page": page})
                            admission = admit(store, entry, findings, items)
                            entries[weights] = entry
                            pages.add(page)
                            yield admission
                            continue
                        twin = entries[weights]
                        reason = f"the board has the same weights already: {twin.checkpoint} of {twin.folder}"
                except UNREADABLE as error:
                    reason = why_unreadable(error, store)
                self.refused.setdefault((folder, reason), []).append(checkpoint)


def _free(page: str, taken: Collection[str]) -> str:
    """Return the name of a page that no entry has; a folder may choose its ids and fingerprints to take another's."""
    numbered = (f"{page}-{number}" for number in itertools.count(2))
    return page if page not in taken else next(name for name in numbered if name not in taken)


def _ranked(admitted: Sequence[Admitted], families: Mapping[str, Sequence[str]]) -> list[BoardEntry]:
    """Return the entries with their ranks, best first; each column ranks the entries that have all of its tasks."""
    columns = {OVERALL: families} | {family: {family: tasks} for family, tasks in families.items()}
    by_page: dict[str, dict[str, Standing]] = {one.entry.page: {} for one in admitted}
    for column, below in columns.items():
        tasks = [task for members in below.values() for task in members]
        shares = {one.entry.page: _weights(below, one.unknown) for one in admitted}
        members = [one for one in admitted if set(tasks) <= one.samples.keys() and shares[one.entry.page]]
        if not members:
            continue
        samples = [[one.samples[task] for one in members] for task in tasks]
        weights = np.array([[shares[one.entry.page].get(task, 0.0) for one in members] for task in tasks])
        ranked = standings([one.entry.page for one in members], samples, weights)
        for one in members:
            page = one.entry.page
            by_page[page][column] = _as_compared(ranked[page], one.entry, shares[page])
    everywhere = [task for members in families.values() for task in members]
    return sorted(
        (
            one.entry.model_copy(
                update={"standings": by_page[one.entry.page], "missing": _missing(one.entry, everywhere)}
            )
            for one in admitted
        ),
        key=_place,
    )


def _weights(families: Mapping[str, Sequence[str]], unknown: Sequence[str]) -> dict[str, float]:
    """Return the weight of each task on which the reference knows something; empty if it knows nothing."""
    known = {
        family: counted
        for family, tasks in families.items()
        if (counted := [task for task in tasks if task not in unknown])
    }
    return {task: 1 / (len(known) * len(tasks)) for tasks in known.values() for task in tasks}


def _as_compared(standing: Standing, entry: BoardEntry, tasks: Mapping[str, float]) -> Standing:
    """Return the standing; if one task counts, with the recovery of its comparison, which reports show as well."""
    comparison = entry.comparisons[next(iter(tasks))]
    if len(tasks) > 1:
        return standing
    return standing.model_copy(update={"kept": comparison.ratio, "matching": comparison.matching})


def _missing(entry: BoardEntry, tasks: Sequence[str]) -> dict[str, str]:
    """Return why tasks do not count, those that are not in the suite of the entry included."""
    unknown = {task: "not in its suite" for task in tasks if task not in entry.comparisons}
    return unknown | entry.missing


def _place(entry: BoardEntry) -> tuple[bool, float, str]:
    overall = entry.standings.get(OVERALL)
    if overall is None:
        return True, -len(entry.standings), entry.page
    return False, -overall.kept.value, entry.page


def _base_names(findings: Sequence[Findings]) -> dict[str, str]:
    """Return the name of each reference's model by fingerprint; with the fingerprint if two models share a name."""
    named: dict[str, str] = {}
    for part in findings:
        if record := part.records.get(part.reference):
            named.setdefault(record.fingerprint, record.checkpoint.model)
    names = list(named.values())
    return {
        fingerprint: name if names.count(name) == 1 else f"{name} ({fingerprint[:8]})"
        for fingerprint, name in named.items()
    }


def _base(folder: str, findings: Findings, names: Mapping[str, str], entries: Sequence[BoardEntry]) -> Base:
    record = findings.records.get(findings.reference)
    return Base(
        name=names[record.fingerprint] if record else findings.reference,
        folder=folder,
        checkpoint=findings.reference,
        entries=sum(entry.folder == folder for entry in entries),
        unknown=unknown_tasks(findings),
    )
