"""The content of a leaderboard as records: its entries, its base models, and the refusals."""

from dataclasses import dataclass

from kick.comparison.ranking import Standing
from kick.reports.findings import Findings
from kick.types import Cell, CheckpointRecord, Comparison, Origin, Outcome, Record, TaskInfo, Verdict

OVERALL = "overall"
NOT_STATED = "not stated"


class BoardEntry(Record):
    """A compressed checkpoint on the board.

    Attributes:
        page: The name of its files, made of what it is and not of its rank, so that links to it last.
        folder: The label of its results folder.
        suite: The name of its suite.
        base: The model that it was made from.
        base_fingerprint: The fingerprint of that model.
        reference: The id of that model in the folder.
        checkpoint: Its id.
        fingerprint: Its fingerprint.
        method: How it was made, in one word.
        made_by: How it was made, in full.
        bits: The bits of its recipe, else of the whole model as stored.
        record: Its record.
        standings: Its ranks, overall and by family, as far as it has all tasks.
        comparisons: Its comparisons with the reference, by task.
        verdict: The answer of the policy, as `kick gate` gives it for its results folder.
        outcome: The outcome of the verdict.
        missing: Why a task does not count, by task.
    """

    page: str
    folder: str
    suite: str
    base: str
    base_fingerprint: str
    reference: str
    checkpoint: str
    fingerprint: str
    method: str
    made_by: str
    bits: float | None
    record: CheckpointRecord
    standings: dict[str, Standing]
    comparisons: dict[str, Comparison]
    verdict: Verdict
    outcome: Outcome
    missing: dict[str, str]


class Refused(Record):
    """A refusal.

    Attributes:
        folder: The label of the results folder.
        checkpoints: The ids that were refused; none: the whole folder.
        reason: Why.
    """

    folder: str
    checkpoints: tuple[str, ...]
    reason: str

    @property
    def who(self) -> str:
        """The checkpoints, or the words for all of them."""
        return ", ".join(self.checkpoints) or "all of the folder"


class Base(Record):
    """The reference of one folder: what 100 % means for its candidates.

    Attributes:
        name: The name of the model.
        folder: The label of the results folder.
        checkpoint: Its id.
        entries: The number of entries that were made from it.
        unknown: The tasks that do not count, because it is not shown to be above the floor there.
    """

    name: str
    folder: str
    checkpoint: str
    entries: int
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        entries: The entries by what they keep overall; those that lack a task come last.
        refused: The refusals.
        bases: The references that entries were made from, in the order of the folders.
        tasks: The tasks; those that no rank is based on come last.
        families: The ranked tasks of each family.
        plan_cells: The cell whose plan is the board's, by task.
        findings: The findings of each folder.
        origins: Who vouches for the files of each folder.
    """

    entries: tuple[BoardEntry, ...]
    refused: tuple[Refused, ...]
    bases: tuple[Base, ...]
    tasks: tuple[TaskInfo, ...]
    families: dict[str, tuple[str, ...]]
    plan_cells: dict[str, Cell]
    findings: dict[str, Findings]
    origins: dict[str, Origin]

    @property
    def ranked(self) -> list[BoardEntry]:
        """The entries with an overall rank."""
        return [entry for entry in self.entries if OVERALL in entry.standings]

    @property
    def refusals(self) -> int:
        """The number of refused checkpoints; a folder refused as a whole counts as one."""
        return sum(max(len(one.checkpoints), 1) for one in self.refused)

    @property
    def incomplete(self) -> list[BoardEntry]:
        """The entries without an overall rank."""
        return [entry for entry in self.entries if OVERALL not in entry.standings]
