"""The badge of an entry: a small picture of what is kept, for a model card or a README."""

from html import escape

from kick import text
from kick.reports.leaderboard.records import OVERALL, BoardEntry
from kick.reports.leaderboard.tables import ranks
from kick.types import Match

_LABEL = "knowledge kept"
_FILL: dict[Match | None, str] = {
    "matching": "#00664b",
    "not matching": "#9c3a00",
    "cannot tell": "#5a5f66",
    None: "#5a5f66",
}
# Pixels per character of Verdana at 11 px, on average.
_PER_CHARACTER = 6.7
_PADDING = 12


def badge(entry: BoardEntry) -> str:
    """Return the badge as SVG: `knowledge kept | 92 % [88, 96]`.

    It is green if the entry is shown to be within 5 % of its base model, red if it is shown not to be, and grey if the
    items cannot tell.
    """
    standing = entry.standings.get(OVERALL)
    value = text.percent(standing.kept) if standing else "incomplete"
    place = f", rank {ranks(standing)} of {standing.of}" if standing else ""
    title = escape(f"{_LABEL}: {value} of {text.one_line(entry.base, 80)}{place}", quote=True)
    fill = _FILL[standing.matching.outcome if standing else None]
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
