"""Statements about two cells: paired comparisons, estimates with intervals, and curves over a series."""

from typing import Literal

from kick.types.base import Record
from kick.types.floors import Floor
from kick.types.recipes import Axis
from kick.types.tasks import Family, TaskInfo


class Estimate(Record):
    """A number with its 95 % interval and the number of items that it rests on.

    A bound that the items do not give is infinite.
    """

    value: float
    low: float
    high: float
    # The number of items.
    n: int
    # How the interval was made.
    method: str

    def scaled(self, factor: float) -> "Estimate":
        """Return the same in another unit, of which `factor`, above 0, make one of this."""
        ends = {name: factor * getattr(self, name) for name in ("value", "low", "high")}
        return self.model_copy(update=ends)


class PairedEstimates(Record):
    """One number of both checkpoints on the same items."""

    reference: Estimate
    candidate: Estimate
    # Candidate - reference, with its paired interval.
    delta: Estimate


class CellScore(Record):
    """The score of one checkpoint on one task, by the metric that represents the task."""

    checkpoint: str
    task: TaskInfo
    # None: the score of an item is not a number.
    score: Estimate | None


class Flips(Record):
    """Items by the correctness of the reference and of the candidate; the first four counts add up to n."""

    both_right: int
    # Right -> wrong.
    lost: int
    # Wrong -> right.
    gained: int
    both_wrong: int
    # The part of `both_wrong` that is wrong in another way.
    other_wrong: int

    @property
    def n(self) -> int:
        """The number of items."""
        return self.both_right + self.lost + self.gained + self.both_wrong

    @property
    def discordance(self) -> float:
        """The share of items whose correctness changed, 0..1."""
        return (self.lost + self.gained) / self.n


Match = Literal["matching", "not matching", "cannot tell"]


class Matching(Record):
    """The answer to whether the candidate is within a relative margin of the reference: two tests, at 5 % each."""

    # Relative: 0.05 allows 5 % of the reference's score.
    margin: float
    outcome: Match
    # The p-value of "the loss is as large as the margin, or larger": a small one shows matching.
    p_matching: float
    # The p-value of "the loss is as small as the margin, or smaller": a small one shows that it does not match.
    p_not_matching: float


class NoiseFloor(Record):
    """The reference against itself under another batch size (A/A): what a delta must exceed to mean anything.

    The measured delta is one draw: another A/A run exceeds it in half of the cases. What to compare with is `bound`.
    """

    # The delta as measured, once.
    delta: Estimate
    # None: the metric is graded.
    flips: Flips | None
    # The share of the items that flip between two runs, 0..1; None: the metric is graded.
    flip_rate: Estimate | None = None
    # The size of the delta that an A/A run at this n exceeds in at most 5 %; infinite if it cannot be told.
    bound: float


class EngineFloor(Record):
    """The reference against itself on the candidate's engine: what the engine alone changes."""

    # The id of the checkpoint that is the reference on that engine.
    checkpoint: str
    # Both engines with their settings.
    reference_engine: str
    candidate_engine: str
    # The score on the candidate's engine - that on the reference's own.
    delta: Estimate
    # None: the metric is graded.
    flips: Flips | None


class BitsPerByte(PairedEstimates):
    """The bits that a text costs per UTF-8 byte of it: a loss that does not depend on how a tokenizer cuts the text."""


class ChoiceCalibration(Record):
    """The calibration of the probabilities that both checkpoints give to the choices of a task; lower is better."""

    # The mean Brier score, 0..2.
    brier: PairedEstimates
    # The expected calibration error of the most probable choice, 0..1. Chance makes it larger than it is.
    error: PairedEstimates
    # What it would be on average on as many items if the checkpoint were calibrated.
    reference_if_calibrated: float
    candidate_if_calibrated: float


class Comparison(Record):
    """Reference and candidate on the same items of one task, by one metric."""

    task: str
    family: Family
    metric: str
    higher_is_better: bool
    # The checkpoint ids.
    reference: str
    candidate: str
    # The number of paired items.
    n: int
    # Items that only one of the two has; they are in no number here.
    unpaired: int = 0
    # Clusters of dependent items, which the intervals respect; None: items are independent.
    groups: int | None = None
    reference_score: Estimate
    candidate_score: Estimate
    # Candidate - reference.
    delta: Estimate
    # Candidate / reference: recovery, or the ratio of perplexities; None: the reference is 0.
    ratio: Estimate | None
    # The best answerer without knowledge on the same items, chance included; None: not measured.
    floor: Floor | None = None
    # (candidate - floor) / (reference - floor), from 0 upwards; None: lower is better, the floor was not measured, or
    # the reference is not shown to be above it.
    recovery_above_floor: Estimate | None = None
    # False: the reference is not shown to be above its floor, so there is no knowledge to lose.
    measurable: bool = True
    # Why not, as a sentence.
    not_measurable: str | None = None
    # How many of the candidate's answers are empty, repeated or equal to each other, if that forbids a ✓.
    objection: str | None = None
    # None: the task is not a text.
    bits_per_byte: BitsPerByte | None = None
    # None: the task has no choices, or a cell does not hold their calibration.
    calibration: ChoiceCalibration | None = None
    # The share of a summary's sentences that its article entails; None: another task, or it was not measured.
    factuality: PairedEstimates | None = None
    # The same by BCa bootstrap; None: not requested.
    delta_bootstrap: Estimate | None = None
    ratio_bootstrap: Estimate | None = None
    # The two-sided p-value of "no difference", and the test that gave it.
    p_value: float | None = None
    test: str | None = None
    # `p_value` adjusted over all comparisons made together: family-wise error rate (Holm), then false discovery rate
    # (Benjamini and Hochberg).
    p_holm: float | None = None
    p_fdr: float | None = None
    flips: Flips | None = None
    # lost / (both_right + lost).
    knowledge_loss: Estimate | None = None
    # gained / (gained + both_wrong).
    gain_rate: Estimate | None = None
    # Cohen's kappa of the two checkpoints' correctness.
    kappa: Estimate | None = None
    # None: the reference is 0.
    matching: Matching | None = None
    # None: not measured.
    noise_floor: NoiseFloor | None = None
    # None: both were scored on one engine.
    engine_floor: EngineFloor | None = None
    # Differences between the two runs that do not forbid the comparison, one sentence each.
    caveats: tuple[str, ...] = ()

    @property
    def kept(self) -> Estimate | None:
        """The number that rankings and families use: recovery above the floor; plain recovery without a floor.

        None where the reference is 0, or is not shown to be above its floor.
        """
        if not self.measurable:
            return None
        return self.recovery_above_floor or self.ratio


class Refusal(Record):
    """A pair of cells that could not be compared, and why."""

    # The checkpoint ids.
    reference: str
    candidate: str
    task: str
    reason: str


class SuiteComparison(Record):
    """Every candidate of a results folder against the reference, task by task."""

    # The reference's checkpoint id.
    reference: str
    comparisons: tuple[Comparison, ...]
    refusals: tuple[Refusal, ...]


class CurvePoint(Record):
    """A series at one rate."""

    # As in `Recipe.rate`; the reference has that of a dense checkpoint, `DENSE_RATE`.
    rate: float
    comparison: Comparison


class Curve(Record):
    """A series on one task, from the reference to the most compressed candidate."""

    series: str
    axis: Axis
    task: str
    points: tuple[CurvePoint, ...]
    # Candidates of the series that could not be compared.
    refusals: tuple[Refusal, ...] = ()
