"""Did perplexity warn? The answer for one candidate, from the same checks as its verdict."""

from typing import Literal

from kick.types import Verdict

Warned = Literal[
    "yes",
    "no: silent loss",
    "it warned, no loss shown",
    "nothing to warn of",
    "no loss shown",
    "cannot tell",
    "not compared",
]


def perplexity_warned(verdict: Verdict) -> Warned:
    """Return whether perplexity announced what the tasks lost.

    Perplexity warns where its check is a regression, and is silent where all of its checks pass. A loss is a regression
    of a task.
    """
    perplexity = [check.outcome for check in verdict.checks if check.kind == "perplexity"]
    tasks = [check.outcome for check in verdict.checks if check.kind == "task"]
    if not perplexity or not tasks:
        return "not compared"
    warned = "regression" in perplexity
    silent = set(perplexity) == {"pass"}
    if "regression" in tasks:
        if warned:
            return "yes"
        return "no: silent loss" if silent else "cannot tell"
    if warned:
        return "it warned, no loss shown"
    return "nothing to warn of" if silent and set(tasks) == {"pass"} else "no loss shown"
