"""The look of kick's figures: sizes, colours, markers, line styles, and the lines that every figure has.

Panels are sized to be read at the width of a column in print. Tasks differ in colour, marker and line style at once, so
a figure reads in print, in greyscale and for the colour-blind. Colours: Okabe and Ito, Color Universal Design (2008).
"""

import io
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kick.text import one_line

RC = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
    # Names are data: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
    # The same results give the same file.
    "svg.hashsalt": "kick",
}

INK = "#1a1a1a"
NOTE = "#555555"
FLOOR = "#d9d9d9"
# A figure with more marks than this stores them as pixels.
MANY = 300


class Look(NamedTuple):
    """The colour, marker and line style of one task."""

    color: str
    marker: str
    line: tuple[int, tuple[float, ...]] | str


_LOOKS = (
    Look("#0072B2", "o", "-"),
    Look("#D55E00", "s", (0, (5, 1.5))),
    Look("#009E73", "^", (0, (3, 1.2, 1, 1.2))),
    Look("#CC79A7", "D", (0, (1.2, 1.2))),
    Look("#8C5A00", "v", (0, (7, 1.5, 1, 1.5, 1, 1.5))),
    Look("#56B4E9", "P", (0, (4, 1))),
    Look("#5E4FA2", "X", (0, (2, 1))),
    Look("#7F7F7F", "p", (0, (6, 2))),
)
LOOKS = len(_LOOKS)
_PERPLEXITY_LOOKS = (
    Look(INK, "x", (0, (4, 2))),
    Look("#4d4d4d", "+", (0, (4, 2, 1, 2))),
    Look("#808080", "1", (0, (1, 1.5))),
)


def look(index: int) -> Look:
    """Return the look of the task at this position; there are eight, which repeat."""
    return _LOOKS[index % len(_LOOKS)]


def perplexity_look(index: int) -> Look:
    """Return the look of a perplexity, which is never that of a task."""
    return _PERPLEXITY_LOOKS[index % len(_PERPLEXITY_LOOKS)]


class Frame(NamedTuple):
    """The size of one panel in inches.

    Attributes:
        axes: Width and height of the axes.
        room: Width and height of the panel with labels and legend.
        left: The distance of the axes from the left edge of the panel.
        low: The distance of the axes from its foot.
    """

    axes: tuple[float, float]
    room: tuple[float, float]
    left: float
    low: float


def label(name: str, length: int = 60) -> str:
    """Return a name as text in a figure: without characters that fonts lack, and shown in legends whatever it is.

    matplotlib leaves labels that open with an underscore out of legends; a thin space in front prevents that.
    """
    shown = one_line(name, length)
    return f"\N{THIN SPACE}{shown}" if shown.startswith("_") else shown


def panels(count: int, frame: Frame) -> tuple[Figure, list[Axes]]:
    """Return a figure of equal panels, two side by side, filled from the top left."""
    columns = min(count, 2)
    rows = math.ceil(count / columns)
    width, height = columns * frame.room[0], rows * frame.room[1]
    figure = Figure(figsize=(width, height))
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        left = (column * frame.room[0] + frame.left) / width
        low = ((rows - 1 - row) * frame.room[1] + frame.low) / height
        axes.append(figure.add_axes((left, low, frame.axes[0] / width, frame.axes[1] / height)))
    return figure, axes


def remark(figure: Figure, frame: Frame, lines: Sequence[str], low: float = 0.0) -> None:
    """Write remarks for the reader, their top `low` inches above the foot of the figure."""
    left, top = frame.left / figure.get_figwidth(), low / figure.get_figheight()
    figure.text(left, top, "\n".join(lines), va="top", fontsize=7.5, color=NOTE)


def tolerance(axes: Axes, height: float, margin: float) -> None:
    """Draw the line below which a checkpoint has lost more than the tolerance."""
    axes.axhline(height, color=NOTE, linewidth=1.1, zorder=1, label=f"{100 * margin:.0f} % tolerance")


def noise_floor(axes: Axes, middle: float, width: float | None) -> None:
    """Draw the band inside which the reference differs from itself; nothing if it was not measured."""
    if width:
        axes.axhspan(
            middle - width, middle + width, color=FLOOR, linewidth=0, zorder=0.5, label="noise floor"
        )


def power(value: float) -> str:
    """Return a tick label of a logarithmic axis: `0.01`, `100`, `1e6`."""
    if 1e-4 < value < 1e4:
        return f"{value:g}"
    return f"{value:.0e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def level(axes: Axes, height: float, name: str, color: str = NOTE) -> None:
    """Draw the level of answerers without knowledge, or of blind guessing; the legend names it once."""
    label = "_" if name in axes.get_legend_handles_labels()[1] else name
    axes.axhline(height, color=color, linestyle=(0, (1, 2)), linewidth=1.1, zorder=1, label=label)


_UNDATED: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def render(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file of this kind: png, svg or pdf. Equal figures give equal bytes."""
    return _bytes(figure, kind)


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG for a page: without a background, and with little white space."""
    return re.sub(rb"\n *", b"\n", _bytes(figure, "svg", transparent=True))


def _bytes(figure: Figure, kind: str, **options: bool) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(buffer, format=kind, metadata=_UNDATED[kind], **options)
    return buffer.getvalue()
