"""Degradation curves: what is left of each task as compression grows, with perplexity beside it.

Compression grows to the right in every figure, and the dense reference is the first point.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kick.comparison.paired import MARGIN
from kick.reports import style, text
from kick.reports.findings import Findings, Group
from kick.types import Estimate, TaskInfo

MAX_LINES = 6  # tasks in one panel
WIDTH, HEIGHT = 7.2, 4.9  # inches of a panel with its labels and its legend
AXES_WIDTH, AXES_HEIGHT = 5.8, 3.6
MARGIN_LEFT, MARGIN_LOW = 0.65, 1.05
CEILING = 160.0  # % recovery: the axis never grows beyond it
_FOOT = 0.13  # share of the axis that lies below zero, for perplexities off the scale
_FAR = 1000.0  # draws an interval without an upper end


@dataclass(frozen=True)
class Series:
    """A series ready to draw: its places on the x axis, the dense reference first, compression growing."""

    findings: Findings
    group: Group
    label: str
    dense: float
    places: tuple[float, ...]
    ticks: tuple[str, ...]

    def points(self, task: TaskInfo) -> list[tuple[float, Estimate]]:
        """Place and ratio to the reference of each candidate that has one."""
        pairs = zip(self.places, self.group.candidates, strict=True)
        entries = [(place, self.findings.entry(task, name)) for place, name in pairs]
        return [(x, e.comparison.ratio) for x, e in entries if e.comparison and e.comparison.ratio]

    @property
    def span(self) -> float:
        return self.places[-1] - self.dense


def curve(findings: Findings, group: Group) -> Figure:
    """The curve of a series: recovery of each task against the rate, and perplexity as relative change.

    Many tasks are drawn in a panel a family. Perplexity is drawn in every panel on the axes of the scores,
    downwards: a rise by 20 % lies where a score that lost 20 % does. A rise beyond 100 % is off the scale: its
    mark stands below the axis, with the rise written out.
    """
    series = _series(findings, group)
    panels = _panels(findings)
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    title = f"{text.one_line(findings.suite, 40)}: {group.name}"
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(columns * WIDTH, rows * HEIGHT))
        notes: dict[str, None] = {f"Bars: 95 % intervals, paired by item. {_noise_floor(series)}": None}
        for index, (name, tasks) in enumerate(panels):
            row, column = divmod(index, columns)
            left = (column * WIDTH + MARGIN_LEFT) / (columns * WIDTH)
            low = ((rows - 1 - row) * HEIGHT + MARGIN_LOW) / (rows * HEIGHT)
            size = (AXES_WIDTH / (columns * WIDTH), AXES_HEIGHT / (rows * HEIGHT))
            axes = figure.add_axes((left, low, *size))
            notes |= dict.fromkeys(_panel(axes, series, tasks))
            axes.set_title(f"{title}, {name}" if name else title)
        lines = [*notes, *_not_drawn(series)]
        figure.text(
            MARGIN_LEFT / (columns * WIDTH), 0, "\n".join(lines), va="top", fontsize=7.5, color=style.NOTE
        )
    return figure


def _panels(findings: Findings) -> list[tuple[str, list[TaskInfo]]]:
    """All tasks in one panel where they are few, else a panel a family, or several for a large family."""
    scored = [task for task in findings.tasks if task.higher_is_better]
    if len(scored) <= MAX_LINES:
        return [("", scored)]
    panels = []
    for family in dict.fromkeys(task.family for task in scored):
        members = [task for task in scored if task.family == family]
        for start in range(0, len(members), MAX_LINES):
            panels.append((family.replace("_", " "), members[start : start + MAX_LINES]))
    return panels


def _panel(axes: Axes, series: Series, tasks: Sequence[TaskInfo]) -> list[str]:
    """Draw tasks and every perplexity into one pair of axes; returns what a reader has to be told."""
    rising = [task for task in series.findings.tasks if not task.higher_is_better]
    step = 0.045 * series.span / max(len(tasks), 3)
    highest = 105.0
    for index, task in enumerate(tasks):
        shift = step * (index - (len(tasks) - 1) / 2)
        highest = max(highest, _draw_task(axes, series, task, style.look(index), shift))
    top = min(highest, CEILING) + 3
    foot = -_FOOT * top
    looks = [style.perplexity_look(index) for index in range(len(rising))]
    clipped = [_draw_rise(axes, series, task, look, foot) for task, look in zip(rising, looks, strict=True)]
    _dress(axes, series, foot, top)
    if rising:
        _rise_axis(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    notes = ["Bars that leave the axes at the top go on."] if highest > CEILING else []
    if any(clipped):
        notes.append("Below the axis: perplexity off the scale, by how much is written there.")
    return notes


def _series(findings: Findings, group: Group) -> Series:
    if group.axis == "bits":
        record = findings.records.get(findings.reference)
        bits = record.description.bits_per_weight if record and record.description else 16.0
        dense = max(bits, max(group.rates) * math.sqrt(2))
        places = tuple(-math.log2(rate) for rate in group.rates)
        ticks = tuple(f"{rate:g}" for rate in group.rates)
        return Series(findings, group, "bits of the quantised weights", -math.log2(dense), places, ticks)
    ticks = tuple(f"{100 * rate:g}" for rate in group.rates)
    return Series(findings, group, "sparsity of the pruned weights, %", 0.0, group.rates, ticks)


def _draw_task(axes: Axes, series: Series, task: TaskInfo, look: style.Look, shift: float) -> float:
    """Draw the recovery of a task; returns the highest point drawn, in %."""
    points = [(x + shift, ratio) for x, ratio in series.points(task) if math.isfinite(ratio.value)]
    if not points:
        return 0.0
    xs = [x for x, _ in points]
    ys = [100 * ratio.value for _, ratio in points]
    below = [100 * max(0.0, ratio.value - max(ratio.low, -_FAR)) for _, ratio in points]
    above = [100 * max(0.0, min(ratio.high, _FAR) - ratio.value) for _, ratio in points]
    axes.errorbar(
        xs, ys, yerr=[below, above], fmt="none", ecolor=look.color, elinewidth=1, capsize=2, alpha=0.75
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
        label=task.name,
        zorder=3,
    )
    reference = series.findings.entry(task, series.findings.reference).score
    if task.chance is not None and reference and reference.value > 0:
        _level(axes, 100 * task.chance / reference.value, f"chance, {task.name}", look.color, dotted=True)
    return max(y + bar for y, bar in zip(ys, above, strict=True))


def _draw_rise(axes: Axes, series: Series, task: TaskInfo, look: style.Look, foot: float) -> bool:
    """Draw a perplexity as relative change, downwards; returns whether a point is off the scale."""
    xs, ys, clipped = [series.dense], [100.0], False
    for x, ratio in series.points(task):
        inside = ratio.value <= 2
        xs.append(x)
        ys.append(200 - 100 * ratio.value if inside else foot / 3)
        if inside:
            bars = [[100 * (min(ratio.high, _FAR) - ratio.value)], [100 * (ratio.value - ratio.low)]]
            axes.errorbar(
                x, ys[-1], yerr=bars, fmt="none", ecolor=look.color, elinewidth=1, capsize=2, clip_on=True
            )
            continue
        clipped = True
        axes.plot(x, foot / 3, marker="v", color=look.color, markersize=8, zorder=6)
        axes.annotate(
            _rise(ratio.value),
            (x, foot / 3),
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
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
            label=f"{task.name} (right axis)",
        )
    return clipped


def _rise(ratio: float) -> str:
    if not math.isfinite(ratio):
        return text.quantity(ratio)
    return f"+{100 * (ratio - 1):,.0f} %" if ratio < 100 else f"{text.TIMES}{text.quantity(ratio)}"


def _dress(axes: Axes, series: Series, foot: float, top: float) -> None:
    axes.set_xlabel(series.label)
    axes.set_ylabel(f"recovery: score as % of {series.findings.reference}")
    axes.set_xticks((series.dense, *series.places), ("dense", *series.ticks))
    margin = 0.06 * series.span
    axes.set_xlim(series.dense - margin, series.places[-1] + margin)
    axes.set_ylim(foot, top)
    axes.set_yticks(range(0, int(top) + 1, 20))
    axes.axhline(0, color=style.INK, linewidth=0.8)
    axes.plot(series.dense, 100, marker="o", color=style.INK, markersize=7, zorder=6)
    _level(axes, 100 * (1 - MARGIN), f"{100 * MARGIN:.0f} % tolerance", style.NOTE, right=True)


def _level(
    axes: Axes, height: float, label: str, color: str, *, dotted: bool = False, right: bool = False
) -> None:
    """A level line across the axes with its label under it."""
    line = (0, (1, 2)) if dotted else "-"
    axes.axhline(height, color=color, linestyle=line, linewidth=1.1, zorder=1)
    axes.annotate(
        label,
        (0.995 if right else 0.01, height),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, -9),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=7.5,
        color=color,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )


def _rise_axis(axes: Axes) -> None:
    """The same axis read as perplexity: 100 % recovery is no change, zero is twice the reference."""
    right = axes.secondary_yaxis("right", functions=(_from_100, _from_100))
    right.set_yticks([0, 20, 40, 60, 80, 100], ["±0 %", "+20 %", "+40 %", "+60 %", "+80 %", "+100 %"])
    right.set_ylabel("perplexity: rise over the reference")


def _from_100(percent: npt.ArrayLike) -> npt.ArrayLike:
    return 100 - np.asarray(percent)


def _noise_floor(series: Series) -> str:
    measured = [
        task.name
        for task in series.findings.tasks
        for name in series.group.candidates
        if (comparison := series.findings.entry(task, name).comparison) and comparison.noise_floor
    ]
    return "Noise floor: see the tables." if measured else "Noise floor: not measured."


def _not_drawn(series: Series) -> list[str]:
    """What a reader would look for in the figure and not find."""
    parts = []
    for candidate in series.group.candidates:
        comparisons = {
            task.name: series.findings.entry(task, candidate).comparison for task in series.findings.tasks
        }
        missing = [task for task, found in comparisons.items() if not (found and found.ratio)]
        if missing:
            parts.append(
                candidate if len(missing) == len(comparisons) else f"{candidate} ({', '.join(missing)})"
            )
    return textwrap.wrap(f"Not drawn, see the tables: {'; '.join(parts)}.", 110) if parts else []
