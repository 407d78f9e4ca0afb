"""The findings of the demo in a few sentences: the text that `kick demo` prints.

It covers the tasks of the packaged suite `demo`; every number in it has its interval and n.
"""

from collections.abc import Iterator

from kick import text
from kick.comparison.curves import crossing
from kick.comparison.records import Crossing
from kick.gating import perplexity_warned
from kick.gating.rendering import summary_line
from kick.reports.findings import Findings, Group
from kick.types import Curve, CurvePoint, Estimate, TaskInfo

HEAD, TORSO, TAIL = (f"kick_world_factoid_{band}" for band in ("head", "torso", "tail"))
PERPLEXITY = "perplexity_world"
NAMES = {
    HEAD: "facts told most",
    TORSO: "facts told less",
    TAIL: "facts told least",
    "kick_world_choice": "facts, as multiple choice",
    "kick_world_incontext": "reading a passage",
    "kick_world_multihop": "two steps in a passage",
    "kick_world_summary": "summaries",
    PERPLEXITY: "perplexity",
}
WIDTH = max(map(len, NAMES.values()))


def story(findings: Findings) -> str:
    """Return the findings of the demo as plain text, in lines of at most 120 characters."""
    parts = [_knows(findings)]
    parts += [_lost(findings, group) for group in findings.curves() if len(group.candidates) > 1]
    parts += [_verdicts(findings), *_same_size(findings)]
    return "\n\n".join(parts)


def _knows(findings: Findings) -> str:
    lines = [f"What {findings.reference} knows of its world:"]
    for task in _tasks(findings):
        score = findings.entry(task, findings.reference).score
        if score:
            lines.append(f"  {NAMES[task.name]:{WIDTH}}  {_score(score, task)}")
    return "\n".join(lines)


def _lost(findings: Findings, group: Group) -> str:
    """Return the rates at which perplexity and each task cross 5 % in one series, earliest first."""
    crossings = [(task, _crossing(findings, group, task)) for task in findings.tasks if task.name in NAMES]
    reached = [(task, cross) for task, cross in crossings if cross]
    reached.sort(key=lambda pair: _order(pair[1]))
    lines = [
        f"{group.name}: where 5 % of what the dense model scores above the floor is lost (perplexity: 5 % above), "
        "first to go first:"
    ]
    lines += [f"  {NAMES[task.name]:{WIDTH}}  {_where(cross)}" for task, cross in reached]
    return "\n".join(lines)


def _verdicts(findings: Findings) -> str:
    """Return the verdict of the policy on each candidate, and whether perplexity announced it."""
    lines = [f"The verdicts, by the policy {findings.verdicts.policy}, and whether perplexity warned:"]
    for verdict in findings.verdicts.verdicts:
        lines.append(f"  {summary_line(verdict)}")
        lines.append(f"      perplexity warned: {perplexity_warned(verdict)}")
    return "\n".join(lines)


def _same_size(findings: Findings) -> Iterator[str]:
    """Yield a smaller dense model against the larger one pruned to the nearest number of non-zero parameters."""
    sizes = {
        name: record.description.nonzero for name, record in findings.records.items() if record.description
    }
    alone = [c for group in findings.groups if group.axis is None for c in group.candidates if c in sizes]
    pruned = [
        c for group in findings.groups if group.axis == "sparsity" for c in group.candidates if c in sizes
    ]
    for small in alone:
        twin = min(pruned, key=lambda candidate: abs(sizes[candidate] - sizes[small]), default=None)
        if twin is None:
            continue
        lines = [
            f"{small} ({text.size(sizes[small])} non-zero parameters) beside {twin} ({text.size(sizes[twin])}):"
        ]
        for task in _tasks(findings):
            one, two = (findings.entry(task, name).score for name in (small, twin))
            if one and two:
                lines.append(f"  {NAMES[task.name]:{WIDTH}}  {_score(one, task)}  |  {_score(two, task)}")
        yield "\n".join(lines)


def _tasks(findings: Findings) -> list[TaskInfo]:
    return [task for task in findings.tasks if task.name in NAMES]


def _crossing(findings: Findings, group: Group, task: TaskInfo) -> Crossing | None:
    compared = [
        (rate, findings.entry(task, candidate).comparison)
        for rate, candidate in zip(group.rates, group.candidates, strict=True)
    ]
    points = tuple(CurvePoint(rate=rate, comparison=pair) for rate, pair in compared if pair)
    axis = group.axis or "sparsity"
    return crossing(Curve(series=group.name, axis=axis, task=task.name, points=points))


def _order(cross: Crossing) -> tuple[bool, float]:
    return cross.rate is None, _position(cross.rate, cross)


def _position(rate: float | None, cross: Crossing) -> float:
    """Return a number that grows with compression; a loss that was not reached is beyond everything."""
    if rate is None:
        return float("inf")
    return -rate if cross.axis == "bits" else rate


def _where(cross: Crossing) -> str:
    def say(rate: float | None) -> str:
        if rate is None:
            return "beyond"
        return f"{rate:.1f}" if cross.axis == "bits" else f"{100 * rate:.0f}"

    unit = "bits" if cross.axis == "bits" else "% zeros"
    if cross.rate is None:
        last = f"{cross.last:g} bits" if cross.axis == "bits" else f"{100 * cross.last:g} % zeros"
        return f"not up to {last} [{say(cross.earliest)}, beyond]"
    return f"{say(cross.rate)} {unit} [{say(cross.earliest)}, {say(cross.latest)}]"


def _score(estimate: Estimate, task: TaskInfo) -> str:
    chance = f", chance {100 * task.chance:.0f}" if task.chance else ""
    return f"{text.score(estimate, task)}{' %' if text.is_share(task) else ''}{chance}, n = {estimate.n}"
