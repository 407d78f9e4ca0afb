"""The vocabulary of kick as small typed records: a reader starts here.

A suite names checkpoints and tasks; one checkpoint on one task is a cell; two cells of one task make a comparison; a
policy turns comparisons into a verdict. Each of these words is a record, and the modules follow that order:

    recipes       how a compressed checkpoint is made
    measures      what is measured on a checkpoint's weights, and what it costs
    engines       what computes
    checkpoints   what is scored
    tasks         what it is scored on, and how requests are batched
    cells         one checkpoint on one task, as stored
    comparisons   what is said about two cells
    verdicts      what is decided
    manifests     who vouches for the files

Records hold values and what follows from them directly; the work is done in the modules that the records pass
between. All are immutable, and those that are stored (`Cell`, `CheckpointRecord`) read back as they were written.
"""

from kick.types.base import Record
from kick.types.cells import Cell, CellIdentity, Divergence
from kick.types.checkpoints import Checkpoint, CheckpointRecord, Dtype
from kick.types.comparisons import (
    BitsPerByte,
    CellScore,
    ChoiceCalibration,
    Comparison,
    Curve,
    CurvePoint,
    EngineFloor,
    Estimate,
    Flips,
    Match,
    Matching,
    NoiseFloor,
    PairedEstimates,
    Refusal,
    SuiteComparison,
)
from kick.types.engines import DEFAULT_ENGINE, EngineArgument, EngineIdentity
from kick.types.floors import Floor, Floors, ResponseSigns
from kick.types.loading import LoadingOptions, ModelReference
from kick.types.manifests import ListedFile, Manifest, Origin
from kick.types.measures import Cost, Declared, Description, LinearWeights, Ratio, Speed, StoredAs
from kick.types.recipes import DENSE_RATE, Axis, Calibration, Recipe, Step, falling
from kick.types.tasks import (
    BatchSize,
    Family,
    FewshotAs,
    PlanInfo,
    Skipped,
    TaskInfo,
    TaskKind,
    Tier,
    TierChoice,
)
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
    "DEFAULT_ENGINE",
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
    "ChoiceCalibration",
    "Comparison",
    "Cost",
    "Curve",
    "CurvePoint",
    "Declared",
    "Description",
    "Divergence",
    "Dtype",
    "EarlyWarning",
    "EngineArgument",
    "EngineFloor",
    "EngineIdentity",
    "Estimate",
    "Family",
    "FamilyScore",
    "FewshotAs",
    "Flips",
    "Floor",
    "Floors",
    "GateResult",
    "LinearWeights",
    "ListedFile",
    "LoadingOptions",
    "Manifest",
    "Match",
    "Matching",
    "ModelReference",
    "NoiseFloor",
    "Origin",
    "Outcome",
    "PairedEstimates",
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
