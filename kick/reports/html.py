"""The report as one self-contained web page: it asks nothing of any server, and its script may do nothing but read.

Tables are plain HTML that reads, prints and is spoken without a script; the script adds sorting, filtering and the
item explorer. Everything foreign goes through Jinja's escape or into `textContent`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kick.reports import provenance, summary, tables
from kick.reports.explorer import Pack
from kick.reports.findings import Findings
from kick.reports.legend import LEGEND, lead
from kick.reports.text import one_line

_TEMPLATES = Path(__file__).parent / "templates"


def page(findings: Findings, figures: Mapping[str, bytes], packs: Sequence[Pack]) -> str:
    """The whole page.

    Args:
        findings: what to report.
        figures: `overview` and `curve-<series>` as SVG.
        packs: the items for the explorer.
    """
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["shown"] = lambda line: one_line(line, 600)
    environment.filters["slug"] = slug
    return environment.get_template("report.html").render(
        findings=findings,
        lead=lead(findings),
        overview=_data_uri(figures.get("overview")),
        policy=_policy(style, script),
        style=style,
        script=script,
        matching=summary.matching(findings),
        warnings=summary.warnings(findings),
        checkpoints=tables.checkpoints(findings),
        scores_note=tables.SCORES_NOTE,
        groups=[
            {
                "name": group.name,
                "scores": tables.scores(findings, group),
                "figure": _data_uri(figures.get(f"curve-{group.name}")),
                "data": tables.curve_data(findings, group),
            }
            for group in findings.groups
        ],
        changes=[(task.name, tables.changes(findings, task)) for task in findings.tasks],
        problems=tables.problems(findings),
        versions=provenance.versions(findings.cells()),
        provenance=[provenance.checkpoints(findings), provenance.tasks(findings)],
        legend=LEGEND,
        methods=provenance.interval_methods(findings),
        packs=packs,
        index=_json({made.task: made.model_dump(exclude={"payload"}) for made in packs}),
    )


def slug(text: str) -> str:
    """Text as an id: letters, digits and hyphens, and a hash where that loses something."""
    kept = "".join(character if character.isascii() and character.isalnum() else "-" for character in text)
    plain = text.replace("_", "-").replace(".", "-")
    return kept if kept == plain else f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _policy(style: str, script: str) -> str:
    """A content security policy: this style, this script, pictures that lie in the page; no requests."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _data_uri(svg: bytes | None) -> str:
    return "" if svg is None else f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _json(data: object) -> str:
    """JSON that may stand in a script element: nothing in it ends the element."""
    return json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
