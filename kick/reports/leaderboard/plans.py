"""The plan that every entry of a leaderboard must have been scored on; others are refused."""

from collections.abc import Callable

from kick.types import Cell

# Fields that must agree whatever the tokenizer; those that a reader understands come first.
_FIELDS: dict[str, Callable[[Cell], object]] = {
    "metric": lambda cell: cell.task.metric,
    "shots": lambda cell: cell.identity.plan.shots,
    "seed": lambda cell: cell.identity.plan.seed,
    "task configuration": lambda cell: cell.identity.plan.task_config,
    "documents": lambda cell: cell.identity.plan.documents,
}


class BoardPlan:
    """The plan of each task, which is set by the first folder that scored its reference on the task.

    A plan's hash is that of tokenised requests. Models with another tokenizer have another hash for the same items,
    which is set by the first folder with that tokenizer.

    Attributes:
        cells: The cell that set the plan, by task.
    """

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        # By task and tokenizer.
        self._hashes: dict[tuple[str, str], str] = {}

    def adopt(self, cell: Cell) -> None:
        """Take the plan of a reference's cell if its task, or its tokenizer, is new to the board."""
        task = cell.task.name
        if task not in self.cells:
            self.cells[task] = cell
        if self.objection(cell) is None:
            self._hashes.setdefault((task, cell.identity.tokenizer), cell.identity.plan.hash)

    def objection(self, cell: Cell) -> str | None:
        """Return what differs from the board's plan of a task, or None if nothing does."""
        task = cell.task.name
        if task not in self.cells:
            return None
        board = self.cells[task]
        expected = self._hashes.get((task, cell.identity.tokenizer))
        differences = [
            f"{name} {read(board)} | {read(cell)}"
            for name, read in _FIELDS.items()
            if read(board) != read(cell)
        ]
        if not differences and expected not in (None, cell.identity.plan.hash):
            differences = [f"tokens {expected} | {cell.identity.plan.hash}"]
        items = [one.identity.plan.items for one in (board, cell)]
        if differences and items[0] != items[1]:
            differences.insert(0, f"items {items[0]} | {items[1]}")
        return ", ".join(differences) or None
