"""The tables of a report as plain text, laid out once; every format renders and escapes them in its own way.

Nothing here is escaped: names and messages are still data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kick.reports import text
from kick.reports.findings import Entry, Findings, Group
from kick.types import CheckpointRecord, Comparison, Description, Match, Step, TaskInfo

NOTHING = "–"
MAX_CANDIDATES = 6  # side by side
SCORES_NOTE = (
    "In each field: the score [95 % interval], and below it the share of the reference's score that is left, "
    "on the same items. ✓: shown to be within 5 % of the reference; ✗: shown not to be; ?: the items are too "
    "few to tell."
)
MARKS: dict[Match, str] = {"matching": "✓", "not matching": "✗", "cannot tell": "?"}


@dataclass(frozen=True)
class Field:
    """What stands in one cell of a table: lines of text, the first of them a name if so marked."""

    lines: tuple[str, ...]
    name: bool = False
    number: bool = False
    sort: float | None = None  # what a table that can be sorted goes by; None: by the text
    outcome: Match | None = None  # of the matching test, for formats that can colour it


@dataclass(frozen=True)
class Table:
    """A table: `label` names its file or anchor, `title` says what it shows, `note` how to read it."""

    label: str
    title: str
    header: tuple[Field, ...]
    rows: tuple[tuple[Field, ...], ...]
    note: str = ""
    sortable: bool = False  # whether a column holds values of one kind


def plain(*lines: str) -> Field:
    return Field(lines)


def number(*lines: str, sort: float | None = None, outcome: Match | None = None) -> Field:
    return Field(lines, number=True, sort=sort, outcome=outcome)


def name(title: str, *lines: str) -> Field:
    return Field((title, *lines), name=True)


def column(title: str, *lines: str) -> Field:
    """The head of a column of numbers that is named for a checkpoint."""
    return Field((title, *lines), name=True, number=True)


def checkpoints(findings: Findings) -> Table:
    """The checkpoints, and what was measured on their stored weights."""
    header = (
        plain("checkpoint"),
        plain("made by"),
        number("parameters"),
        number("non-zero"),
        number("zeros in the decoder linears", "(least to most pruned layer)"),
        number("stored weights"),
        number("bits per weight", "(whole model)"),
        plain("stored as"),
    )
    rows = tuple(_checkpoint_row(findings, checkpoint) for checkpoint in findings.checkpoints)
    note = (
        "Measured on the stored weights, not read from a config; in memory where they are quantized on loading. A "
        "checkpoint whose rounded weights are stored in 16 bits keeps the size of the dense one. Bits of the decoder "
        "linears stand below those of the whole model where they differ."
    )
    return Table("checkpoints", "Checkpoints", header, rows, note, sortable=True)


def _checkpoint_row(findings: Findings, checkpoint: str) -> tuple[Field, ...]:
    record = findings.records.get(checkpoint)
    made = plain("the reference" if checkpoint == findings.reference else NOTHING)
    if record is None:
        return (name(checkpoint), plain("not run"), *[plain(NOTHING)] * 6)
    if known := made_by(record):
        made = plain(*known)
    measured = record.description
    if measured is None:
        return (name(checkpoint), made, plain("not measured"), *[plain(NOTHING)] * 5)
    dtypes = sorted(measured.stored_dtypes.items(), key=lambda pair: -pair[1])
    stored = ", ".join(dtype for dtype, _ in dtypes)
    pattern = (
        () if measured.nm_violations is None else (f"N:M broken in {text.share(measured.nm_violations)}",)
    )
    return (
        name(checkpoint),
        made,
        number(text.size(measured.parameters), sort=measured.parameters),
        number(
            text.size(measured.nonzero),
            text.share(measured.nonzero / max(measured.parameters, 1)),
            sort=measured.nonzero,
        ),
        number(
            text.share(measured.sparsity),
            f"({text.share(measured.sparsity_min)} to {text.share(measured.sparsity_max)})",
            *pattern,
            sort=measured.sparsity,
        ),
        number(text.bytes_(measured.bytes_on_disk), sort=measured.bytes_on_disk),
        number(f"{measured.bits_per_weight:.2f}", *_linear_bits(measured), sort=measured.bits_per_weight),
        plain(
            stored,
            *([f"quantizer: {measured.quant_method}"] if measured.quant_method else []),
            *record.loading,
            *(f"simulated: {what}" for what in record.simulated),
        ),
    )


def made_by(record: CheckpointRecord) -> tuple[str, ...]:
    """What a suite says of how a checkpoint was made and is read, a phrase each; nothing of one that comes as it is."""
    phrases = [recipe(record)] if record.step else []
    if record.checkpoint.kv_bits is not None:
        phrases.append(f"keys and values in {record.checkpoint.kv_bits} bits")
    return tuple(phrases)


def _linear_bits(measured: Description) -> tuple[str, ...]:
    """The bits of the decoder linears, where they are not those of the whole model."""
    bits = measured.linear_bits_per_weight
    return () if bits is None or abs(bits - measured.bits_per_weight) < 0.1 else (f"linears {bits:.2f}",)


def recipe(record: CheckpointRecord) -> str:
    """Return how a checkpoint was made: `magnitude, 50 % zeros, then rtn, 4 bits, groups of 128, symmetric`.

    Of a checkpoint that kick did not make, what is declared, which says so.
    """
    if record.recipe is not None:
        return ", then ".join(_step(step) for step in record.recipe.steps)
    assert record.step is not None
    return f"declared: {_step(record.step, declared=True)}"


def _step(made: Step, *, declared: bool = False) -> str:
    parts = [made.method]
    if made.sparsity is not None:
        parts.append(f"{100 * made.sparsity:g} % zeros")
    if made.rank is not None:
        parts.append(f"{100 * made.rank:g} % of the parameters")
    if made.layers is not None:
        which = isinstance(made.layers, tuple)
        parts.append(f"layers {made.layers} dropped" if which else f"{made.layers} layers dropped")
    if made.pattern:
        parts.append(made.pattern)
    if made.bits is not None:
        parts.append(f"{made.bits} bits")
        if made.group_size or not declared:
            parts.append(f"groups of {made.group_size}" if made.group_size else "one scale a row")
        if not declared:
            parts.append("symmetric" if made.symmetric else "asymmetric")
    if drawn := made.calibration:
        tokens = f"{drawn.samples} × {drawn.length} tokens"
        parts.append(f"calibrated on {tokens} of {Path(drawn.data).name}, seed {drawn.seed}")
    return ", ".join(parts)


def scores(findings: Findings, group: Group) -> list[Table]:
    """Tasks as rows, the reference and the checkpoints of a group as columns; recovery below each score.

    A group of many checkpoints is split, and the reference stands first in each part.
    """
    parts = math.ceil(len(group.candidates) / MAX_CANDIDATES)
    width = math.ceil(len(group.candidates) / parts)
    title = "Scores" if group.axis is None else f"Scores: {group.name}"
    return [
        _scores(
            findings,
            group.candidates[part * width : (part + 1) * width],
            f"scores-{group.name}" + (f"-{part + 1}" if part else ""),
            title + (f" ({part + 1} of {parts})" if parts > 1 else ""),
        )
        for part in range(parts)
    ]


def _scores(findings: Findings, candidates: Sequence[str], label: str, title: str) -> Table:
    columns = (findings.reference, *candidates)
    header = (
        plain("task"),
        column(findings.reference, "reference"),
        *(column(candidate) for candidate in candidates),
    )
    rows = tuple(
        (
            _task_header(findings, task, columns),
            *(_score_field(findings, task, checkpoint, columns) for checkpoint in columns),
        )
        for task in findings.tasks
    )
    return Table(label, title, header, rows)


def _task_header(findings: Findings, task: TaskInfo, columns: Sequence[str]) -> Field:
    sizes = _sizes(findings, task, columns)
    facts = [metric(task)]
    if len(sizes) == 1:
        facts.append(f"n = {sizes.pop()}" + (" windows" if task.family == "perplexity" else ""))
    if task.chance is not None:
        facts.append(f"chance {100 * task.chance:.1f}" if text.is_share(task) else f"chance {task.chance:g}")
    return name(task.name, ", ".join(fact for fact in facts if fact))


def metric(task: TaskInfo) -> str:
    """The metric of a task with its unit and direction, as `em, %` or `perplexity, lower is better`."""
    if not task.metric:
        return ""
    if task.family == "perplexity":
        return "perplexity, lower is better"
    unit = ", %" if text.is_share(task) else ""
    return f"{task.metric}{unit}" + ("" if task.higher_is_better else ", lower is better")


def _sizes(findings: Findings, task: TaskInfo, columns: Sequence[str]) -> set[int]:
    entries = [findings.entry(task, checkpoint) for checkpoint in columns]
    return {entry.score.n for entry in entries if entry.score}


def _score_field(findings: Findings, task: TaskInfo, checkpoint: str, columns: Sequence[str]) -> Field:
    entry = findings.entry(task, checkpoint)
    if entry.score is None:
        return plain(entry.problem or NOTHING)
    lines = [text.score(entry.score, task)]
    if len(_sizes(findings, task, columns)) > 1:
        lines.append(f"n = {entry.score.n}")
    if checkpoint != findings.reference:
        lines.append(relative(entry, task))
    if entry.at_chance:
        lines.append("not above chance")
    return number(*lines, outcome=outcome(entry.comparison))


def curve_data(findings: Findings, group: Group) -> Table:
    """The numbers that the curve of a series draws."""
    header = (plain("task"), *(column(candidate) for candidate in group.candidates))
    rows = []
    for task in findings.tasks:
        fields = [_curve_field(findings, task, candidate) for candidate in group.candidates]
        rows.append((name(task.name), *fields))
    return Table(f"curve-{group.name}", f"The data of the curve of {group.name}", header, tuple(rows))


def _curve_field(findings: Findings, task: TaskInfo, candidate: str) -> Field:
    entry, diverged = findings.entry(task, candidate), findings.diverged(task, candidate)
    if entry.score is None:
        return plain(entry.problem or NOTHING)
    kl = [f"KL {text.divergence(diverged.kl)}"] if diverged else []
    return number(relative(entry, task), *kl, f"n = {entry.score.n}", outcome=outcome(entry.comparison))


def relative(entry: Entry, task: TaskInfo) -> str:
    """Recovery, or the perplexity ratio; and where there is none, why."""
    if entry.comparison is None:
        return "not compared" if entry.problem else NOTHING
    if entry.comparison.ratio is None:
        return "no recovery: the reference scores 0"
    kind = "recovery" if task.higher_is_better else "ratio"
    show = text.percent if task.higher_is_better else text.ratio
    return f"{kind} {show(entry.comparison.ratio)} {mark(entry.comparison)}".rstrip()


def mark(comparison: Comparison) -> str:
    """The outcome of the matching test as one sign."""
    return MARKS[comparison.matching.outcome] if comparison.matching else ""


def outcome(comparison: Comparison | None) -> Match | None:
    """The outcome of the matching test, where there is one."""
    return comparison.matching.outcome if comparison and comparison.matching else None


def changes(findings: Findings, task: TaskInfo) -> Table:
    """For each candidate on a task: the paired difference, and the flips of right-or-wrong items."""
    entries = [(checkpoint, findings.entry(task, checkpoint)) for checkpoint in findings.checkpoints[1:]]
    flips = any(entry.comparison and entry.comparison.flips for _, entry in entries)
    header = [
        plain("candidate"),
        number("n"),
        number("delta" + (", points" if text.is_share(task) else "")),
        number("noise floor"),
        number("p", "(adjusted)"),
    ]
    if flips:
        header += [
            number("right in both"),
            number("right to wrong"),
            number("wrong to right"),
            number("wrong in both", "(with another answer)"),
            number("knowledge loss"),
        ]
    rows = []
    for checkpoint, entry in entries:
        if entry.comparison is None:
            why = "not compared" if entry.score else "not run"  # the reason stands among the problems
            fields = [plain(NOTHING), plain(why), *[plain(NOTHING)] * (len(header) - 3)]
        else:
            fields = _change(entry.comparison, task) + (_flips(entry.comparison) if flips else [])
        rows.append((name(checkpoint), *fields))
    title = f"{task.name}: candidate against {findings.reference}"
    return Table(f"changes-{task.name}", title, tuple(header), tuple(rows), sortable=True)


def _change(comparison: Comparison, task: TaskInfo) -> list[Field]:
    return [
        number(str(comparison.n), sort=comparison.n),
        number(text.delta(comparison.delta, task), sort=comparison.delta.value),
        _noise_floor(comparison, task),
        number(
            text.p_value(comparison.p_value),
            *([f"({text.p_value(comparison.p_holm)})"] if comparison.p_holm is not None else []),
            sort=comparison.p_value,
        ),
    ]


def _flips(comparison: Comparison) -> list[Field]:
    flips, loss = comparison.flips, comparison.knowledge_loss
    if flips is None:
        return [plain(NOTHING)] * 5
    return [
        number(str(flips.both_right), sort=flips.both_right),
        number(str(flips.lost), sort=flips.lost),
        number(str(flips.gained), sort=flips.gained),
        number(f"{flips.both_wrong} ({flips.other_wrong})", sort=flips.both_wrong),
        number(f"{text.percent(loss)}, n = {loss.n}", sort=loss.value) if loss else plain("nothing known"),
    ]


def _noise_floor(comparison: Comparison, task: TaskInfo) -> Field:
    floor = comparison.noise_floor
    if floor is None:
        return number("not measured")
    flips = f"{floor.flips.lost + floor.flips.gained} flips of {floor.flips.n}" if floor.flips else ""
    return number(text.delta(floor.delta, task), *([flips] if flips else []))
