"""Cost beside quality: what storing and running each checkpoint takes, and what it keeps of each task family."""

from kick import text
from kick.gating import mark
from kick.reports.blocks import NOTHING, Field, Table, column, name, number, plain
from kick.reports.findings import Findings
from kick.reports.tables.sizes import Size, size
from kick.types import Family, TaskInfo
from kick.types.measures import Cost, Speed

TITLE = "Cost beside quality"
NOTE = (
    "Stored: the weight files on the disk. Smallest: what a format made for the zeros or the bits could reach, marked "
    "* if no such file was made; the decoder's linears without their zeros under a mask of one bit per weight, or at "
    "their bits with one 16-bit scale per group, or as low-rank factors, all else as stored. Effective bits: "
    "8 × smallest / parameters. Energy is not measured. Recovery is that above "
    "the floor, or of the whole score where no floor was measured; for a family of several tasks, that of the mean "
    "scores. Tasks on which the reference is not shown to be above its floor are left out. Its mark is that of the "
    "policy's rule for the family or, without one, the worst of its tasks."
)

RUNNING_NOTE = (
    "Measured once per checkpoint, in the run that scored it; what else the machine did is not known. Made: "
    "calibrating and compressing. Loaded: with the checks of a strict load. Before the first forward: parameters "
    "and buffers as the loader holds them. Peak: on a GPU what was allocated, else the resident memory of the "
    "whole process with its libraries. Tokens per second: transformers, greedy, one prompt, prefill and decode "
    "apart, the median of several after a warm-up; not measured for a model so small that the time is Python's. "
    "Simulated: weights are rounded and not packed, or unpacked to run, or keys and values are rounded at each "
    "reading, so nothing follows for a packed kernel. Zeros are multiplied like other weights."
)


def cost(findings: Findings) -> Table:
    """Return one row per checkpoint: sizes, compression ratio, recovery on each family, rise of each perplexity.

    The table is empty if no weights were measured.
    """
    sizes = {checkpoint: size(findings.records.get(checkpoint)) for checkpoint in findings.checkpoints}
    families = findings.families_of_tasks()
    texts = [task for task in findings.tasks if task.kind == "text"]
    header = (
        plain("checkpoint"),
        number("stored"),
        number("smallest"),
        number("effective bits"),
        number("times smaller", "than the reference"),
        number("non-zero parameters"),
        *(number(family.replace("_", " "), "recovery") for family in families),
        *(column(task.name, "ratio to the reference") for task in texts),
    )
    reference = sizes[findings.reference]
    rows = tuple(
        (
            name(checkpoint),
            *_sizes(sizes[checkpoint], reference),
            *(_kept(findings, family, checkpoint) for family in families),
            *(_rise(findings, task, checkpoint) for task in texts),
        )
        for checkpoint in findings.checkpoints
    )
    measured = any(sizes.values())
    return Table("cost", TITLE, header, rows if measured else (), NOTE if measured else "", True)


def running(findings: Findings) -> Table:
    """Return one row per checkpoint: what making, loading and running it took; empty if nothing was measured."""
    header = (
        plain("checkpoint"),
        number("made in"),
        number("loaded in"),
        number("before the first forward"),
        number("peak memory"),
        number("prefill", "tokens per second"),
        number("decode", "tokens per second"),
        plain("run by"),
    )
    rows = []
    for checkpoint in findings.checkpoints:
        record = findings.records.get(checkpoint)
        if record is not None and record.cost is not None:
            rows.append((name(checkpoint), *_running(record.cost)))
    note = RUNNING_NOTE if rows else ""
    return Table("running", "What making, loading and running takes", header, tuple(rows), note, True)


def _running(taken: Cost) -> list[Field]:
    making, peak, speed = taken.made_seconds, taken.peak_memory, taken.speed
    return [
        number(NOTHING) if making is None else number(text.duration(making), sort=making),
        number(f"{taken.load_seconds:.1f} s", sort=taken.load_seconds),
        number(text.bytes_(taken.footprint), sort=taken.footprint),
        number("not told") if peak is None else number(text.bytes_(peak), sort=peak),
        *(_speed(speed, rate) for rate in ((speed.prefill, speed.decode) if speed else (None, None))),
        plain(
            f"{speed.backend}; {speed.prompt_tokens} + {speed.new_tokens} tokens" if speed else taken.device
        ),
    ]


def _speed(speed: Speed | None, rate: float | None) -> Field:
    if speed is None or rate is None:
        return number("not measured")
    return number(text.quantity(rate), *(["simulated"] if speed.simulated else []), sort=rate)


def _sizes(measured: Size | None, reference: Size | None) -> list[Field]:
    if measured is None:
        return [plain("not measured"), *[plain(NOTHING)] * 4]
    ratio = reference.smallest / measured.smallest if reference and measured.smallest else None
    return [
        number(text.bytes_(measured.stored), sort=measured.stored),
        number(text.bytes_(measured.smallest) + (" *" if measured.ideal else ""), sort=measured.smallest),
        number(f"{measured.bits:.2f}", sort=measured.bits),
        number(NOTHING) if ratio is None else number(f"{text.TIMES}{ratio:.2f}", sort=ratio),
        number(text.size(measured.nonzero), sort=measured.nonzero),
    ]


def _kept(findings: Findings, family: Family, checkpoint: str) -> Field:
    if checkpoint == findings.reference:
        return number("100 %", sort=1.0)
    kept = findings.kept(family, checkpoint)
    if kept is None:
        return plain(NOTHING)
    return number(
        f"{text.percent(kept.kept)} {mark(kept)}".rstrip(),
        f"n = {kept.n}",
        *([f"left out, not measurable: {', '.join(kept.unknown)}"] if kept.unknown else []),
        sort=kept.kept.value,
        outcome=kept.outcome,
    )


def _rise(findings: Findings, task: TaskInfo, checkpoint: str) -> Field:
    if checkpoint == findings.reference:
        return number(f"{text.TIMES}1", sort=1.0)
    entry = findings.entry(task, checkpoint)
    comparison = entry.comparison
    if comparison is None or comparison.ratio is None:
        return plain(NOTHING)
    return number(
        f"{text.ratio(comparison.ratio)} {mark(entry)}".rstrip(),
        f"n = {comparison.n}",
        sort=comparison.ratio.value,
        outcome=entry.outcome,
    )
