"""What a leaderboard says, as records: its entries, its base models, and what was refused."""

from dataclasses import dataclass

from kick.comparison.ranking import Standing
from kick.reports.findings import Findings
from kick.types import Cell, CheckpointRecord, Comparison, Record, TaskInfo

OVERALL = "overall"
NOT_STATED = "not stated"


class BoardEntry(Record):
    """A compressed checkpoint on the board."""

    page: str  # names its files; of what it is and not of where it stands, so that links to it last
    folder: str
    suite: str
    base: str  # the model that it was made from
    base_fingerprint: str
    reference: str  # id of the base in its folder
    checkpoint: str  # id
    fingerprint: str
    method: str
    made_by: str
    bits: float | None  # of its recipe, else of the whole model as stored
    record: CheckpointRecord
    standings: dict[str, Standing]  # OVERALL and families -> where it stands, where it has all tasks
    comparisons: dict[str, Comparison]  # task -> against the reference
    missing: dict[str, str]  # task -> why it does not count


class Refused(Record):
    """What is not on the board, and why."""

    folder: str
    checkpoints: tuple[str, ...]  # ids; none: the whole folder
    reason: str

    @property
    def who(self) -> str:
        return ", ".join(self.checkpoints) or "all of the folder"


class Base(Record):
    """A reference in one folder: what its candidates' 100 % stand for."""

    name: str
    folder: str
    checkpoint: str  # id
    entries: int
    unknown: tuple[str, ...]  # tasks on which it is not above chance, or scores 0: they do not count


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        entries: by what they keep overall; those that lack a task come last.
        refused: what is not on the board.
        bases: the references that entries were made from, in the order of the folders.
        tasks: of the board, those that no rank rests on last.
        families: family -> its ranked tasks.
        plan_cells: for each task the cell whose plan is the board's.
        findings: folder -> what its report says.
    """

    entries: tuple[BoardEntry, ...]
    refused: tuple[Refused, ...]
    bases: tuple[Base, ...]
    tasks: tuple[TaskInfo, ...]
    families: dict[str, tuple[str, ...]]
    plan_cells: dict[str, Cell]
    findings: dict[str, Findings]

    @property
    def ranked(self) -> list[BoardEntry]:
        return [entry for entry in self.entries if OVERALL in entry.standings]

    @property
    def refusals(self) -> int:
        """Checkpoints refused; a folder refused as a whole counts as one."""
        return sum(max(len(one.checkpoints), 1) for one in self.refused)

    @property
    def incomplete(self) -> list[BoardEntry]:
        return [entry for entry in self.entries if OVERALL not in entry.standings]
