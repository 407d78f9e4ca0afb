"""The divergence panel of a curve: KL and the rise of perplexity on one logarithmic axis of nats per token."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kick import text
from kick.reports.figures import style
from kick.reports.findings import Findings
from kick.types import Estimate, TaskInfo

# In nats; less is rounding.
SMALLEST = 1e-6
Point = tuple[float, Estimate]


def measured(findings: Findings, candidates: Sequence[str]) -> bool:
    """Return whether the divergence of any of these was measured."""
    return any(one in row for row in findings.divergences.values() for one in candidates)


def draw(axes: Axes, findings: Findings, positions: dict[str, float]) -> list[str]:
    """Draw KL on every task and text against the rate, and the rise of perplexity next to it.

    Both are in nats per token. Perplexity is drawn as the logarithm of its ratio to the reference's, which is what KL
    would be on a text that the reference wrote.

    Args:
        axes: The axes to draw into; the x axis is left as it is.
        findings: The report.
        positions: The position of each candidate on the x axis.

    Returns:
        Remarks for the reader.
    """
    scored = [task for task in findings.tasks if task.kind != "text"]
    texts = [task for task in findings.tasks if task.kind == "text"]
    low, left_out = math.inf, 0
    for index, task in enumerate(scored):
        look, label = style.look(index), f"KL on {style.label(task.name)}"
        # More than these cannot be told apart.
        if len(scored) > style.LOOKS:
            look, label = style.Look("#b0b0b0", ".", "-"), "KL on the tasks, one line each"
        points = _kl(findings, task, positions)
        low = min([low, *(estimate.value for _, estimate in points if estimate.value > SMALLEST)])
        left_out += _line(axes, points, look, label)
    for index, task in enumerate(texts):
        look = style.perplexity_look(index)
        points = _kl(findings, task, positions)
        low = min([low, *(estimate.value for _, estimate in points if estimate.value > SMALLEST)])
        left_out += _line(
            axes, points, look._replace(line="-", marker="*"), f"KL on {style.label(task.name)}"
        )
        left_out += _line(
            axes,
            _rises(findings, task, positions),
            look,
            f"ln of the perplexity ratio, {style.label(task.name)}",
        )
    noise = [
        diverged.noise_kl.value
        for row in findings.divergences.values()
        for diverged in row.values()
        if diverged.noise_kl and math.isfinite(diverged.noise_kl.value)
    ]
    _dress(axes, low, max(noise, default=None))
    notes = []
    if noise and max(noise) <= SMALLEST:
        notes.append(f"The noise floor of KL is below the axis: at most {text.nats(max(noise))} nats.")
    elif not noise:
        notes.append("Noise floor of KL: not measured.")
    if left_out:
        notes.append(
            f"A logarithmic axis has no place for {left_out} points that are not above 0 or not finite."
        )
    return notes


def _kl(findings: Findings, task: TaskInfo, positions: dict[str, float]) -> list[Point]:
    measured_at = [(x, findings.diverged(task, one)) for one, x in positions.items()]
    return [(x, diverged.kl) for x, diverged in measured_at if diverged]


def _rises(findings: Findings, task: TaskInfo, positions: dict[str, float]) -> list[Point]:
    """Return the logarithm of each perplexity's ratio to the reference's."""
    compared = [(x, findings.entry(task, one).comparison) for one, x in positions.items()]
    return [
        (x, pair.ratio.model_copy(update={name: _log(getattr(pair.ratio, name)) for name in _NUMBERS}))
        for x, pair in compared
        if pair and pair.ratio
    ]


_NUMBERS = ("value", "low", "high")


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def _line(axes: Axes, points: Sequence[Point], look: style.Look, label: str) -> int:
    """Draw the points that a logarithmic axis can hold, and return the number of the others."""
    inside = [(x, one) for x, one in points if one.value > SMALLEST and math.isfinite(one.value)]
    if inside:
        xs, ys = [x for x, _ in inside], [one.value for _, one in inside]
        below = [one.value - max(one.low, SMALLEST / 10) for _, one in inside]
        above = [min(one.high, 1e6) - one.value for _, one in inside]
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
    return len(points) - len(inside)


def _dress(axes: Axes, lowest: float, noise: float | None) -> None:
    axes.set_yscale("log")
    bottom, top = axes.get_ylim()
    if math.isfinite(lowest):
        # Bars that reach down to nothing do not stretch the axis.
        bottom = max(bottom, lowest / 5, SMALLEST)
    if noise is not None and noise > SMALLEST:
        bottom = min(bottom, noise / 2)
        axes.axhspan(
            bottom / 10, noise, color=style.FLOOR, linewidth=0, zorder=0.5, label="noise floor of KL"
        )
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(LogLocator(10, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.power(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("nats per token (logarithmic)")
    axes.spines["right"].set_visible(False)
