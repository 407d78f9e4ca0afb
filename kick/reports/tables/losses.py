"""What was lost by category: the subjects, relations or articles that a candidate was hit hardest in."""

from kick import text
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import FEWEST_ITEMS, Findings, Losses
from kick.types import TaskInfo

TITLE = "What was lost by category"
NOTE = (
    f"Of the categories with {FEWEST_ITEMS} items or more, those that lost the largest share of their items (right to "
    "wrong, less wrong to right). Knowledge loss: of the items that the reference got right, the share that the "
    "candidate gets wrong. p is adjusted for the categories of one row (Benjamini and Hochberg), and not for the rows; "
    "✗ marks p < 0.05. The worst of many small categories look worse than they are: what is not marked is where to "
    "look, and no finding."
)
MAX_CANDIDATES = 24  # rows of a table


def categories(findings: Findings, task: TaskInfo) -> Table:
    """A row a candidate with its hardest hit categories; without rows where the task keeps none."""
    losses = findings.losses.get(task.name, {})
    candidates = [one for one in findings.checkpoints[1:] if one in losses]
    left_out = len(candidates) - MAX_CANDIDATES
    if left_out > 0:
        worst = sorted(candidates, key=lambda one: _worst(losses[one]))[:MAX_CANDIDATES]
        candidates = [one for one in candidates if one in worst]
    most = max((len(found.hardest_hit) for found in losses.values()), default=0)
    header = (
        plain("candidate"),
        number("categories"),
        *(plain("hardest hit" if rank == 0 else f"{rank + 1}.") for rank in range(most)),
    )
    rows = tuple((name(candidate), *_row(losses[candidate], most, task)) for candidate in candidates)
    note = f"Left out: {left_out} candidates, whose hardest hit category lost less." if left_out > 0 else ""
    return Table(f"categories-{task.name}", f"{task.name}: what was lost by category", header, rows, note)


def _worst(losses: Losses) -> float:
    """The difference in the category that lost most."""
    return min(loss.delta.value for loss in losses.hardest_hit)


def _row(losses: Losses, most: int, task: TaskInfo) -> list[Field]:
    looked_at = number(str(losses.tested), *([f"{losses.small} too small"] if losses.small else []))
    unit = " points" if text.is_share(task) else ""
    fields = []
    for loss in losses.hardest_hit:
        if loss.delta.value >= 0:
            break
        mark = " ✗" if loss.p_fdr < 0.05 else ""
        lines = [f"delta {text.delta(loss.delta, task)}{unit}{mark}, n = {loss.n}"]
        if loss.knowledge_loss:
            lines.append(f"knowledge loss {text.percent(loss.knowledge_loss)}, n = {loss.knowledge_loss.n}")
        fields.append(plain(loss.category, *lines, f"p {text.p_value(loss.p_fdr)}"))
    if not fields:
        return [looked_at, plain("no category lost"), *[plain(NOTHING)] * (most - 1)]
    return [looked_at, *fields, *[plain(NOTHING)] * (most - len(fields))]
