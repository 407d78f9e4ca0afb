"""One checkpoint on one task, as stored: its identity, its scores, and its divergence from the reference."""

from kick.types.base import Record
from kick.types.engines import DEFAULT_ENGINE, EngineIdentity
from kick.types.floors import Floors, ResponseSigns
from kick.types.tasks import PlanInfo, Skipped, TaskInfo


class CellIdentity(Record):
    """Everything that may change the numbers of a cell; its hash is the cell's key."""

    # The fingerprints of the checkpoint and of its tokenizer.
    checkpoint: str
    tokenizer: str
    # The task's name.
    task: str
    plan: PlanInfo
    dtype: str
    # The kind of device: "cpu" or "cuda".
    device: str
    # The attention implementation: "sdpa", "eager", or what another engine calls its own.
    attention: str
    # The scoring path.
    tier: str
    # Package -> version.
    versions: dict[str, str]
    # The key of the reference's cell that divergence is measured from, or "kept" in that cell.
    divergence: str | None = None
    # None: torch, whose version is in `versions` and whose settings are in `tier`.
    engine: EngineIdentity | None = None

    @property
    def engine_name(self) -> str:
        """The name of the engine."""
        return self.engine.name if self.engine else DEFAULT_ENGINE

    @property
    def engine_release(self) -> str:
        """The engine with its version: `torch 2.10.0`."""
        return (
            self.engine.release
            if self.engine
            else f"{DEFAULT_ENGINE} {self.versions.get('torch', '')}".rstrip()
        )


class Divergence(Record):
    """The distance of a candidate's next-token distributions from its reference's, over all tokens; in nats."""

    # The reference's checkpoint id.
    reference: str
    tokens: int
    # The mean of KL(reference || candidate), and its standard error if tokens are independent.
    kl: float
    kl_error: float
    kl_max: float
    # Percentile, such as "99.9" -> KL(reference || candidate).
    kl_percentiles: dict[str, float]
    # The mean of KL(candidate || reference).
    reverse_kl: float
    # ln(perplexity of the candidate / perplexity of the reference), and the standard error of paired differences.
    log_perplexity_ratio: float
    log_perplexity_ratio_error: float
    # The mean change in the probability of the right token, and its root mean square.
    delta_p: float
    delta_p_rms: float
    # The share of tokens for which both find the same token most probable, 0..1.
    same_top: float
    # The correlation of the tokens' losses; None: the losses of one of the two do not vary.
    nll_correlation: float | None


class Cell(Record):
    """One checkpoint on one task, as stored: the unit of work, of storage and of resume."""

    # The checkpoint's id.
    checkpoint: str
    task: TaskInfo
    # The hash of `identity`.
    key: str
    identity: CellIdentity
    # Metric -> mean over the items; "perplexity" -> exp(mean nll).
    scores: dict[str, float]
    # The number of items in items.parquet.
    items: int
    skipped: tuple[Skipped, ...] = ()
    # The number of items that the draw was made from; None: a text, or it is not known.
    available: int | None = None
    # The findings of the checks of the prompts, one sentence each.
    notes: tuple[str, ...] = ()
    # The time that scoring took.
    seconds: float
    # When scoring ended: ISO 8601, UTC.
    finished: str
    # The SHA-256 of items.parquet.
    items_sha256: str
    # What answerers without knowledge score on the same items; None: not measured.
    floors: Floors | None = None
    # The signs of a destroyed model in generated answers; None: the task asks for none, or they were not counted.
    signs: ResponseSigns | None = None
    # None: not measured.
    divergence: Divergence | None = None
    # Why divergence was asked for and not measured.
    not_diverged: str | None = None
