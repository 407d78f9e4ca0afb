"""The panel of a curve that shows divergence: KL and the rise of perplexity on one logarithmic axis of nats."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kick import text
from kick.reports.figures import style
from kick.reports.findings import Findings
from kick.types import Estimate, TaskInfo

SMALLEST = 1e-6  # nats: less is rounding
Point = tuple[float, Estimate]


def measured(findings: Findings, candidates: Sequence[str]) -> bool:
    """Whether the divergence of any of these was measured."""
    return any(one in row for row in findings.divergences.values() for one in candidates)


def draw(axes: Axes, findings: Findings, places: dict[str, float]) -> list[str]:
    """KL of every task and text against the rate, and beside it what perplexity rose by; returns what a reader has to
    be told.

    Both are nats a token: perplexity as the logarithm of its ratio to the reference's, which is what KL would be on a
    text that the reference wrote.

    Args:
        axes: where to draw; the x axis is left as it is.
        findings: the report.
        places: where each candidate stands on the x axis.
    """
    scored = [task for task in findings.tasks if task.higher_is_better]
    texts = [task for task in findings.tasks if not task.higher_is_better]
    low, left_out = math.inf, 0
    for index, task in enumerate(scored):
        look, label = style.look(index), f"KL on {task.name}"
        if len(scored) > style.LOOKS:  # more than can be told apart
            look, label = style.Look("#b0b0b0", ".", "-"), "KL on the tasks, a line each"
        found = _kl(findings, task, places)
        low = min([low, *(estimate.value for _, estimate in found if estimate.value > SMALLEST)])
        left_out += _line(axes, found, look, label)
    for index, task in enumerate(texts):
        look = style.perplexity_look(index)
        found = _kl(findings, task, places)
        low = min([low, *(estimate.value for _, estimate in found if estimate.value > SMALLEST)])
        left_out += _line(axes, found, look._replace(line="-", marker="*"), f"KL on {task.name}")
        left_out += _line(
            axes, _rises(findings, task, places), look, f"ln of the perplexity ratio, {task.name}"
        )
    noise = [
        found.noise_kl.value
        for row in findings.divergences.values()
        for found in row.values()
        if found.noise_kl and math.isfinite(found.noise_kl.value)
    ]
    _dress(axes, low, max(noise, default=None))
    notes = []
    if noise and max(noise) <= SMALLEST:
        notes.append(f"The noise floor of KL lies below the axis: at most {text.nats(max(noise))} nats.")
    elif not noise:
        notes.append("Noise floor of KL: not measured.")
    if left_out:
        notes.append(
            f"A logarithmic axis has no place for {left_out} points that are not above 0 or not finite."
        )
    return notes


def _kl(findings: Findings, task: TaskInfo, places: dict[str, float]) -> list[Point]:
    found = [(place, findings.diverged(task, one)) for one, place in places.items()]
    return [(place, diverged.kl) for place, diverged in found if diverged]


def _rises(findings: Findings, task: TaskInfo, places: dict[str, float]) -> list[Point]:
    """The logarithm of each perplexity's ratio to the reference's."""
    compared = [(place, findings.entry(task, one).comparison) for one, place in places.items()]
    return [
        (place, found.ratio.model_copy(update={name: _log(getattr(found.ratio, name)) for name in _NUMBERS}))
        for place, found in compared
        if found and found.ratio
    ]


_NUMBERS = ("value", "low", "high")


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def _line(axes: Axes, found: Sequence[Point], look: style.Look, label: str) -> int:
    """Draw what a logarithmic axis can hold; returns how many points it cannot."""
    shown = [(x, one) for x, one in found if one.value > SMALLEST and math.isfinite(one.value)]
    if shown:
        xs, ys = [x for x, _ in shown], [one.value for _, one in shown]
        below = [one.value - max(one.low, SMALLEST / 10) for _, one in shown]
        above = [min(one.high, 1e6) - one.value for _, one in shown]
        axes.errorbar(
            xs, ys, yerr=[below, above], fmt="none", ecolor=look.color, elinewidth=0.9, capsize=2, alpha=0.75
        )
        axes.plot(
            xs,
            ys,
            color=look.color,
            marker=look.marker,
            linestyle=look.line,
            markersize=5,
            label=label,
            zorder=3,
        )
    return len(found) - len(shown)


def _dress(axes: Axes, lowest: float, noise: float | None) -> None:
    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    if math.isfinite(lowest):
        bottom = max(bottom, lowest / 5, SMALLEST)  # bars that reach down to nothing do not stretch the axis
    if noise is not None and noise > SMALLEST:
        bottom = min(bottom, noise / 2)
        axes.axhspan(
            bottom / 10, noise, color=style.FLOOR, linewidth=0, zorder=0.5, label="noise floor of KL"
        )
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(LogLocator(10, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.power(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("nats a token (logarithmic)")
    axes.spines["right"].set_visible(False)
