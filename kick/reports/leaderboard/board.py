"""The content of a leaderboard, gathered from results folders: who is ranked, who is not, and why.

An entry is ranked by recovery above the floor: what it keeps of its own reference on the items of the board, with
what answerers without knowledge score taken off both. Of a family it keeps what its verdict says
(`kick.gating.families`): the ratio of mean scores over the tasks that count. Overall it keeps the mean over the
families. A task on which a reference is not shown to be above its floor, or above chance if no floor was measured,
does not count for its candidates: what it does not know cannot be lost. Marks and colours are those of the verdict,
as `kick gate` gives it.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from kick.comparison.ranking import Standing, standings
from kick.gating import family_members
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
    unknown_tasks,
)
from kick.reports.leaderboard.folders import UNREADABLE, why_unreadable
from kick.reports.leaderboard.plans import BoardPlan
from kick.reports.leaderboard.records import OVERALL, Base, Board, BoardEntry, Refused
from kick.store import Store
from kick.store.signatures import PublicKey, find_minisign, find_origin
from kick.store.snapshot import Snapshot
from kick.types import FamilyScore, Origin


def gather(stores: Sequence[Store], keys: Sequence[PublicKey] = ()) -> Board:
    """Read results folders into one board; what cannot be on it is refused with the reason.

    Args:
        stores: The folders. The first that scored a task sets its plan, and the first of equal weights is the entry.
        keys: The keys that are trusted to sign folders.

    Raises:
        InputError: No folder is given, or one twice; or keys are given, and minisign is not installed.
    """
    if keys:
        find_minisign()
    reader = _Reader(folders.labelled(stores), keys)
    admitted = list(reader.admitted())
    tasks = tuple(sorted((cell.task for cell in reader.plan.cells.values()), key=lambda t: not is_ranked(t)))
    families = {str(family): members for family, members in family_members(tasks).items()}
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
        origins=reader.origins,
    )


class _Reader:
    """Reads folders one by one; what one of them raises is the reason why it is refused.

    Attributes:
        refused: The ids of refused checkpoints by folder and reason; without ids, the whole folder is refused.
        findings: The findings of the folders whose reference is sound.
        plan: The plan of the board.
        names: The names of the base models by fingerprint.
        origins: Who vouches for the files of these folders.
    """

    def __init__(self, stores: Mapping[str, Store], keys: Sequence[PublicKey]) -> None:
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.findings: dict[str, Findings] = {}
        self.origins: dict[str, Origin] = {}
        self.plan = BoardPlan()
        self._keys = keys
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
        self.origins[folder] = find_origin(store, self._keys)
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
        scores = {one.entry.page: _scores(below, one) for one in admitted}
        members = [one for one in admitted if set(tasks) <= one.samples.keys() and scores[one.entry.page]]
        if not members:
            continue
        samples = [[one.samples[task] for one in members] for task in tasks]
        shares = [_shares(scores[one.entry.page], one) for one in members]
        weights, centres = (
            np.array([[share.get(task, (0.0, 0.0))[part] for share in shares] for task in tasks])
            for part in (0, 1)
        )
        ranked = standings([one.entry.page for one in members], samples, weights, centres)
        for one in members:
            page = one.entry.page
            by_page[page][column] = _as_judged(ranked[page], scores[page])
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


def _scores(families: Mapping[str, Sequence[str]], one: Admitted) -> list[FamilyScore]:
    """Return what is kept of the families of which the reference knows something; nothing if one is missing."""
    scores = []
    for family, tasks in families.items():
        if score := one.entry.verdict.family(family):
            scores.append(score)
        elif not set(tasks) <= set(one.unknown):
            return []
    return scores


def _shares(scores: Sequence[FamilyScore], one: Admitted) -> dict[str, tuple[float, float]]:
    """Return the weight of each task that counts, with the ratio of the mean scores of its family.

    The weight of a task in its family is its part in the sum of the reference's scores above the floor: the weighted
    mean of recoveries is then the ratio of the mean scores.
    """
    shares = {}
    for score in scores:
        above = {
            task: one.samples[task].moments.mean_a - (one.samples[task].floor or 0.0) for task in score.tasks
        }
        for task, mean in above.items():
            shares[task] = (mean / sum(above.values()) / len(scores), score.kept.value)
    return shares


def _as_judged(standing: Standing, scores: Sequence[FamilyScore]) -> Standing:
    """Return the standing; if one family counts, with the numbers that its verdict has."""
    return standing if len(scores) > 1 else standing.model_copy(update={"kept": scores[0].kept})


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
