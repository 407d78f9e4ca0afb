"""The vocabulary of kick as small typed records: a reader starts here.

A suite names checkpoints and tasks; one checkpoint on one task is a cell; two cells of one task make a comparison; a
policy turns comparisons into a verdict. Each of these words is a record, and the modules follow that order:

    recipes       how a compressed checkpoint is made
    measures      what is measured on a checkpoint's weights, and what it costs
    checkpoints   what is scored
    tasks         what it is scored on, and how requests are batched
    cells         one checkpoint on one task, as stored
    comparisons   what is said about two cells
    verdicts      what is decided

Records hold values and what follows from them directly; the work is done in the modules that the records pass
between. All are immutable, and those that are stored (`Cell`, `CheckpointRecord`) read back as they were written.
"""

from kick.types.base import Record
from kick.types.cells import Cell, CellIdentity, Divergence
from kick.types.checkpoints import Checkpoint, CheckpointRecord, Dtype
from kick.types.comparisons import (
    BitsPerByte,
    CellScore,
    Comparison,
    Curve,
    CurvePoint,
    Estimate,
    Flips,
    Match,
    Matching,
    NoiseFloor,
    Refusal,
    SuiteComparison,
)
from kick.types.floors import Floor, Floors, ResponseSigns
from kick.types.loading import LoadingOptions, ModelReference
from kick.types.measures import Cost, Declared, Description, LinearWeights, Ratio, Speed, StoredAs
from kick.types.recipes import DENSE_RATE, Axis, Calibration, Recipe, Step, falling
from kick.types.tasks import BatchSize, Family, PlanInfo, Skipped, TaskInfo, TaskKind, Tier, TierChoice
from kick.types.verdicts import (
    Check,
    CheckKind,
    EarlyWarning,
    FamilyScore,
    GateResult,
    Outcome,
    Verdict,
    worst,
)

__all__ = [
    "DENSE_RATE",
    "Axis",
    "BatchSize",
    "BitsPerByte",
    "Calibration",
    "Cell",
    "CellIdentity",
    "CellScore",
    "Check",
    "CheckKind",
    "Checkpoint",
    "CheckpointRecord",
    "Comparison",
    "Cost",
    "Curve",
    "CurvePoint",
    "Declared",
    "Description",
    "Divergence",
    "Dtype",
    "EarlyWarning",
    "Estimate",
    "Family",
    "FamilyScore",
    "Flips",
    "Floor",
    "Floors",
    "GateResult",
    "LinearWeights",
    "LoadingOptions",
    "Match",
    "Matching",
    "ModelReference",
    "NoiseFloor",
    "Outcome",
    "PlanInfo",
    "Ratio",
    "Recipe",
    "Record",
    "Refusal",
    "ResponseSigns",
    "Skipped",
    "Speed",
    "Step",
    "StoredAs",
    "SuiteComparison",
    "TaskInfo",
    "TaskKind",
    "Tier",
    "TierChoice",
    "Verdict",
    "falling",
    "worst",
]
