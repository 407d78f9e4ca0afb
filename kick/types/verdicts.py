"""What is decided: a policy's limits as checks, and their outcome for each candidate and for a results folder."""

from collections.abc import Iterable
from typing import Literal

from kick.types.base import Record
from kick.types.comparisons import Estimate, Flips, NoiseFloor

Outcome = Literal["pass", "regression", "inconclusive"]
CheckKind = Literal["task", "family", "perplexity", "kl"]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return a regression if there is one, else inconclusive if there is one, else pass."""
    given = set(outcomes)
    if "regression" in given:
        return "regression"
    return "inconclusive" if "inconclusive" in given else "pass"


class Check(Record):
    """One limit of a policy, applied to one candidate."""

    kind: CheckKind
    # The name of the task or family.
    name: str
    metric: str
    # None for kl.
    reference_score: Estimate | None = None
    candidate_score: Estimate
    # None for kl.
    delta: Estimate | None = None
    flips: Flips | None = None
    # None: not measured.
    noise_floor: NoiseFloor | None = None
    # The one-sided p-value of "the limit is broken": a small one shows that it is kept.
    p_within: float
    # The one-sided p-value of "nothing is lost", corrected over the checks: a small one shows a loss.
    p_loss: float
    outcome: Outcome = "inconclusive"
    reason: str = ""
    # The number of items, those scored included, that would decide; None: it is decided, or no number would.
    items_needed: int | None = None


class Verdict(Record):
    """A policy's answer for one candidate."""

    # The candidate's checkpoint id.
    candidate: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the checks."""
        return worst(check.outcome for check in self.checks)


class GateResult(Record):
    """A policy's answers for a results folder: what is printed, written and returned to the shell."""

    # The policy's name or file.
    policy: str
    # The reference's checkpoint id.
    reference: str
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the verdicts."""
        return worst(verdict.outcome for verdict in self.verdicts)

    @property
    def exit_code(self) -> int:
        """The exit code of `kick gate`: 0 pass, 1 regression, 3 inconclusive."""
        return {"pass": 0, "regression": 1, "inconclusive": 3}[self.outcome]
