"""The records that the parts of the comparison return, beside the `Comparison` itself."""

from kick.types import Axis, Divergence, Estimate, Record


class FamilyComparison(Record):
    """The unweighted mean over several tasks, reference against candidate."""

    name: str
    tasks: tuple[str, ...]
    # Tasks on which the reference is not shown to be above its floor.
    left_out: tuple[str, ...] = ()
    # False: the reference is not shown to be above the floor of any of the tasks.
    measurable: bool = True
    # The checkpoint ids.
    reference: str
    candidate: str
    # The number of items of all tasks that count.
    n: int
    reference_score: Estimate
    candidate_score: Estimate
    # Candidate - reference.
    delta: Estimate
    # Candidate / reference; None: the reference is 0.
    ratio: Estimate | None
    # By the means of scores and floors; None: a floor was not measured.
    recovery_above_floor: Estimate | None = None
    # The two-sided p-value of "no difference".
    p_value: float

    @property
    def kept(self) -> Estimate | None:
        """The recovery above the floor; plain recovery where no floor was measured; None if it is not measurable."""
        if not self.measurable:
            return None
        return self.recovery_above_floor or self.ratio


class ReplicateComparison(Record):
    """Candidates that differ only in a seed or calibration set, against the reference on one task."""

    task: str
    metric: str
    # The checkpoint ids.
    reference: str
    candidates: tuple[str, ...]
    # The mean of candidate - reference over n items; items and replicates are random.
    delta: Estimate
    # The standard deviation of the candidates' deltas.
    spread: float


class CategoryLoss(Record):
    """The loss on the items of one category."""

    category: str
    n: int
    # Candidate - reference.
    delta: Estimate
    # None: the metric is graded, or the reference got nothing right.
    knowledge_loss: Estimate | None
    p_value: float
    # `p_value` adjusted over the categories (Benjamini and Hochberg).
    p_fdr: float


class Diverged(Record):
    """The distance of a candidate's next-token distributions from the reference's on a task, in nats per token."""

    # KL(reference || candidate) over n items, each of which counts with the mean over its tokens.
    kl: Estimate
    # KL(candidate || reference).
    reverse_kl: Estimate
    # The change in the probability of the right token, -1..1.
    delta_p: Estimate
    # The share of the tokens for which both find the same token most probable, 0..1.
    same_top: Estimate
    # Over all tokens, whatever item they belong to.
    tokens: Divergence
    # `kl` and `same_top` of the reference in batches of another size; None: not measured.
    noise_kl: Estimate | None = None
    noise_same_top: Estimate | None = None


class Crossing(Record):
    """The rates at which the curve of a series on one task reaches a loss; None: none up to the last rate measured."""

    series: str
    axis: Axis
    task: str
    # 0.05: five per cent of the reference's score.
    loss: float
    # By the measured ratios, then by the ends of their 95 % intervals that lost more, and by those that lost less.
    rate: float | None
    earliest: float | None
    latest: float | None
    last: float


class Power(Record):
    """The number of items that decide a comparison, given how much the two checkpoints were seen to differ."""

    task: str
    candidate: str
    metric: str
    n: int
    # The share of items whose correctness changed; None: the metric is graded.
    discordance: float | None
    # Relative.
    margin: float
    # Items that show matching, if there is no loss at all; None: the items give no variance.
    items_to_match: int | None
    # Items that decide either way, if the difference is as measured.
    items_to_decide: int | None
    # Absolute, in units of the metric; relative for a perplexity.
    detectable_loss: float
