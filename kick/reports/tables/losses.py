"""Losses by category: the subjects, relations or articles in which a candidate lost most."""

from kick import text
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import FEWEST_ITEMS, Findings, Losses
from kick.types import TaskInfo

TITLE = "What was lost by category"
NOTE = (
    f"The categories that lost the largest share of their items (right to wrong, less wrong to right), among those "
    f"with {FEWEST_ITEMS} items or more. Knowledge loss: the share of the items that the reference got right and the "
    "candidate gets wrong. p is adjusted for the categories of one row (Benjamini and Hochberg), and not for the rows; "
    "* marks p < 0.05. The worst of many small categories look worse than they are: what is not marked is a place to "
    "look, and not a finding."
)
# Rows of a table.
MAX_CANDIDATES = 24


def categories(findings: Findings, task: TaskInfo) -> Table:
    """Return one row per candidate with its hardest hit categories; empty if the task keeps none."""
    losses = findings.losses.get(task.name, {})
    candidates = [one for one in findings.checkpoints[1:] if one in losses]
    left_out = len(candidates) - MAX_CANDIDATES
    if left_out > 0:
        worst = sorted(candidates, key=lambda one: _worst(losses[one]))[:MAX_CANDIDATES]
        candidates = [one for one in candidates if one in worst]
    most = max((len(each.hardest_hit) for each in losses.values()), default=0)
    header = (
        plain("candidate"),
        number("categories"),
        *(plain("hardest hit" if rank == 0 else f"{rank + 1}.") for rank in range(most)),
    )
    rows = tuple((name(candidate), *_row(losses[candidate], most, task)) for candidate in candidates)
    note = f"Left out: {left_out} candidates, whose hardest hit category lost less." if left_out > 0 else ""
    return Table(f"categories-{task.name}", f"{task.name}: what was lost by category", header, rows, note)


def _worst(losses: Losses) -> float:
    """Return the difference in the category that lost most."""
    return min(loss.delta.value for loss in losses.hardest_hit)


def _row(losses: Losses, most: int, task: TaskInfo) -> list[Field]:
    tested = number(str(losses.tested), *([f"{losses.small} too small"] if losses.small else []))
    unit = " points" if text.is_share(task) else ""
    fields = []
    for loss in losses.hardest_hit:
        if loss.delta.value >= 0:
            break
        mark = " *" if loss.p_fdr < 0.05 else ""
        lines = [f"delta {text.delta(loss.delta, task)}{unit}{mark}, n = {loss.n}"]
        if loss.knowledge_loss:
            lines.append(f"knowledge loss {text.percent(loss.knowledge_loss)}, n = {loss.knowledge_loss.n}")
        fields.append(plain(loss.category, *lines, f"p {text.p_value(loss.p_fdr)}"))
    if not fields:
        return [tested, plain("no category lost"), *[plain(NOTHING)] * (most - 1)]
    return [tested, *fields, *[plain(NOTHING)] * (most - len(fields))]
