"""Decisions: a policy's limits as checks, and their outcome for each candidate and for a results folder."""

from collections.abc import Iterable
from typing import Literal

from kick.types.base import Record
from kick.types.comparisons import Estimate, Flips, NoiseFloor
from kick.types.tasks import Family

Outcome = Literal["pass", "regression", "inconclusive"]
CheckKind = Literal["task", "family", "perplexity", "kl"]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return a regression if there is one, else inconclusive if there is one, else pass."""
    given = set(outcomes)
    if "regression" in given:
        return "regression"
    return "inconclusive" if "inconclusive" in given else "pass"


class EarlyWarning(Record):
    """The probability of the right answers, which moves before the score does. It decides nothing.

    For multiple choice it is the softmax over the choices; elsewhere the likelihood of the answer, where the run
    measured it. A warning says that more than `margin` of the reference's mean probability is lost. No warning says
    nothing: a candidate may lose answers whose probability hardly moved, so it is never evidence of a pass.
    """

    # The loss that is warned of, as a share of the reference's mean probability.
    margin: float
    # Mean probabilities of the right answers, 0..1.
    reference: float
    candidate: float
    # The p-value of "no more than `margin` is lost", corrected for the number of warnings that are looked at together.
    # That of a sequential verdict holds at every look.
    p_value: float
    warns: bool

    @property
    def loss(self) -> float:
        """The loss as measured, as a share of the reference's mean probability; negative for a gain."""
        return 1 - self.candidate / self.reference if self.reference > 0 else 0.0


class Check(Record):
    """One limit of a policy, applied to one candidate.

    `loss`, `margin` and `tolerated` share a unit: a share of the reference's score if `relative`, otherwise the unit of
    the metric (nats per token for kl). A negative loss is a gain.
    """

    kind: CheckKind
    # The name of the task or family.
    name: str
    metric: str
    higher_is_better: bool = True
    # None for kl.
    reference_score: Estimate | None = None
    candidate_score: Estimate
    # Candidate - reference with its 95 % interval; None for kl.
    delta: Estimate | None = None
    flips: Flips | None = None
    # Items whose score changed: a regression rests on a minimum of them. None where they are not counted.
    changed: int | None = None
    # None: not measured.
    noise_floor: NoiseFloor | None = None
    # True if the limits are shares of the reference's score.
    relative: bool = True
    margin: float
    tolerated: float
    # The loss with the two-sided bracket of the tests: at level alpha to each side, so 90 % for alpha = 0.05.
    loss: Estimate
    # One-sided p-value of "the loss is the margin or more": small shows that the margin is kept.
    p_within: float
    # One-sided p-value of "no more than `tolerated` is lost", corrected: small shows a regression.
    p_loss: float
    outcome: Outcome = "inconclusive"
    reason: str = ""
    # Items in all that would decide; None: decided already, or no number would.
    items_needed: int | None = None
    # The limit that the items were drawn under; None: there are no further items.
    limit: int | None = None
    # Sentences about what the check does not claim, those of the comparison among them.
    caveats: tuple[str, ...] = ()
    # None: the probability of the right answers was not measured, or the policy asks for no warning.
    early_warning: EarlyWarning | None = None


class FamilyScore(Record):
    """A candidate's share of a family of tasks: the same numbers in gates, reports and leaderboards.

    Scores are unweighted means over the tasks that count. A task of which the reference knows nothing does not count:
    what is not known cannot be lost.
    """

    name: Family
    # The tasks that count, and those that do not.
    tasks: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    # The items of the tasks that count.
    n: int
    reference_score: Estimate
    candidate_score: Estimate
    # Candidate - reference.
    delta: Estimate
    # Candidate / reference.
    ratio: Estimate
    # The same with the floor taken off both means; None: the floor of a task was not measured.
    recovery_above_floor: Estimate | None = None
    # That of the policy's rule for the family; the worst of its tasks where the policy has none. None: a task was not
    # judged.
    outcome: Outcome | None = None

    @property
    def kept(self) -> Estimate:
        """The recovery above the floor; plain recovery where no floor was measured."""
        return self.recovery_above_floor or self.ratio


class Verdict(Record):
    """The answer of a policy for one candidate."""

    candidate: str
    checks: tuple[Check, ...]
    # The families of which every task was scored, whether the policy limits them or not.
    families: tuple[FamilyScore, ...] = ()
    # The requirements of the policy or the suite that could not be evaluated, one sentence each.
    missing: tuple[str, ...] = ()
    # The tasks that a sequential verdict has not reached: they are needed for a pass, and not for a regression.
    unscored: tuple[str, ...] = ()
    # Whether weights, tokenizer and dtype are those of the reference, so there is nothing to score.
    identical: bool = False

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the checks; never a pass while something is missing or not scored yet."""
        if self.identical:
            return "pass"
        open_ended = self.missing or self.unscored or not self.checks
        missing: tuple[Outcome, ...] = ("inconclusive",) if open_ended else ()
        return worst([*(check.outcome for check in self.checks), *missing])

    def check(self, name: str, kind: CheckKind | None = None) -> Check | None:
        """Return the check of a task or family; that of its kl only if `kind` asks for it."""
        for check in self.checks:
            if check.name == name and (check.kind == kind or (kind is None and check.kind != "kl")):
                return check
        return None

    def family(self, name: str) -> FamilyScore | None:
        """Return what is kept of a family; None if a task of it was not scored, or the reference knows none of it."""
        return next((family for family in self.families if family.name == name), None)


class GateResult(Record):
    """The answers of a policy for a results folder: what is printed, written and returned to the shell."""

    policy: str
    reference: str
    alpha: float
    verdicts: tuple[Verdict, ...]
    # Whether the evidence holds at every look of a folder that grows; else it holds for one look.
    sequential: bool = False
    # The command that would decide what is inconclusive; None: nothing is, or no command would.
    next_command: str | None = None

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the candidates."""
        return worst(verdict.outcome for verdict in self.verdicts)

    @property
    def exit_code(self) -> int:
        """Return 0 for a pass, 1 for a regression, 3 for inconclusive, and 2 while anything is missing."""
        if not self.verdicts or any(verdict.missing for verdict in self.verdicts):
            return 2
        return {"pass": 0, "regression": 1, "inconclusive": 3}[self.outcome]

    def verdict(self, candidate: str) -> Verdict | None:
        """Return the verdict of a candidate; None for the reference and for unknown ids."""
        return next((verdict for verdict in self.verdicts if verdict.candidate == candidate), None)
