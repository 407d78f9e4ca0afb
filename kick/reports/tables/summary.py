"""The report at a glance: how far each series can go, and whether perplexity would have warned."""

from collections.abc import Sequence

from kick import text
from kick.reports.blocks import NOTHING, Field, Table, column, name, number, plain
from kick.reports.findings import Findings, Group
from kick.reports.tables.scores import mark, outcome
from kick.types import Axis, Comparison, Match, TaskInfo


def matching(findings: Findings) -> Table:
    """Return the matching table of LLM-KICK: how much compression each task and series is shown to bear."""
    series = [group for group in findings.groups if group.axis is not None]
    header = (plain("task"), *(name(group.name) for group in series))
    rows = tuple(
        (name(task.name), *(_reach(findings, task, group) for group in series)) for task in findings.tasks
    )
    note = (
        "The heaviest compression up to which the measured score stays within 5 % of the reference's. In "
        "brackets, what the items show: up to the first rate the task is shown to match, beyond the second "
        "it is shown not to. n: items of each comparison."
    )
    return Table("matching", "How far each series can go", header, rows, note) if series else _NONE


def warnings(findings: Findings) -> Table:
    """Return one row per candidate: what perplexity says, what the tasks say, and whether it announced the loss."""
    perplexities = [task for task in findings.tasks if task.family == "perplexity"]
    scored = [task for task in findings.tasks if task.family != "perplexity"]
    if not perplexities or not scored:
        return _NONE
    diverged = [task for task in perplexities if findings.divergences.get(task.name)]
    header = (
        plain("candidate"),
        *(column(task.name, "ratio to the reference") for task in perplexities),
        *(column(task.name, "KL, nats per token") for task in diverged),
        plain("tasks shown to have lost"),
        plain("hardest hit", "recovery above the floor"),
        plain("did perplexity warn?"),
    )
    rows = []
    for candidate in findings.checkpoints[1:]:
        ratios = _comparisons(findings, candidate, perplexities)
        others = _comparisons(findings, candidate, scored)
        lost = [comparison for comparison in others if outcome(comparison) == "not matching"]
        rows.append(
            (
                name(candidate),
                *(_ratio(findings, candidate, task) for task in perplexities),
                *(_divergence(findings, candidate, task) for task in diverged),
                plain(f"{len(lost)} of {len(others)}" if others else "not compared"),
                _hardest_hit(others),
                plain(_verdict([outcome(comparison) for comparison in ratios], lost, others)),
            )
        )
    note = (
        "Perplexity warns if it is shown to be more than 5 % above the reference's. Silent loss: a task "
        "is shown to have lost more than 5 % while perplexity is shown to be within 5 %."
    )
    return Table("warnings", "Did perplexity warn us?", header, tuple(rows), note, sortable=True)


_UNITS: dict[Axis, str] = {
    "sparsity": "% zeros",
    "bits": "bits",
    "rank": "% of the parameters",
    "layers": "layers dropped",
}
_NONE = Table("none", "", (), ())


def _reach(findings: Findings, task: TaskInfo, group: Group) -> Field:
    """Return `30 % zeros [10, 50]` and the n behind it."""
    reach = findings.reach[task.name][group.name]
    comparisons = [findings.entry(task, candidate).comparison for candidate in group.candidates]
    sizes = sorted({comparison.n for comparison in comparisons if comparison})
    if reach is None or not sizes:
        return plain("not compared")
    if findings.not_measurable(task.name):
        return plain("not measurable here")
    assert group.axis is not None
    unit = _UNITS[group.axis]
    value, low, high = (_rate(rate, group) for rate in (reach.rate, reach.at_least, reach.at_most))
    value = value if value == "dense" else f"{value} {unit}"
    if reach.at_most == reach.last and reach.fails_at is None:
        high = f"{high} or beyond"
    return plain(f"{value} [{low}, {high}]", f"n = {', '.join(map(str, sizes))}")


def _rate(rate: float, group: Group) -> str:
    if rate not in group.rates:
        return "dense"
    return f"{100 * rate:g}" if group.axis in ("sparsity", "rank") else f"{rate:g}"


def _comparisons(findings: Findings, candidate: str, tasks: Sequence[TaskInfo]) -> list[Comparison]:
    entries = [findings.entry(task, candidate) for task in tasks]
    return [entry.comparison for entry in entries if entry.comparison]


def _ratio(findings: Findings, candidate: str, task: TaskInfo) -> Field:
    entry = findings.entry(task, candidate)
    if entry.comparison is None or entry.comparison.ratio is None:
        return plain(entry.problem or NOTHING)
    ratio = entry.comparison.ratio
    return number(
        f"{text.ratio(ratio)} {mark(entry.comparison)}",
        f"n = {entry.comparison.n}",
        sort=ratio.value,
        outcome=outcome(entry.comparison),
    )


def _divergence(findings: Findings, candidate: str, task: TaskInfo) -> Field:
    diverged = findings.diverged(task, candidate)
    if diverged is None:
        return plain(NOTHING)
    return number(text.divergence(diverged.kl), f"n = {diverged.kl.n}", sort=diverged.kl.value)


def _hardest_hit(comparisons: Sequence[Comparison]) -> Field:
    hit = [(comparison.kept.value, comparison) for comparison in comparisons if comparison.kept]
    if not hit:
        return plain(NOTHING)
    comparison = min(hit, key=lambda pair: pair[0])[1]
    assert comparison.kept is not None
    recovery = f"{text.percent(comparison.kept)} {mark(comparison)}"
    return name(comparison.task, f"{recovery}, n = {comparison.n}")


def _verdict(
    perplexity: Sequence[Match | None], lost: Sequence[Comparison], compared: Sequence[Comparison]
) -> str:
    if not perplexity or not compared:
        return "not compared"
    warned = "not matching" in perplexity
    quiet = all(match == "matching" for match in perplexity)
    if lost:
        return "yes" if warned else "no: silent loss" if quiet else "cannot tell"
    if warned:
        return "it warned, no loss shown"
    settled = quiet and all(outcome(comparison) == "matching" for comparison in compared)
    return "nothing to warn of" if settled else "no loss shown"
