"""Degradation curves: what is left of each task as compression grows, with perplexity beside it.

Compression grows to the right in every figure, and the dense reference is the first point.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kick import text
from kick.comparison.paired import MARGIN
from kick.reports.figures import divergence_panel, style
from kick.reports.findings import Findings, Group
from kick.reports.published import INCOMPATIBLE, Published
from kick.types import Estimate, TaskInfo

# Tasks in one panel.
MAX_LINES = 6
FRAME = style.Frame(axes=(3.5, 2.6), room=(5.2, 4.8), left=0.6, low=1.75)
# In % of the reference: the axis never grows beyond it.
CEILING = 160.0
# The end that is drawn for an interval without an upper end, as a ratio.
FAR = 1000.0
# The share of the axis below zero, for perplexities off the scale.
_FOOT = 0.15


@dataclass(frozen=True)
class Series:
    """A series with its positions on the x axis: the dense reference first, compression growing.

    Attributes:
        findings: The report.
        group: The series.
        label: The label of the x axis.
        dense: The position of the reference.
        positions: The position of each candidate.
        ticks: The tick label of each candidate.
    """

    findings: Findings
    group: Group
    label: str
    dense: float
    positions: tuple[float, ...]
    ticks: tuple[str, ...]

    def points(self, task: TaskInfo) -> list[tuple[float, Estimate]]:
        """Return position and ratio to the reference of each candidate that has a ratio."""
        pairs = zip(self.positions, self.group.candidates, strict=True)
        entries = [(x, self.findings.entry(task, name)) for x, name in pairs]
        return [(x, e.comparison.ratio) for x, e in entries if e.comparison and e.comparison.ratio]

    def position(self, rate: float) -> float:
        """Return the position of a rate on the x axis."""
        if self.group.axis == "bits":
            return -math.log2(rate)
        return -rate if self.group.axis == "rank" else rate

    @property
    def span(self) -> float:
        """The length of the x axis from the reference to the last candidate."""
        return self.positions[-1] - self.dense

    def shifts(self, count: int) -> list[float]:
        """Return sideways shifts that keep the bars of this many tasks apart, within the room between two rates."""
        stops = (self.dense, *self.positions)
        gap = min((after - before for before, after in pairwise(stops)), default=self.span)
        step = min(0.5 * gap / max(count, 1), 0.03 * self.span)
        return [step * (index - (count - 1) / 2) for index in range(count)]


def curve(findings: Findings, group: Group, published: Sequence[Published] = ()) -> Figure:
    """Draw the curve of a series: recovery of each task against the rate, and perplexity as relative change.

    Many tasks are drawn in one panel per family; if divergence was measured, it has the last panel. Perplexity is
    drawn in every panel on the axes of the scores, downwards: a rise by 20 % is at the height of a score that lost
    20 %. A rise beyond 100 % is off the scale: its mark is below the axis, with the rise written out. Published lines
    are grey and hollow, without bars.
    """
    series = _series(findings, group)
    parts = panels(findings)
    title = f"{style.label(findings.suite, 40)}: {style.label(group.name, 40)}"
    diverged = divergence_panel.measured(findings, group.candidates)
    with matplotlib.rc_context(style.RC):
        figure, drawn = style.panels(len(parts) + diverged, FRAME)
        notes: dict[str, None] = {f"Bars: 95 % intervals, paired by item. {_noise_floor(series)}": None}
        for axes, (name, tasks) in zip(drawn, parts, strict=False):
            notes |= dict.fromkeys(_panel(axes, series, tasks, published))
            axes.set_title(f"{title}, {name}" if name else title)
        if diverged:
            notes |= dict.fromkeys(_divergence(drawn[-1], series))
            drawn[-1].set_title(f"{title}, divergence")
        wide = 150 if len(drawn) > 1 else 75
        lines = [line for note in [*notes, *_not_drawn(series)] for line in textwrap.wrap(note, wide)]
        entries = [len(axes.get_legend_handles_labels()[1]) for axes in drawn]
        rows = max(entries[-1] if diverged else 0, *(math.ceil(count / 2) for count in entries))
        style.remark(figure, FRAME, lines, FRAME.low - 0.75 - 0.19 * rows)
    return figure


def panels(findings: Findings) -> list[tuple[str, list[TaskInfo]]]:
    """Return the tasks of each panel with its name: one panel for few tasks, else one per family or more."""
    scored = [task for task in findings.tasks if task.higher_is_better]
    if len(scored) <= MAX_LINES:
        return [("", scored)]
    parts = []
    for family in dict.fromkeys(task.family for task in scored):
        members = [task for task in scored if task.family == family]
        for start in range(0, len(members), MAX_LINES):
            parts.append((family.replace("_", " "), members[start : start + MAX_LINES]))
    return parts


def _panel(
    axes: Axes, series: Series, tasks: Sequence[TaskInfo], published: Sequence[Published]
) -> list[str]:
    """Draw tasks and every perplexity into one pair of axes, and return remarks for the reader."""
    rising = [task for task in series.findings.tasks if not task.higher_is_better]
    families = {task.family for task in (*tasks, *rising)}
    lines = [line for line in published if line.family in families]
    highest = 105.0
    for index, (task, shift) in enumerate(zip(tasks, series.shifts(len(tasks)), strict=True)):
        highest = max(highest, _draw_task(axes, series, task, style.look(index), shift))
    top = min(highest, CEILING) + 3
    foot = -_FOOT * top
    looks = [style.perplexity_look(index) for index in range(len(rising))]
    clipped = [_draw_rise(axes, series, task, look, foot) for task, look in zip(rising, looks, strict=True)]
    notes = [_draw_published(axes, series, line, index) for index, line in enumerate(lines)]
    if notes:
        notes.insert(0, INCOMPATIBLE)
    floors = [floor for task in tasks if (floor := noise_width(series.findings, task)) is not None]
    style.noise_floor(axes, 100, max(floors, default=None))
    _dress(axes, series, foot, top)
    if rising:
        _rise_axis(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    if highest > CEILING:
        notes.append("Bars that leave the axes at the top go on.")
    if any(clipped):
        notes.append("Below the axis: perplexity off the scale, by how much is written there.")
    return notes


def _divergence(axes: Axes, series: Series) -> list[str]:
    """Draw the panel of divergence, and return remarks for the reader."""
    positions = dict(zip(series.group.candidates, series.positions, strict=True))
    notes = divergence_panel.draw(axes, series.findings, positions)
    _rate_axis(axes, series)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
    return notes


def _series(findings: Findings, group: Group) -> Series:
    if group.axis == "bits":
        record = findings.records.get(findings.reference)
        bits = record.description.bits_per_weight if record and record.description else 16.0
        dense = max(bits, max(group.rates) * math.sqrt(2))
        positions = tuple(-math.log2(rate) for rate in group.rates)
        ticks = tuple(f"{rate:g}" for rate in group.rates)
        return Series(findings, group, "bits of the quantized weights", -math.log2(dense), positions, ticks)
    if group.axis == "layers":
        ticks = tuple(f"{rate:g}" for rate in group.rates)
        return Series(findings, group, "decoder layers dropped", 0.0, group.rates, ticks)
    ticks = tuple(f"{100 * rate:g}" for rate in group.rates)
    if group.axis == "rank":
        positions = tuple(-rate for rate in group.rates)
        return Series(findings, group, "parameters kept by low-rank factors, %", -1.0, positions, ticks)
    return Series(findings, group, "sparsity of the pruned weights, %", 0.0, group.rates, ticks)


def _draw_task(axes: Axes, series: Series, task: TaskInfo, look: style.Look, shift: float) -> float:
    """Draw the recovery of a task, and return the highest point drawn, in %."""
    points = [(x + shift, ratio) for x, ratio in series.points(task) if math.isfinite(ratio.value)]
    if not points:
        return 0.0
    xs, ys = [x for x, _ in points], [100 * ratio.value for _, ratio in points]
    below, above = bars([ratio for _, ratio in points])
    axes.errorbar(
        xs, ys, yerr=[below, above], fmt="none", ecolor=look.color, elinewidth=0.9, capsize=2, alpha=0.75
    )
    axes.plot(
        [series.dense, *xs],
        [100.0, *ys],
        color=look.color,
        marker=look.marker,
        linestyle=look.line,
        markevery=slice(1, None),
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=style.label(task.name),
        zorder=3,
    )
    reference = series.findings.entry(task, series.findings.reference).score
    floor = series.findings.floor(task)
    if reference and reference.value > 0:
        if floor is not None:
            style.level(axes, 100 * floor.score / reference.value, "floor", look.color)
        elif task.chance is not None:
            style.level(axes, 100 * task.chance / reference.value, "chance", look.color)
    return max(y + bar for y, bar in zip(ys, above, strict=True))


def bars(ratios: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """Return how far the intervals of ratios reach below and above them, in %; an open end is far off."""
    below = [100 * max(0.0, ratio.value - max(ratio.low, -FAR)) for ratio in ratios]
    above = [100 * max(0.0, min(ratio.high, FAR) - ratio.value) for ratio in ratios]
    return below, above


def noise_width(findings: Findings, task: TaskInfo) -> float | None:
    """Return how far the reference's own noise may move a recovery, in % of its score; None if it was not measured."""
    score = findings.entry(task, findings.reference).score
    for candidate in findings.checkpoints[1:]:
        comparison = findings.entry(task, candidate).comparison
        if comparison and comparison.noise_floor and score and score.value > 0:
            width = 100 * comparison.noise_floor.bound / score.value
            return width if math.isfinite(width) else None
    return None


def _draw_rise(axes: Axes, series: Series, task: TaskInfo, look: style.Look, foot: float) -> bool:
    """Draw a perplexity as relative change, downwards, and return whether a point is off the scale."""
    xs, ys, clipped = [series.dense], [100.0], False
    for x, ratio in series.points(task):
        inside = ratio.value <= 2
        xs.append(x)
        ys.append(200 - 100 * ratio.value if inside else foot / 3)
        if inside:
            ends = [[100 * (min(ratio.high, FAR) - ratio.value)], [100 * (ratio.value - ratio.low)]]
            axes.errorbar(
                x, ys[-1], yerr=ends, fmt="none", ecolor=look.color, elinewidth=1, capsize=2, clip_on=True
            )
            continue
        clipped = True
        axes.plot(x, foot / 3, marker="v", color=look.color, markersize=7, zorder=6)
        last = x == series.positions[-1]
        axes.annotate(
            _rise(ratio.value),
            (x, foot / 3),
            xytext=(8 if last else 0, -12),
            textcoords="offset points",
            # The last label stays inside the axes.
            ha="right" if last else "center",
            fontsize=6.5,
            color=look.color,
        )
    if len(xs) > 1:
        axes.plot(
            xs,
            ys,
            color=look.color,
            marker=look.marker,
            linestyle=look.line,
            linewidth=1.3,
            label=f"{style.label(task.name)} (right axis)",
        )
    return clipped


def _draw_published(axes: Axes, series: Series, line: Published, index: int) -> str:
    """Draw a published line, and return its caption with what is off the scale."""
    points = [
        (series.position(rate), 100 * (2 - ratio if line.family == "perplexity" else ratio))
        for rate, ratio in line.points
    ]
    inside = [(x, y) for x, y in points if y >= 0 and series.dense <= x <= series.positions[-1]]
    if inside:
        axes.plot(
            [series.dense, *(x for x, _ in inside)],
            [100.0, *(y for _, y in inside)],
            color=style.NOTE,
            marker="osD^v<>"[index % 7],
            markerfacecolor="white",
            markersize=4,
            linewidth=0.8,
            linestyle=(0, (1, 1)),
            label=style.label(line.label),
            zorder=2,
        )
    left_out = len(points) - len(inside)
    off = f"; off the scale: {left_out} of {len(points)} points" if left_out else ""
    return f"Published: {line.caption}{off}."


def _rise(ratio: float) -> str:
    if not math.isfinite(ratio):
        return text.quantity(ratio)
    return (
        f"+{100 * (ratio - 1):,.0f} %"
        if ratio < 10
        else f"{text.TIMES}{text.quantity(ratio)}".replace("e+", "e")
    )


def _dress(axes: Axes, series: Series, foot: float, top: float) -> None:
    _rate_axis(axes, series)
    axes.set_ylabel(f"recovery: score as % of {style.label(series.findings.reference, 40)}")
    axes.set_ylim(foot, top)
    axes.set_yticks(range(0, int(top) + 1, 20))
    axes.axhline(0, color=style.INK, linewidth=0.8)
    axes.plot(series.dense, 100, marker="o", color=style.INK, markersize=6, zorder=6)
    style.tolerance(axes, 100 * (1 - MARGIN), MARGIN)


def _rate_axis(axes: Axes, series: Series) -> None:
    axes.set_xlabel(series.label)
    axes.set_xticks((series.dense, *series.positions), ("dense", *series.ticks))
    margin = 0.06 * series.span
    axes.set_xlim(series.dense - margin, series.positions[-1] + margin)


def _rise_axis(axes: Axes) -> None:
    """Draw the axis of perplexity on the right: 100 % recovery is no change, zero is twice the reference."""
    right = axes.secondary_yaxis("right", functions=(_from_100, _from_100))
    right.set_yticks([0, 20, 40, 60, 80, 100], ["±0 %", "+20 %", "+40 %", "+60 %", "+80 %", "+100 %"])
    right.set_ylabel("perplexity: rise over the reference")


def _from_100(percent: npt.ArrayLike) -> npt.ArrayLike:
    return 100 - np.asarray(percent)


def _noise_floor(series: Series) -> str:
    measured = [task for task in series.findings.tasks if noise_width(series.findings, task) is not None]
    if not measured:
        return "Noise floor: not measured."
    return "Grey band: the widest noise floor of any task; the tables give that of each task."


def _not_drawn(series: Series) -> list[str]:
    """Return what a reader would look for in the figure and not find."""
    parts = []
    for candidate in series.group.candidates:
        comparisons = {
            task.name: series.findings.entry(task, candidate).comparison for task in series.findings.tasks
        }
        missing = [task for task, pair in comparisons.items() if not (pair and pair.ratio)]
        if missing:
            parts.append(
                candidate if len(missing) == len(comparisons) else f"{candidate} ({', '.join(missing)})"
            )
    return [text.one_line(f"Not drawn, see the tables: {'; '.join(parts)}.")] if parts else []
