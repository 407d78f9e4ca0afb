"""The frame of every web page of kick: templates, style, script, and a policy that allows no other.

A page is one self-contained file: it asks nothing of any server. Everything foreign goes through Jinja's escape.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kick.reports.output import slug
from kick.text import one_line

_TEMPLATES = Path(__file__).parents[1] / "templates"
# The 8 points of the figures are the 13 pixels of the tables.
_PIXELS_PER_POINT = 1.6
# In pixels.
_WIDE = 700


class Picture(NamedTuple):
    """A figure in a page.

    Attributes:
        uri: The picture itself, as a data URI.
        width: Its width in pixels, on a screen that has as many.
    """

    uri: str
    width: int

    @property
    def wide(self) -> bool:
        """True if the figure has several panels side by side."""
        return self.width > _WIDE


def render(template: str, scripts: tuple[str, ...], content: Mapping[str, Any]) -> str:
    """Return a page.

    Args:
        template: Its file in `templates/`, which extends `page.html`.
        scripts: Files in `templates/` that make up its script, after `page.js`.
        content: The variables of the template.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["shown"] = lambda line: one_line(line, 600)
    environment.filters["whole"] = one_line
    environment.filters["slug"] = slug
    environment.tests["record"] = lambda value, kind: type(value).__name__ == kind
    style, script = _read("page.css"), "\n".join(_read(name) for name in ("page.js", *scripts))
    return environment.get_template(template).render(
        style=style, script=script, policy=_policy(style, script), **content
    )


def data_uri(svg: bytes | None) -> str:
    """Return a picture as a data URI; empty for none."""
    return "" if svg is None else f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def picture(svg: bytes | None) -> Picture | None:
    """Return a figure for a page, in the size in which its text is as large as that of other figures."""
    if svg is None:
        return None
    width = re.search(rb'<svg[^>]* width="([0-9.]+)pt"', svg)
    assert width, "a figure of matplotlib's has a width"
    return Picture(data_uri(svg), round(_PIXELS_PER_POINT * float(width[1])))


def script_json(data: object) -> str:
    """Return JSON for a script element: nothing in it ends the element."""
    return json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a content security policy: this style, this script, pictures within the page; no requests."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
