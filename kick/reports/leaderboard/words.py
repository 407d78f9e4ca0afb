"""The words of a leaderboard: what it covers, and how its ranks are made and read."""

from kick.reports.glossary import LEGEND as REPORT_LEGEND
from kick.reports.glossary import Term
from kick.reports.leaderboard.records import Board

LEGEND = (
    Term(
        "Knowledge kept",
        "of a task: the entry's score as a share of its base model's on the same items (recovery). Of a family: the "
        "mean over its tasks. Overall: the mean over the families, each counting the same. Only an entry with all "
        "tasks of the board has an overall rank. A task on which a base model is not above chance, or scores 0, does "
        "not count for what is made from it: what it does not know cannot be lost.",
    ),
    Term(
        "Rank",
        "1 to 3 means: no entry is shown to be better than rank 1 allows, and none to be worse than rank 3 allows. "
        "Every two entries are compared on the same items, item by item, each against its own base model. They are "
        "told apart where a two-sided test of the difference stays below 5 % after Holm's correction over all pairs "
        "of the column; so all ranks of a column hold together at 95 %. Entries that cannot be told apart share "
        "ranks, however their means lie. A filter changes no rank.",
    ),
    Term(
        "Perplexity",
        "entry / base model, lower is better. No rank rests on it.",
    ),
    Term(
        "Bits",
        "as the recipe states them; in brackets 8 x stored bytes / parameters of the whole model, which includes "
        "scales and embeddings. Where no recipe is known, the latter alone. Weights that were rounded but are stored "
        "in 16 bits keep the size of the dense model.",
    ),
    Term(
        "Refused",
        "entries whose stored results are not what was written (kick verify), that were scored on another plan than "
        "the board's, or whose weights are on the board already. The first results folder that scored a task sets "
        "its plan.",
    ),
    *(term for term in REPORT_LEGEND if term.word in ("Interval", "Chance")),
)


def lead(board: Board) -> str:
    """The opening sentence: who is ranked, on what."""
    items = {board.plan_cells[task].items for tasks in board.families.values() for task in tasks}
    bases = {base.name for base in board.bases}
    parts = [
        f"{count(len(board.entries), 'compressed checkpoint')} of {count(len(bases), 'base model')}, "
        f"by how much of the base model's knowledge they keep on {count(_tasks(board), 'task')} "
        f"of {_range(items)} items."
    ]
    if board.incomplete:
        parts.append(f"{count(len(board.incomplete), 'is', 'are')} incomplete.")
    if board.refused:
        parts.append(f"{count(board.refusals, 'entry was', 'entries were')} refused.")
    return " ".join(parts)


def _tasks(board: Board) -> int:
    return sum(len(tasks) for tasks in board.families.values())


def _range(sizes: set[int]) -> str:
    low, high = min(sizes, default=0), max(sizes, default=0)
    return str(low) if low == high else f"{low} to {high}"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
