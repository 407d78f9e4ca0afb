"""The grid at a glance: how much of each task every checkpoint keeps, as shades that also read in greyscale."""

import math

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kick import text
from kick.gating import mark
from kick.reports.figures import style
from kick.reports.findings import Entry, Findings
from kick.types import TaskInfo

# Beyond it, fields are too narrow to read.
MAX_CHECKPOINTS = 24
# Width and height of a field, in inches.
_CELL = (0.86, 0.42)


def heatmap(findings: Findings) -> Figure | None:
    """Draw tasks as rows and candidates as columns; None if there are too many candidates or nothing to show.

    A perplexity that rose by 20 % has the shade of a score that lost 20 %.
    """
    candidates = findings.checkpoints[1:]
    compared = any(findings.entry(task, name).comparison for task in findings.tasks for name in candidates)
    if not compared or len(candidates) > MAX_CHECKPOINTS:
        return None
    with matplotlib.rc_context(style.RC | {"axes.grid": False}):
        figure = Figure(figsize=(_CELL[0] * len(candidates), _CELL[1] * len(findings.tasks)))
        axes = figure.add_axes((0, 0, 1, 1))
        shades = [[_kept(task, findings.entry(task, name)) for name in candidates] for task in findings.tasks]
        colours = matplotlib.colormaps["cividis"].with_extremes(bad="white")
        image = axes.imshow(shades, cmap=colours, vmin=0, vmax=100, aspect="auto")
        for row, task in enumerate(findings.tasks):
            for column, name in enumerate(candidates):
                light = not shades[row][column] < 55
                if findings.entry(task, name).at_floor:
                    corner = (column - 0.5, row - 0.5)
                    axes.add_patch(
                        Rectangle(corner, 1, 1, fill=False, hatch="//", edgecolor="#00000055", linewidth=0)
                    )
                axes.text(
                    column,
                    row,
                    _words(task, findings.entry(task, name)),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=style.INK if light else "white",
                )
        axes.set_xticks(
            range(len(candidates)),
            [style.label(one) for one in candidates],
            rotation=35,
            ha="left",
            rotation_mode="anchor",
        )
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(findings.tasks)), [style.label(task.name) for task in findings.tasks])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for group in findings.groups[:-1]:
            edge = candidates.index(group.candidates[-1]) + 0.5
            axes.axvline(edge, color="white", linewidth=4)
        bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.03)
        bar.set_label(f"% of {style.label(findings.reference, 40)} kept")
        bar.outline.set_visible(False)
        note = (
            "Recovery above the floor in % (plain recovery where no floor was measured), for perplexity the ratio to "
            "the reference.\n✓ pass, ✗ regression, ? too few items to tell. Hatched: the score is not above the floor. "
            "Intervals, n and noise floor: see the tables."
        )
        axes.annotate(note, (0, -0.04), xycoords="axes fraction", va="top", fontsize=7.5, color=style.NOTE)
    return figure


def _kept(task: TaskInfo, entry: Entry) -> float:
    """Return what is left of the reference, in %, 0..100; NaN if there is nothing to compare."""
    kept = entry.comparison.kept if entry.comparison else None
    if kept is None:
        return math.nan
    ratio = kept.value
    if math.isnan(ratio):
        return 0.0
    return min(100.0, max(0.0, 100 * (ratio if task.higher_is_better else 2 - ratio)))


def _words(task: TaskInfo, entry: Entry) -> str:
    comparison = entry.comparison
    if comparison is None:
        return "not run" if entry.cell is None else "refused"
    if not comparison.measurable:
        return "ref. at floor"
    if comparison.kept is None:
        return "ref. 0"
    ratio = comparison.kept.value
    if not task.higher_is_better:
        size = (
            f"> {text.TIMES}{text.BROKEN:g}"
            if text.BROKEN < ratio < math.inf
            else f"{text.TIMES}{text.quantity(ratio)}"
        )
        return f"{size} {mark(entry)}"
    return f"{100 * ratio:.0f} {mark(entry)}"
