"""The records that the parts of the comparison return, beside the `Comparison` itself."""

from kick.types import Axis, Divergence, Estimate, Matching, Record


class FamilyComparison(Record):
    """The unweighted mean over several tasks, reference against candidate."""

    name: str
    tasks: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # tasks on which the reference is not shown to be above its floor
    measurable: bool = True  # false: it is not shown to be on any of the tasks
    reference: str  # checkpoint id
    candidate: str  # checkpoint id
    n: int  # items of all tasks that count
    reference_score: Estimate
    candidate_score: Estimate
    delta: Estimate
    ratio: Estimate | None
    recovery_above_floor: Estimate | None = None  # of the means; None: a floor was not measured
    p_value: float
    matching: Matching | None

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
    reference: str  # checkpoint id
    candidates: tuple[str, ...]
    delta: Estimate  # mean of candidate - reference; items and replicates are random; n: items
    spread: float  # standard deviation of the candidates' deltas


class CategoryLoss(Record):
    """The loss on the items of one category."""

    category: str
    n: int
    delta: Estimate  # candidate - reference
    knowledge_loss: Estimate | None  # None for graded metrics, or if the reference got nothing right
    p_value: float
    p_fdr: float  # adjusted over the categories (Benjamini and Hochberg)


class Diverged(Record):
    """The distance of a candidate's next-token distributions from the reference's on a task, in nats per token."""

    kl: Estimate  # KL(reference || candidate); n: items, each of which counts with the mean over its tokens
    reverse_kl: Estimate  # KL(candidate || reference)
    delta_p: Estimate  # change in the probability of the right token, -1..1
    same_top: Estimate  # share of the tokens for which both find the same token most probable, 0..1
    tokens: Divergence  # over all tokens, whatever item they belong to
    noise_kl: Estimate | None = None  # `kl` of the reference in batches of another size; None: not measured
    noise_same_top: Estimate | None = None


class Crossing(Record):
    """The rates at which the curve of a series on one task reaches a loss; None: none up to the last rate measured."""

    series: str
    axis: Axis
    task: str
    loss: float  # 0.05: five per cent of the reference's score
    rate: float | None  # of the measured ratios
    earliest: float | None  # of the ends of their 95 % intervals that lost more
    latest: float | None  # of the ends that lost less
    last: float


class Power(Record):
    """The number of items that decide a comparison, given how much the two checkpoints were seen to differ."""

    task: str
    candidate: str
    metric: str
    n: int
    discordance: float | None  # share of items whose correctness changed; None for graded metrics
    margin: float  # relative
    items_to_match: (
        int | None
    )  # to show matching, were there no loss at all; None: the items give no variance
    items_to_decide: int | None  # to decide either way, were the difference as measured
    detectable_loss: float  # absolute, in units of the metric (perplexity: relative)
