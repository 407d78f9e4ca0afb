"""A document as one self-contained web page.

Tables are plain HTML that reads, prints and is spoken without a script; the script adds sorting, filtering and the
item explorer. Everything foreign goes through Jinja's escape or into `textContent`.
"""

from collections.abc import Mapping, Sequence

from kick.reports.blocks import Document, ItemExplorer, applicable
from kick.reports.explorer import Pack
from kick.reports.formats.web import picture, render, script_json


def page(document: Document, figures: Mapping[str, bytes], packs: Sequence[Pack]) -> str:
    """Return the whole page.

    Args:
        document: What to write.
        figures: Each figure that was drawn, as SVG.
        packs: The items for the explorer, one pack per task; without any, the page has no explorer.
    """
    content = {
        "title": document.title,
        "lead": document.lead,
        "sections": [
            section
            for section in applicable(document.sections, figures)
            if packs or section.blocks != (ItemExplorer(),)
        ],
        "pictures": {name: picture(svg) for name, svg in figures.items()},
        "packs": packs,
        "index": script_json({pack.task: pack.model_dump(exclude={"payload"}) for pack in packs}),
    }
    return render("report.html", ("explorer.js",), content)
