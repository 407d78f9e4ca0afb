"""Numbers and foreign text as a reader sees them: the one place that rounds and the one place that escapes.

Names and model output are data. Every format has its own escape here, and nothing reaches a page, a table or a
terminal without it.
"""

import math
import re
from collections.abc import Callable, Collection
from pathlib import PurePath

from kick.printable import printable
from kick.types import Estimate, TaskInfo

# A ratio beyond this is a broken model, whatever its digits are.
BROKEN = 100.0
# What is said in place of an interval that has no end on either side.
TOO_FEW = "too few for an interval"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

# --- numbers ---


def is_share(task: TaskInfo) -> bool:
    """Return whether the task's metric is a share of 1, which is shown in percent.

    Perplexities, and metrics of unknown unit, are shown as they are.
    """
    return task.family not in ("perplexity", "other")


def score(estimate: Estimate, task: TaskInfo) -> str:
    """Return `41.3 [33.1, 50.0]`: in percent for a share, else with four significant digits."""
    if is_share(task):
        return _with_interval(estimate, lambda number: _fixed(100 * number, 1))
    return _with_interval(estimate, quantity)


def delta(estimate: Estimate, task: TaskInfo) -> str:
    """Return `+1.2 [−3.4, +5.8]`: candidate minus reference, in points for a share."""
    if is_share(task):
        return _with_interval(estimate, lambda number: _fixed(100 * number, 1, sign=True))
    return _with_interval(estimate, lambda number: ("+" if number > 0 else "") + quantity(number))


def percent(estimate: Estimate) -> str:
    """Return a share or a ratio as `92 % [81, 104]`, with a decimal if the interval is narrow."""
    if not math.isfinite(estimate.value):
        return _not_finite(estimate.value)
    if not math.isfinite(estimate.low) and not math.isfinite(estimate.high):
        return f"{_fixed(100 * estimate.value, 0)} %, {TOO_FEW}"
    places = 1 if abs(estimate.high - estimate.low) < 0.04 else 0
    value, low, high = (
        _fixed(100 * number, places) for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} % [{low}, {high}]"


def ratio(estimate: Estimate) -> str:
    """Return a ratio that may explode, as `×1.23 [1.20, 1.26]`; in words where its digits say nothing."""
    if not math.isfinite(estimate.value):
        return TIMES + _not_finite(estimate.value)
    if estimate.value > BROKEN:
        return f"more than {TIMES}{BROKEN:g}"
    if estimate.low <= 0 and estimate.high == math.inf:
        return f"{TIMES}{quantity(estimate.value)}, {TOO_FEW}"
    if estimate.high > BROKEN:
        return f"{TIMES}{quantity(estimate.value)} [{quantity(estimate.low)} or more]"
    return TIMES + _with_interval(estimate, quantity)


def quantity(number: float) -> str:
    """Return a number with four significant digits: `1.084`, `14.32`, `182.4`, `51,300`, `3.4e+06`, `∞`."""
    if not math.isfinite(number):
        return _not_finite(number)
    size = abs(number)
    if size >= 1e6:
        return f"{number:.1e}".replace("-", MINUS)
    if size >= 1000:
        return f"{number:,.0f}".replace("-", MINUS)
    places = 1 if size >= 100 else 2 if size >= 10 else 3
    return _fixed(number, places)


def nats(number: float) -> str:
    """Return a loss or a divergence with three significant digits: `0.0123`, `4.56`, `1.23e−05`, `0`."""
    if not math.isfinite(number):
        return _not_finite(number)
    if number == 0:
        return "0"
    return f"{number:#.3g}".rstrip(".").replace("-", MINUS)


def divergence(estimate: Estimate) -> str:
    """Return nats per token as `0.0123 [0.0119, 0.0127]`."""
    return _with_interval(estimate, nats)


def points(estimate: Estimate) -> str:
    """Return the change of a probability in points: `−0.42 [−0.51, −0.33]`."""
    return _with_interval(estimate, lambda number: _fixed(100 * number, 2, sign=True))


def size(count: float) -> str:
    """Return a count of parameters or weights as `271 M` or `1.24 B`; whole below a thousand."""
    for unit, step in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(count) >= step:
            scaled = count / step
            return f"{scaled:.3g} {unit}" if scaled < 100 else f"{scaled:.0f} {unit}"
    return f"{count:.0f}"


def bytes_(count: int) -> str:
    """Return bytes in powers of ten: `542 MB`, `1.31 GB`."""
    return f"{size(count).replace('B', 'G')}B" if count >= 1000 else f"{count} B"


def share(number: float | None, places: int = 1) -> str:
    """Return a share of 1 that was counted, not estimated, as `50.0 %`."""
    return "–" if number is None else f"{_fixed(100 * number, places)} %"


def duration(seconds: float) -> str:
    """Return `42 s`, `3 min 05 s` or `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def p_value(number: float | None) -> str:
    """Return `0.042` or `< 0.001`; a dash if there is none."""
    if number is None:
        return "–"
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 task` or `2 tasks`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def number_range(values: Collection[int]) -> str:
    """Return `24`, or `24 to 1,000`."""
    low, high = min(values, default=0), max(values, default=0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _with_interval(estimate: Estimate, show: Callable[[float], str]) -> str:
    if not math.isfinite(estimate.value):
        return show(estimate.value)
    if not math.isfinite(estimate.low) and not math.isfinite(estimate.high):
        return f"{show(estimate.value)}, {TOO_FEW}"
    return f"{show(estimate.value)} [{show(estimate.low)}, {show(estimate.high)}]"


def _fixed(number: float, places: int, sign: bool = False) -> str:
    if not math.isfinite(number):
        return _not_finite(number)
    # Adding zero turns a negative zero into a positive one.
    rounded = round(number, places) + 0.0
    text = f"{rounded:+.{places}f}" if sign and rounded != 0 else f"{rounded:.{places}f}"
    return text.replace("-", MINUS)


def _not_finite(number: float) -> str:
    """Return the name of a number that is not finite, which broken models do produce."""
    if math.isnan(number):
        return "NaN"
    return "∞" if number > 0 else f"{MINUS}∞"


# --- foreign text ---

# Inside a word an underscore is not markup, and a bracket is markup only if a link or a footnote follows from it.
_MARKDOWN = re.compile(r"([\\`*|~$]|(?<!\w)_|_(?!\w)|\](?=[(\[:])|\[(?=[\^!]))")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# The characters that a spreadsheet takes for the start of a formula; some read the full-width forms alike.
_FORMULA = tuple("=+-@＝＋－＠")


def visible(text: str, length: int | None = None) -> str:
    """Return text without controls; beyond `length` characters it is cut, and the rest is counted."""
    if length is not None and len(text) > length:
        text = f"{text[:length]}… [{len(text) - length:,} more characters]"
    return printable(text)


def one_line(text: str, length: int | None = None) -> str:
    """Return `visible` text with each run of white space made one space."""
    return " ".join(visible(text, length).split())


def markdown(text: str, length: int | None = 200) -> str:
    """Return text for a line of Markdown, in a table or out of one.

    Nothing in it becomes markup, HTML, a link or a line break.
    """
    line = _TAG.sub("&lt;", one_line(text, length).replace("&", "&amp;"))
    line = _MARKDOWN.sub(r"\\\1", line)
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")


def markdown_code(text: str, length: int | None = 200) -> str:
    """Return a name or a hash as a code span that survives in a table cell."""
    line = one_line(text, length)
    if not line:
        return "–"
    if "`" in line or "|" in line or "\\" in line:
        return markdown(text, length)
    return f"`{line}`"


def spreadsheet(text: str) -> str:
    """Return text for a field of a CSV file: a spreadsheet shows it and does not compute it."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    # Braces prevent a ligature: two hyphens stay two hyphens.
    "-": "{-}",
    MINUS: "$-$",
    TIMES: r"$\times$",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "✓": r"$\checkmark$",
    "✗": r"\textsf{x}",
    "–": "--",
    "…": r"\dots{}",
}


def latex(text: str, length: int | None = 200) -> str:
    """Return text that pdflatex sets as it is; a character that its fonts lack is named by its code."""
    return "".join(_latex(character) for character in one_line(text, length))


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii() or (character.isalpha() and ord(character) < 0x180):
        return character
    return f"[U+{ord(character):04X}]"


def model_name(model: str) -> str:
    """Return a hub id as it is, and the name of a folder for its path."""
    path = PurePath(model)
    local = path.is_absolute() or len(path.parts) != 2 or path.parts[0] in (".", "..", "~")
    return path.name if local else model
