"""The words of a report that do not depend on its format: what it covers, and how its numbers are read."""

from typing import NamedTuple

from kick.reports.findings import Findings


class Term(NamedTuple):
    """A word of the report and what it means."""

    word: str
    meaning: str


LEGEND = (
    Term(
        "Interval",
        "every number in brackets is a 95 % interval; n is the number of items (for perplexity, of windows) "
        "behind it. With few items the intervals are wide, and a difference inside them is not a finding.",
    ),
    Term(
        "Recovery",
        "candidate score / reference score on the same items. 100 % means that nothing was lost. For "
        "perplexity, which falls as a model gets better, the ratio candidate / reference is given instead.",
    ),
    Term(
        "Flip",
        "an item whose correctness changed. Two checkpoints can score the same while many items flip.",
    ),
    Term(
        "Knowledge loss",
        "of the items that the reference got right, the share that the candidate gets wrong; its n is the "
        "number of those items.",
    ),
    Term(
        "p",
        "the probability of a difference at least this large if the two checkpoints were equally good. "
        "Adjusted: the same after Holm's correction for all the comparisons of this report.",
    ),
    Term(
        "Noise floor",
        "how much the reference differs from itself under another batch size. A difference below it means "
        "nothing. Where it was not measured, small differences cannot be told from numerical noise.",
    ),
    Term(
        "Tolerance",
        "LLM-KICK calls a compressed model matching when it stays within 5 % (relative) of its dense parent. "
        "The figures mark it with a line. A point above it shows little while its interval crosses it.",
    ),
    Term(
        "Chance",
        "the score of blind guessing. A score whose interval reaches down to it shows no knowledge, whatever "
        "its recovery.",
    ),
)


def lead(findings: Findings) -> str:
    """The opening sentence: what was compared with what, on how much."""
    scored = [task for task in findings.tasks if task.family != "perplexity"]
    sizes = {cell.items for cell in findings.cells() if cell.task.family != "perplexity"}
    counts = [_count(len(scored), "task")] if scored else []
    if sizes:
        low, high = min(sizes), max(sizes)
        counts[0] += f" of {low} items" if low == high else f" of {low} to {high} items"
    if len(scored) < len(findings.tasks):
        counts.append("perplexity")
    candidates = _count(len(findings.checkpoints) - 1, "compressed checkpoint")
    return (
        f"{candidates} compared with the reference {findings.reference}, item by item, "
        f"on {' and '.join(counts)}."
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
