"""The report as one self-contained web page.

Tables are plain HTML that reads, prints and is spoken without a script; the script adds sorting, filtering and the
item explorer. Everything foreign goes through Jinja's escape or into `textContent`.
"""

from collections.abc import Mapping, Sequence

from kick.reports.explorer import Pack
from kick.reports.figures.gallery import CAPTIONS, SIZES, curve_caption
from kick.reports.findings import Findings
from kick.reports.formats.web import picture, render, script_json
from kick.reports.glossary import LEGEND, lead
from kick.reports.tables import divergence, losses, provenance, readouts, summary
from kick.reports.tables import scores as tables
from kick.reports.tables.cost import cost, running
from kick.reports.tables.problems import problems


def page(findings: Findings, figures: Mapping[str, bytes], packs: Sequence[Pack]) -> str:
    """The whole page.

    Args:
        findings: what to report.
        figures: as SVG, by the names that `kick.reports.figures.gallery.draw` gives them.
        packs: the items for the explorer.
    """
    content = {
        "findings": findings,
        "lead": lead(findings),
        "overview": picture(figures.get("overview")),
        "matching": summary.matching(findings),
        "warnings": summary.warnings(findings),
        "cost": cost(findings),
        "sizes": [(CAPTIONS[name], picture(figures[name])) for name in SIZES if name in figures],
        "running": running(findings),
        "checkpoints": tables.checkpoints(findings),
        "scores_note": tables.SCORES_NOTE,
        "groups": [
            {
                "name": group.name,
                "scores": tables.scores(findings, group),
                "caption": curve_caption(findings, group),
                "figure": picture(figures.get(f"curve-{group.name}")),
                "data": tables.curve_data(findings, group),
            }
            for group in findings.groups
        ],
        "readouts_note": readouts.NOTE,
        "readouts": readouts.readouts(findings),
        "divergence_title": divergence.TITLE,
        "divergence_note": divergence.NOTE,
        "divergences": divergence.divergences(findings),
        "changes": [(task.name, tables.changes(findings, task)) for task in findings.tasks],
        "flips": (CAPTIONS["flips"], picture(figures.get("flips"))),
        "categories_note": losses.NOTE,
        "categories": [
            content for task in findings.tasks if (content := losses.categories(findings, task)).rows
        ],
        "problems": problems(findings),
        "versions": provenance.versions(findings.cells()),
        "provenance": [provenance.checkpoints(findings), provenance.tasks(findings)],
        "legend": LEGEND,
        "methods": provenance.interval_methods(findings),
        "packs": packs,
        "index": script_json({made.task: made.model_dump(exclude={"payload"}) for made in packs}),
    }
    return render("report.html", ("explorer.js",), content)
