"""The badge of an entry: a small picture of what is kept, for a model card or a README."""

from html import escape

from kick import text
from kick.gating import MARKS
from kick.gating.rendering import summary_line
from kick.reports.leaderboard.records import OVERALL, BoardEntry
from kick.reports.leaderboard.tables import ranks
from kick.types import Outcome

_LABEL = "knowledge kept"
_FILL: dict[Outcome, str] = {"pass": "#00664b", "regression": "#9c3a00", "inconclusive": "#5a5f66"}
# Pixels per character of Verdana at 11 px, on average.
_PER_CHARACTER = 6.7
_PADDING = 12


def badge(entry: BoardEntry) -> str:
    """Return the badge as SVG: `knowledge kept | ✗ 92 % [88, 96]`.

    Mark and colour are those of its verdict: green for a pass, red for a regression, grey if the items cannot tell. An
    entry that lacks tasks of the board is never green.
    """
    standing = entry.standings.get(OVERALL)
    outcome = entry.outcome if standing or entry.outcome == "regression" else "inconclusive"
    kept = text.percent(standing.kept) if standing else "incomplete"
    value = f"{MARKS[outcome]} {kept}"
    place = f", rank {ranks(standing)} of {standing.of}" if standing else ""
    judged = text.one_line(summary_line(entry.verdict), 300)
    title = escape(
        f"{_LABEL}: {value} of {text.one_line(entry.base, 80)}{place}; verdict {judged}", quote=True
    )
    fill = _FILL[outcome]
    left, right = (round(len(part) * _PER_CHARACTER + _PADDING) for part in (_LABEL, value))
    words = "".join(
        f'<text x="{x:g}" y="14" textLength="{width - _PADDING}">{escape(part)}</text>'
        for part, x, width in ((_LABEL, left / 2, left), (value, left + right / 2, right))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#24292f"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{fill}"/></g>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{words}</g>'
        "</svg>\n"
    )
