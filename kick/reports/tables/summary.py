"""The report at a glance: how far each series can go, and whether perplexity would have warned."""

from kick import text
from kick.gating import mark, perplexity_warned
from kick.reports.blocks import NOTHING, Field, Table, column, name, number, plain
from kick.reports.findings import Entry, Findings, Group
from kick.reports.reach import Reach
from kick.types import Axis, TaskInfo


def matching(findings: Findings) -> Table:
    """Return how much compression each task and series is shown to bear: the matching table of LLM-KICK."""
    series = [group for group in findings.groups if group.axis is not None]
    header = (plain("task"), *(name(group.name) for group in series))
    rows = tuple(
        (name(task.name), *(_reach(findings, task, group) for group in series)) for task in findings.tasks
    )
    note = (
        "First the heaviest compression up to which every loss, as measured, is below the margin of the policy. Then "
        "what the items show: up to which rate every checkpoint passes, and from which rate there is a regression. "
        "n: items of each comparison."
    )
    return Table("matching", "How far each series can go", header, rows, note) if series else _NONE


def warnings(findings: Findings) -> Table:
    """Return one row per candidate: what perplexity says, what the tasks say, and whether it announced the loss."""
    perplexities = [task for task in findings.tasks if task.kind == "text"]
    scored = [task for task in findings.tasks if task.kind != "text"]
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
        verdict = findings.verdict(candidate)
        judged = [check.outcome for check in verdict.checks if check.kind == "task"]
        rows.append(
            (
                name(candidate),
                *(_ratio(findings, candidate, task) for task in perplexities),
                *(_divergence(findings, candidate, task) for task in diverged),
                plain(f"{judged.count('regression')} of {len(judged)}" if judged else "not compared"),
                _hardest_hit([findings.entry(task, candidate) for task in scored]),
                plain(perplexity_warned(verdict)),
            )
        )
    note = (
        "By the verdicts: perplexity warns if it is a regression itself. Silent loss: a task is a regression, and "
        "perplexity passes."
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
    """Return how far a series goes on a task, as measured and as shown, and the n behind it."""
    reach = findings.reach[task.name][group.name]
    if reach is None:
        return plain("not compared")
    if findings.not_measurable(task.name):
        return plain("not measurable here")
    passes, fails = _shown(reach, group)
    return plain(_measured(reach, group), passes, fails, f"n = {', '.join(map(str, reach.n))}")


def _measured(reach: Reach, group: Group) -> str:
    if reach.within not in group.rates:
        return f"not even {_rate(reach.first, group)} as measured"
    return f"up to {_rate(reach.within, group)} as measured"


def _shown(reach: Reach, group: Group) -> tuple[str, str]:
    passes = f"✓ up to {_rate(reach.passes, group)}" if reach.passes in group.rates else "none shown to pass"
    if reach.fails is None:
        return passes, "none shown to be a regression"
    return passes, f"✗ from {_rate(reach.fails, group)}"


def _rate(rate: float, group: Group) -> str:
    """Return a rate with its unit: `30 % zeros`."""
    assert group.axis is not None
    number = f"{100 * rate:g}" if group.axis in ("sparsity", "rank") else f"{rate:g}"
    return f"{number} {_UNITS[group.axis]}"


def _ratio(findings: Findings, candidate: str, task: TaskInfo) -> Field:
    entry = findings.entry(task, candidate)
    if entry.comparison is None or entry.comparison.ratio is None:
        return plain(entry.problem or NOTHING)
    ratio = entry.comparison.ratio
    return number(
        f"{text.ratio(ratio)} {mark(entry)}".rstrip(),
        f"n = {entry.comparison.n}",
        sort=ratio.value,
        outcome=entry.outcome,
    )


def _divergence(findings: Findings, candidate: str, task: TaskInfo) -> Field:
    diverged = findings.diverged(task, candidate)
    if diverged is None:
        return plain(NOTHING)
    return number(text.divergence(diverged.kl), f"n = {diverged.kl.n}", sort=diverged.kl.value)


def _hardest_hit(entries: list[Entry]) -> Field:
    hit = [(entry.comparison.kept, entry) for entry in entries if entry.comparison and entry.comparison.kept]
    if not hit:
        return plain(NOTHING)
    kept, entry = min(hit, key=lambda pair: pair[0].value)
    assert entry.comparison is not None
    recovery = f"{text.percent(kept)} {mark(entry)}".rstrip()
    return name(entry.comparison.task, f"{recovery}, n = {entry.comparison.n}")
