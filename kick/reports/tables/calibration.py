"""The calibration of multiple choice: Brier score and calibration error of each checkpoint, with paired changes."""

from kick import text
from kick.reports.blocks import NOTHING, Field, Table, column, name, number, plain
from kick.reports.findings import Findings
from kick.types import ChoiceCalibration, Estimate, TaskInfo

TITLE = "Are the probabilities of choices right?"
NOTE = (
    "By the softmax over the likelihoods of the choices. In each field: the Brier score, 0 to 2, and the calibration "
    "error in percent with what chance alone would make of it; below each the change from the reference on the same "
    "items, that of the error in points. Lower is better."
)


def calibration(findings: Findings) -> Table:
    """Return checkpoints as rows and the tasks of choices as columns; an empty table if there are none."""
    tasks = [task for task in findings.tasks if any(_of(findings, task, one) for one in findings.checkpoints)]
    header = (plain("checkpoint"), *(column(task.name) for task in tasks))
    rows = tuple(
        (name(checkpoint), *(_field(findings, task, checkpoint) for task in tasks))
        for checkpoint in findings.checkpoints
        if tasks
    )
    return Table("calibration", TITLE, header, rows)


def _of(findings: Findings, task: TaskInfo, candidate: str) -> ChoiceCalibration | None:
    comparison = findings.entry(task, candidate).comparison
    return comparison.calibration if comparison else None


def _field(findings: Findings, task: TaskInfo, checkpoint: str) -> Field:
    if checkpoint == findings.reference:
        first = next(filter(None, (_of(findings, task, one) for one in findings.checkpoints)))
        return number(
            f"Brier {_plain(first.brier.reference)}",
            f"error {text.percent(first.error.reference)}",
            f"by chance {text.share(first.reference_if_calibrated)}",
            f"n = {first.brier.reference.n}",
        )
    calibration = _of(findings, task, checkpoint)
    if calibration is None:
        return plain(NOTHING)
    return number(
        f"Brier {_plain(calibration.brier.candidate)}",
        f"change {_change(calibration.brier.delta)}",
        f"error {text.percent(calibration.error.candidate)}",
        f"change {text.points(calibration.error.delta)}",
        f"by chance {text.share(calibration.candidate_if_calibrated)}",
    )


def _plain(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _change(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]".replace("-", text.MINUS)
