"""Flips against delta: two checkpoints can score the same while the correctness of many items changed."""

import math

import matplotlib
from matplotlib.figure import Figure

from kick.reports.figures import style
from kick.reports.findings import Findings
from kick.types import Comparison

FRAME = style.Frame(axes=(2.75, 2.6), room=(3.6, 3.4), left=0.6, low=0.6)
# With more comparisons than this, intervals are not drawn.
MAX_BARS = 60


def flips_against_delta(findings: Findings) -> Figure | None:
    """Draw every comparison of right-or-wrong items as a point; None if there is none.

    On the dashed line every flip went the same way; the higher above it, the more gains hide losses.
    """
    families = {
        family: [
            comparison
            for task in tasks
            for name in findings.checkpoints[1:]
            if (comparison := findings.entry(task, name).comparison) and comparison.flips
        ]
        for family, tasks in findings.families_of_tasks().items()
    }
    compared = [comparison for members in families.values() for comparison in members]
    if not compared:
        return None
    with matplotlib.rc_context(style.RC | {"font.size": 8, "axes.labelsize": 8, "axes.titlesize": 9}):
        figure, (axes,) = style.panels(1, FRAME)
        for index, (family, members) in enumerate(families.items()):
            if not members:
                continue
            look = style.look(index)
            xs, ys = [100 * one.delta.value for one in members], [_flipped(one) for one in members]
            if len(compared) <= MAX_BARS:
                below = [100 * (one.delta.value - one.delta.low) for one in members]
                above = [100 * (one.delta.high - one.delta.value) for one in members]
                axes.errorbar(
                    xs, ys, xerr=[below, above], fmt="none", ecolor=look.color, elinewidth=0.6, alpha=0.4
                )
            axes.plot(
                xs,
                ys,
                color=look.color,
                marker=look.marker,
                markersize=5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                linestyle="",
                label=family.replace("_", " "),
                zorder=3,
                rasterized=len(compared) > style.MANY,
            )
        noise = {one.task: one.noise_floor for one in compared if one.noise_floor and one.noise_floor.flips}
        if noise:
            axes.plot(
                [100 * floor.delta.value for floor in noise.values()],
                [100 * floor.flips.discordance for floor in noise.values() if floor.flips],
                color=style.INK,
                marker="x",
                linestyle="",
                label="noise floor",
                zorder=4,
            )
        reach = max(abs(100 * one.delta.value) for one in compared)
        highest = max([*(_flipped(one) for one in compared), reach, 1.0]) * 1.08
        axes.plot(
            [-highest, 0, highest],
            [highest, 0, highest],
            color=style.NOTE,
            linestyle=(0, (4, 2)),
            linewidth=0.9,
            label="every flip goes one way",
        )
        axes.set_ylim(0, highest)
        axes.set_xlim(-highest, max(0.3 * highest, max(100 * one.delta.value for one in compared) * 1.2))
        axes.set_xlabel("delta to the reference, points")
        axes.set_ylabel("items whose correctness flipped, %")
        axes.spines["right"].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2)
        rows = math.ceil(len(axes.get_legend_handles_labels()[1]) / 2)
        notes = ["Bars: 95 % intervals of delta; n: see the tables."]
        if len(compared) > MAX_BARS:
            notes = ["Intervals and n: see the tables."]
        elif any(
            one.delta.high * 100 > axes.get_xlim()[1] or one.delta.low * 100 < -highest for one in compared
        ):
            notes.append("Bars that leave the axes go on.")
        if not noise:
            notes.append("Noise floor: not measured.")
        style.remark(figure, FRAME, notes, FRAME.low - 0.7 - 0.19 * rows)
    return figure


def _flipped(comparison: Comparison) -> float:
    return 100 * comparison.flips.discordance if comparison.flips else 0.0
