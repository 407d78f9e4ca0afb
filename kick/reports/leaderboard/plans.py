"""What every entry of a leaderboard must have been scored on; who was scored on something else is refused."""

from collections.abc import Callable

from kick.types import Cell

# What must agree whatever the tokenizer; what a reader understands comes first.
_FIELDS: dict[str, Callable[[Cell], object]] = {
    "metric": lambda cell: cell.task.metric,
    "shots": lambda cell: cell.identity.plan.shots,
    "seed": lambda cell: cell.identity.plan.seed,
    "task configuration": lambda cell: cell.identity.plan.task_config,
    "documents": lambda cell: cell.identity.plan.documents,
}


class BoardPlan:
    """The plan of each task: that of the first folder given which scored its reference on the task.

    A plan hash is that of tokenised requests. Models with another tokenizer have another one for the same items, which
    the first folder with that tokenizer sets.
    """

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}  # task -> the cell that set its plan
        self._hashes: dict[tuple[str, str], str] = {}  # task, tokenizer -> plan hash

    def adopt(self, cell: Cell) -> None:
        """Take the plan of a reference's cell where its task, or its tokenizer, is new to the board."""
        task = cell.task.name
        if task not in self.cells:
            self.cells[task] = cell
        if self.objection(cell) is None:
            self._hashes.setdefault((task, cell.identity.tokenizer), cell.identity.plan.hash)

    def objection(self, cell: Cell) -> str | None:
        """What differs from the board's plan of a task, or None if nothing does."""
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
