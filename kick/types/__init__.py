"""The vocabulary of kick as small typed records: a reader starts here.

Records hold values and what follows from them directly; the work is done in the modules that the records pass
between. All are immutable, and those that reach a disk (`Cell`, `CheckpointRecord`) read back what they wrote.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from kick.types.base import Record as Record
from kick.types.measures import Cost as Cost
from kick.types.measures import Description as Description
from kick.types.recipes import Axis as Axis
from kick.types.recipes import Calibration as Calibration
from kick.types.recipes import Recipe as Recipe

Family = Literal[
    "factoid_qa",
    "multihop_reasoning",
    "incontext_qa",
    "summarization",
    "multiple_choice",
    "perplexity",
    "other",
]
# What a task asks of a model: to write text, to choose, to find one continuation likely, or to predict a running text.
TaskKind = Literal["generation", "choice", "likelihood", "text"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Tier = Literal[
    "tree", "prefix", "plain"
]  # how much of what requests share is computed once: see kick.engines.torch.batching


class BatchSize(Record):
    """How much goes through a model together."""

    tokens: int  # padded
    rows: int  # of generated completions


# --- what is scored -------------------------------------------------------------------------------------------


class Checkpoint(Record):
    """One model of a suite: where its weights come from and how it is loaded and scored."""

    id: str
    model: str  # a folder, a GGUF file, or a hub id
    revision: str | None = None
    dtype: Dtype = "auto"  # auto: the dtype that the checkpoint's own config states
    trust_remote_code: bool = False
    tokenizer: str | None = None  # a folder or hub id, where the tokenizer does not lie with the model
    adapter: str | None = None  # the folder or hub id of a PEFT adapter
    quantizer: str | None = None  # that works while the weights are loaded
    loader: str | None = None  # the plug-in that builds the model, where transformers cannot
    kv_bits: int | None = None  # that keys and values are rounded to
    base: str | None = None  # the checkpoint that the recipe starts from, or an adapter stands on
    recipe: Recipe | None = None
    series: str | None = None  # the series that this checkpoint is a point of


class CheckpointRecord(Record):
    """A checkpoint as it stands in a results folder: what it is, what was measured, which cells are current."""

    checkpoint: Checkpoint
    fingerprint: str
    tokenizer_fingerprint: str
    source_fingerprint: str | None = None  # of the checkpoint that a recipe started from
    loading: tuple[str, ...] = ()  # what was done to the stored weights on loading, a phrase each
    simulated: tuple[str, ...] = ()  # what the loader computed in another way than the checkpoint states
    description: Description | None = None
    cost: Cost | None = None  # None: not measured
    cells: dict[str, str] = Field(default_factory=dict)  # task name -> cell key


# --- what it is scored on -------------------------------------------------------------------------------------


class TaskInfo(Record):
    """What a reader of scores has to know of a task."""

    name: str
    kind: TaskKind
    family: Family
    metric: str  # the metric that stands for the task in tables and curves
    metrics: tuple[
        str, ...
    ]  # every metric column of its items; that of a further filter is `<metric>,<filter>`
    higher_is_better: bool = True
    chance: float | None = None  # the score of blind guessing, in the units of `metric`
    shots: int = 0
    group_by: str | None = None  # the field of a document whose equal values make items dependent
    version: str = "0"


class PlanInfo(Record):
    """What two scores must share to be comparable; printed where they do not."""

    hash: str  # of every tokenised request, in order
    task_config: str  # hash of the task's configuration: prompts, targets, choices, generation settings
    documents: str  # hash of the documents scored
    shots: int
    limit: int | None
    seed: int
    items: int


class Skipped(Record):
    """An item that was left out, and why."""

    doc_id: int
    reason: str


class TierChoice(Record):
    """How all checkpoints of a suite are scored, decided by a self-test of its reference."""

    tier: Tier
    refused: dict[str, str] = Field(
        default_factory=dict
    )  # faster tier -> why the reference is not scored by it


class CellIdentity(Record):
    """Everything that may change the numbers of a cell; its hash is the cell's key."""

    checkpoint: str  # fingerprint
    tokenizer: str  # fingerprint
    task: str
    plan: PlanInfo
    dtype: str
    device: str
    tier: str  # the scoring path
    versions: dict[str, str]
    divergence: str | None = (
        None  # the reference's cell that divergence is measured from, or `kept` in that cell
    )


class Divergence(Record):
    """How far a candidate's next-token distributions are from its reference's, over all tokens; in nats."""

    reference: str  # checkpoint id
    tokens: int
    kl: float  # mean of KL(reference || candidate)
    kl_error: float  # standard error of the mean, tokens taken as independent
    kl_max: float
    kl_percentiles: dict[str, float]
    reverse_kl: float  # mean of KL(candidate || reference)
    log_perplexity_ratio: float  # ln(perplexity of the candidate / that of the reference)
    log_perplexity_ratio_error: float  # standard error, of paired differences
    delta_p: float  # mean change in the probability of the right token
    delta_p_rms: float
    same_top: float  # share of tokens for which both find the same token most probable
    nll_correlation: float | None  # of the losses of the tokens; None where one of them does not vary


class Cell(Record):
    """One checkpoint on one task, as stored: the unit of work, of storage and of resume."""

    checkpoint: str  # id
    task: TaskInfo
    key: str
    identity: CellIdentity
    scores: dict[str, float]  # metric -> mean over the items; perplexity -> exp(mean nll)
    items: int
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()  # what the checks of its prompts found in the data
    seconds: float
    finished: str  # ISO 8601, UTC
    items_sha256: str
    divergence: Divergence | None = None  # None: not measured
    not_diverged: str | None = None  # why divergence was asked for and not measured


# --- what is said about it ------------------------------------------------------------------------------------


class Estimate(Record):
    """A number with its 95 % interval and the number of items that it rests on.

    A bound that the items do not give is infinite.
    """

    value: float
    low: float
    high: float
    n: int
    method: str  # how the interval was made


class Flips(Record):
    """Items by what the reference and the candidate made of them; counts that add up to n."""

    both_right: int
    lost: int  # right -> wrong
    gained: int  # wrong -> right
    both_wrong: int
    other_wrong: int  # of both_wrong: wrong in another way

    @property
    def n(self) -> int:
        return self.both_right + self.lost + self.gained + self.both_wrong

    @property
    def discordance(self) -> float:
        """Share of the items whose correctness changed, 0..1."""
        return (self.lost + self.gained) / self.n


Match = Literal["matching", "not matching", "cannot tell"]


class Matching(Record):
    """Is the candidate within a relative margin of the reference? Two one-sided tests, at 5 % each."""

    margin: float  # relative: 0.05 allows 5 % of the reference's score
    outcome: Match
    p_matching: float  # of "the loss is as large as the margin, or larger": small shows matching
    p_not_matching: float  # of "the loss is as small as the margin, or smaller"


class NoiseFloor(Record):
    """The reference against itself under another batch size: what a delta must exceed to mean anything."""

    delta: Estimate
    flips: Flips | None  # None for graded metrics


class Comparison(Record):
    """Reference and candidate on the same items of one task, by one metric."""

    task: str
    family: Family
    metric: str
    higher_is_better: bool
    reference: str  # checkpoint id
    candidate: str  # checkpoint id
    n: int
    unpaired: int = 0  # items that only one of the two has; they are in no number here
    groups: int | None = None  # clusters of dependent items, which the intervals respect; None: independent
    reference_score: Estimate
    candidate_score: Estimate
    delta: Estimate  # candidate - reference
    ratio: Estimate | None  # candidate / reference: recovery, or perplexity ratio; None if the reference is 0
    delta_bootstrap: Estimate | None = None  # the same by BCa bootstrap; None where it was not asked for
    ratio_bootstrap: Estimate | None = None
    p_value: float | None = None  # two-sided, of "no difference"
    test: str | None = None  # the test that made p_value
    p_holm: float | None = None  # p_value adjusted over all comparisons made together (family-wise error)
    p_fdr: float | None = None  # the same by Benjamini and Hochberg (false discovery rate)
    flips: Flips | None = None
    knowledge_loss: Estimate | None = None  # lost / (both_right + lost)
    gain_rate: Estimate | None = None  # gained / (gained + both_wrong)
    kappa: Estimate | None = None  # Cohen's kappa of the two checkpoints' correctness
    matching: Matching | None = None  # None if the reference is 0
    noise_floor: NoiseFloor | None = None  # None: not measured
    caveats: tuple[str, ...] = ()  # differences between the two runs that do not forbid the comparison


class Refusal(Record):
    """A pair of cells that could not be compared, and why."""

    reference: str
    candidate: str
    task: str
    reason: str


class SuiteComparison(Record):
    """Every candidate of a results folder against the reference, task by task."""

    reference: str
    comparisons: tuple[Comparison, ...]
    refusals: tuple[Refusal, ...]


class CurvePoint(Record):
    """A series at one rate."""

    rate: float  # as in a Recipe; the reference stands where a dense checkpoint does
    comparison: Comparison


class Curve(Record):
    """A series on one task, from the reference to the most compressed candidate."""

    series: str
    axis: Axis
    task: str
    points: tuple[CurvePoint, ...]
    refusals: tuple[Refusal, ...] = ()  # candidates of the series that could not be compared


# --- what is decided ----------------------------------------------------------------------------------------

Outcome = Literal["pass", "regression", "inconclusive"]
CheckKind = Literal["task", "family", "perplexity", "kl"]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """A regression if there is one, else inconclusive if there is one, else pass."""
    given = set(outcomes)
    if "regression" in given:
        return "regression"
    return "inconclusive" if "inconclusive" in given else "pass"


class Check(Record):
    """One limit of a policy, asked of one candidate."""

    kind: CheckKind
    name: str  # of the task or family
    metric: str
    reference_score: Estimate | None = None  # None for kl
    candidate_score: Estimate
    delta: Estimate | None = None  # None for kl
    flips: Flips | None = None
    noise_floor: NoiseFloor | None = None  # None: not measured
    p_within: float  # one-sided, of "the limit is broken": small shows that it is kept
    p_loss: float  # one-sided, of "nothing is lost", corrected over the checks: small shows a loss
    outcome: Outcome = "inconclusive"
    reason: str = ""
    items_needed: int | None = None  # in all, to decide; None: decided already, or no number would


class Verdict(Record):
    """A policy's answer for one candidate."""

    candidate: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        return worst(check.outcome for check in self.checks)


class GateResult(Record):
    """A policy's answers for a results folder: what is printed, written and returned to the shell."""

    policy: str
    reference: str
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> Outcome:
        return worst(verdict.outcome for verdict in self.verdicts)

    @property
    def exit_code(self) -> int:
        return {"pass": 0, "regression": 1, "inconclusive": 3}[self.outcome]
