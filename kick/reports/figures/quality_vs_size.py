"""Quality against size: small dense checkpoints and large compressed ones on one axis, one panel per task family.

Size shrinks to the right, as compression grows to the right in every figure.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from kick import text
from kick.comparison.paired import MARGIN
from kick.reports.figures import style
from kick.reports.figures.curves import CEILING, FAR, bars, noise_width
from kick.reports.findings import Findings
from kick.reports.tables.sizes import Size, size
from kick.types import Estimate, TaskInfo

Measure = Literal["bytes", "bits", "nonzero"]
MEASURES: tuple[Measure, ...] = ("bytes", "bits", "nonzero")
# Series that are told apart; further ones are drawn alike.
MAX_SERIES = 8
FRAME = style.Frame(axes=(2.75, 2.1), room=(3.6, 3.4), left=0.6, low=0.6)
_LABELS: dict[Measure, tuple[str, Callable[[float], str]]] = {
    "bytes": ("size of the weights", lambda count: text.bytes_(round(count))),
    "bits": ("effective bits per parameter", lambda bits: f"{bits:g}"),
    "nonzero": ("non-zero parameters", text.size),
}
_ALONE = ("*", "h", "d", "8", "<", ">")


@dataclass(frozen=True)
class Point:
    """One checkpoint in a panel.

    Attributes:
        checkpoint: Its id.
        x: Its size.
        ratio: Its score or perplexity as a ratio to the reference's.
        ideal: Whether no file of this size exists.
    """

    checkpoint: str
    x: float
    ratio: Estimate
    ideal: bool


@dataclass(frozen=True)
class Panel:
    """One panel ready to draw.

    Attributes:
        title: The family or the perplexity text.
        ratios: The ratio to the reference of each candidate.
        higher_is_better: Whether scores are drawn, and not a perplexity.
        noise: Half the width of the noise floor, in %.
        level: The level of answerers without knowledge, in % of the reference's score, with its name.
    """

    title: str
    ratios: Mapping[str, Estimate]
    higher_is_better: bool
    noise: float | None
    level: tuple[float, str] | None


def quality_vs_size(findings: Findings, measure: Measure) -> Figure | None:
    """Draw what each checkpoint keeps, against its size; None if sizes do not differ or nothing was compared.

    Bytes and bits are the smallest that a checkpoint could take (`kick.reports.tables.sizes`); hollow marks are sizes
    that no file has. If some candidates belong to no series, such as a small dense one, the Pareto front is drawn: no
    checkpoint is both smaller and better than one on it.
    """
    sizes = {
        name: measured for name in findings.checkpoints if (measured := size(findings.records.get(name)))
    }
    panels = [panel for panel in _panels(findings) if any(name in sizes for name in panel.ratios)]
    differ = len({_value(each, measure) for each in sizes.values()}) > 1
    if measure == "bits" and _parameters(sizes) is not None:
        # The figure of bytes has an axis of bits.
        differ = False
    if not differ or not panels or findings.reference not in sizes:
        return None
    with matplotlib.rc_context(style.RC | {"font.size": 8, "axes.labelsize": 8, "axes.titlesize": 9}):
        figure, axes = style.panels(len(panels), FRAME)
        labels: dict[str, Artist] = {}
        notes: dict[str, None] = {}
        many = sum(len(panel.ratios) for panel in panels) > style.MANY
        for panel, one in zip(panels, axes, strict=True):
            notes |= dict.fromkeys(_draw(one, findings, panel, sizes, measure))
            for mark in (*one.lines, *one.collections):
                mark.set_rasterized(many)
            handles, names = one.get_legend_handles_labels()
            labels = dict(zip(names, handles, strict=True)) | labels
        if all(panel.noise is None for panel in panels):
            notes["Noise floor: not measured."] = None
        columns = min(len(panels), 2)
        figure.legend(
            labels.values(), labels.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2 * columns
        )
        rows = math.ceil(len(labels) / (2 * columns))
        lines = [line for note in notes for line in textwrap.wrap(note, 58 * columns)]
        style.remark(figure, FRAME, lines, -0.19 * rows - 0.15)
    return figure


def _value(of: Size, measure: Measure) -> float:
    return {"bytes": of.smallest, "bits": of.bits, "nonzero": of.nonzero}[measure]


def _parameters(sizes: Mapping[str, Size]) -> int | None:
    """Return the number of parameters that all checkpoints have; None if they differ."""
    counts = {each.parameters for each in sizes.values()}
    return counts.pop() if len(counts) == 1 else None


def _panels(findings: Findings) -> list[Panel]:
    """Return one panel per family and one per perplexity text."""
    panels = []
    for family, tasks in findings.families_of_tasks().items():
        compared = {name: findings.kept(family, name) for name in findings.checkpoints[1:]}
        ratios = {name: kept.ratio for name, kept in compared.items() if kept and kept.ratio}
        title = family.replace("_", " ") + (f", mean of {len(tasks)} tasks" if len(tasks) > 1 else "")
        if ratios:
            floors = [floor for task in tasks if (floor := noise_width(findings, task)) is not None]
            panels.append(Panel(title, ratios, True, max(floors, default=None), _level(findings, tasks)))
    for task in findings.tasks:
        if not task.higher_is_better:
            ratios = {
                name: comparison.ratio
                for name in findings.checkpoints[1:]
                if (comparison := findings.entry(task, name).comparison) and comparison.ratio
            }
            if ratios:
                panels.append(Panel(style.label(task.name), ratios, False, noise_width(findings, task), None))
    return panels


def _level(findings: Findings, tasks: Sequence[TaskInfo]) -> tuple[float, str] | None:
    """Return the floor of a family, in % of the reference's mean score, or blind guessing if no floor was measured.

    Tasks that are not measurable are in no mean. None if one of the others has no such level.
    """
    counted = [task for task in tasks if findings.not_measurable(task.name) is None]
    scores = [findings.entry(task, findings.reference).score for task in counted]
    reached = sum(score.value for score in scores if score)
    floors = [floor.score for task in counted if (floor := findings.floor(task))]
    chances = [task.chance for task in counted if task.chance is not None]
    for levels, name in ((floors, "floor"), (chances, "chance")):
        if len(levels) == len(counted) and all(scores) and reached > 0:
            return 100 * sum(levels) / reached, name
    return None


def _draw(
    axes: Axes, findings: Findings, panel: Panel, sizes: Mapping[str, Size], measure: Measure
) -> list[str]:
    """Draw a panel, and return remarks for the reader."""

    def place(name: str, ratio: Estimate) -> Point:
        return Point(name, _value(sizes[name], measure), ratio, sizes[name].ideal and measure != "nonzero")

    whole = Estimate(value=1, low=1, high=1, n=1, method="the reference itself")
    start = place(findings.reference, whole)
    points = {
        name: place(name, ratio)
        for name, ratio in panel.ratios.items()
        if name in sizes and math.isfinite(ratio.value)
    }
    drawn = [start]
    series = [group for group in findings.groups if group.axis]
    for index, group in enumerate(series):
        members = [points[name] for name in group.candidates if name in points]
        if not members or (measure == "nonzero" and group.axis in ("bits", "rank")):
            continue
        drawn += members
        if index < MAX_SERIES:
            _line(axes, members, style.look(index), style.label(group.name, 40), start)
        else:
            _line(axes, members, style.Look("#b0b0b0", ".", ""), "other series")
    alone = [
        name for group in findings.groups if not group.axis for name in group.candidates if name in points
    ]
    for index, name in enumerate(alone):
        drawn.append(points[name])
        label = name if index < len(_ALONE) else "other checkpoints"
        mark = _ALONE[min(index, len(_ALONE) - 1)]
        _line(axes, [points[name]], style.Look(style.INK, mark, ""), style.label(label, 40), size=8)
    axes.plot(
        start.x,
        100,
        marker="o",
        color=style.INK,
        markersize=6,
        linestyle="",
        label=style.label(start.checkpoint),
    )
    if alone:
        _front(axes, drawn, panel)
    _dress(axes, panel, [point.x for point in drawn], measure)
    parameters = _parameters(sizes)
    if measure == "bytes" and parameters:
        _bits_axis(axes, parameters)
    return _notes(findings, panel, drawn, measure, bool(alone))


def _line(
    axes: Axes,
    points: Sequence[Point],
    look: style.Look,
    label: str,
    start: Point | None = None,
    size: float = 5,
) -> None:
    """Draw a line from `start` through points, with bars; marks of ideal sizes are hollow."""
    path = [start, *points] if start else points
    axes.plot([p.x for p in path], [100 * p.ratio.value for p in path], color=look.color, linestyle=look.line)
    below, above = bars([point.ratio for point in points])
    axes.errorbar(
        [p.x for p in points],
        [100 * p.ratio.value for p in points],
        yerr=[below, above],
        fmt="none",
        ecolor=look.color,
        elinewidth=0.8,
        alpha=0.6,
    )
    for ideal in (False, True):
        some = [point for point in points if point.ideal is ideal]
        axes.plot(
            [p.x for p in some],
            [100 * p.ratio.value for p in some],
            color=look.color,
            marker=look.marker,
            markersize=size,
            markerfacecolor="white" if ideal else look.color,
            markeredgewidth=0.9,
            linestyle="",
            zorder=3,
        )
    face = "white" if points[-1].ideal else look.color
    axes.plot(
        [], [], color=look.color, marker=look.marker, linestyle=look.line, markerfacecolor=face, label=label
    )


def _front(axes: Axes, points: Sequence[Point], panel: Panel) -> None:
    """Draw the Pareto front, from small to large: each step up is the smallest checkpoint that is as good."""
    sign = 1 if panel.higher_is_better else -1
    best: list[Point] = []
    for point in sorted(points, key=lambda one: (one.x, -sign * one.ratio.value)):
        if not best or sign * point.ratio.value > sign * best[-1].ratio.value:
            best.append(point)
    largest = max(point.x for point in points)
    axes.step(
        [*(point.x for point in best), largest],
        [*(100 * point.ratio.value for point in best), 100 * best[-1].ratio.value],
        where="post",
        color="#bdbdbd",
        linewidth=4,
        zorder=1,
        label="Pareto front",
    )


def _dress(axes: Axes, panel: Panel, xs: Sequence[float], measure: Measure) -> None:
    label, show = _LABELS[measure]
    axes.set_title(panel.title)
    axes.set_xlabel(label)
    wide = max(xs) / max(min(xs), 1e-9) > 4
    axes.set_xscale("log" if wide else "linear")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)) if wide else MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.invert_xaxis()
    axes.spines["right"].set_visible(False)
    style.noise_floor(axes, 100, panel.noise)
    if panel.higher_is_better:
        tops = [100 * min(ratio.high, FAR) for ratio in panel.ratios.values() if math.isfinite(ratio.value)]
        axes.set_ylim(-3, min(max([105.0, *tops]), CEILING) + 3)
        axes.set_ylabel("recovery, %")
        style.tolerance(axes, 100 * (1 - MARGIN), MARGIN)
        if panel.level is not None:
            style.level(axes, *panel.level)
        return
    axes.set_ylabel("perplexity, times the reference's")
    style.tolerance(axes, 100 * (1 + MARGIN), MARGIN)
    values = [ratio.value for ratio in panel.ratios.values() if math.isfinite(ratio.value)]
    if max(values, default=1) > 3:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.power(value / 100)))


def _bits_axis(axes: Axes, parameters: int) -> None:
    """Draw an axis on top that reads bytes as effective bits."""

    def bits(count: npt.ArrayLike) -> npt.ArrayLike:
        return 8 * np.asarray(count) / parameters

    def count(bits: npt.ArrayLike) -> npt.ArrayLike:
        return np.asarray(bits) * parameters / 8

    top = axes.secondary_xaxis("top", functions=(bits, count))
    top.set_xlabel(_LABELS["bits"][0])
    top.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _LABELS["bits"][1](value)))
    top.xaxis.set_minor_formatter(NullFormatter())


def _notes(
    findings: Findings, panel: Panel, drawn: Sequence[Point], measure: Measure, front: bool
) -> list[str]:
    notes = ["Bars: 95 % intervals, paired by item; n: see the tables. Size shrinks to the right."]
    if any(point.ideal for point in drawn):
        notes.append(
            "Hollow: an ideal size that no file has: zeros left out under a mask of one bit per weight, rounded "
            "weights packed with one 16-bit scale per group."
        )
    axes = {group.axis for group in findings.groups}
    if measure == "nonzero" and "bits" in axes:
        notes.append("Rounding removes no parameters; its series are not drawn.")
    if measure == "nonzero" and "rank" in axes:
        notes.append(
            "Low-rank products are stored multiplied out, without zeros; their series are not drawn."
        )
    if front:
        notes.append("The Pareto front is that of the scores as measured, whatever their intervals.")
    broken = sum(not math.isfinite(ratio.value) for ratio in panel.ratios.values())
    if broken:
        notes.append(f"{panel.title}: {broken} not drawn, because they are not finite.")
    return notes
