"""Reports: what a results folder says, as a page with tables and curves.

`write` is the door. `findings` gathers the content once, `tables` and `curves` lay it out, and each
format has a module of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kick.errors import InputError, nearest
from kick.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kick.reports.findings import Findings

FORMATS = ("md", "html", "latex", "csv", "parquet", "model-card")
_FIGURES = {"md": ("png", "svg"), "latex": ("pdf",)}  # a web page carries its own


def write(store: Store, out: Path, formats: Sequence[str] = ("md",)) -> list[Path]:
    """Write a report of a results folder.

    Args:
        store: the results.
        out: the folder to write to; made if missing. Files of an earlier report there are replaced.
        formats: of `FORMATS`.

    Returns:
        The files written, pages before figures.

    Raises:
        InputError: no format or an unknown one, a damaged results folder, or `out` is a file.
    """
    if not formats:
        raise InputError(f"no report format is given. Name one or more of: {', '.join(FORMATS)}.")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"there is no report format '{name}'. {nearest(name, FORMATS)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder for the report.")

    from kick.reports import explorer, frame, html, latex, markdown, model_card, style
    from kick.reports.findings import gather
    from kick.reports.snapshot import Snapshot

    store = Snapshot(store)
    findings = gather(store)
    out.mkdir(parents=True, exist_ok=True)
    drawn = _draw(findings) if {"md", "html", "latex"} & set(formats) else {}
    kinds = [kind for name in formats for kind in _FIGURES.get(name, ())]
    paths = {name: f"figures/{name}" for name in drawn}
    figures: list[Path] = []
    if kinds and drawn:
        (out / "figures").mkdir(exist_ok=True)
        figures = [
            path for name, figure in drawn.items() for path in style.save(figure, out / paths[name], kinds)
        ]
    pages: list[Path] = []
    if "md" in formats:
        pages.append(_write(out / "report.md", markdown.page(findings, paths)))
    if "html" in formats:
        pictures = {name: style.svg(figure) for name, figure in drawn.items()}
        content = html.page(findings, pictures, explorer.pack(store, findings))
        pages.append(_write(out / "report.html", content))
    if "latex" in formats:
        pages.append(_write(out / "report.tex", latex.page(findings, paths)))
    if "csv" in formats:
        pages.append(_write(out / "report.csv", frame.csv(frame.tidy(findings))))
    if "parquet" in formats:
        frame.tidy(findings).to_parquet(out / "report.parquet", index=False)
        pages.append(out / "report.parquet")
    if "model-card" in formats:
        (out / "model-cards").mkdir(exist_ok=True)
        for candidate in findings.checkpoints[1:]:
            path = out / "model-cards" / f"{candidate}.md"
            pages.append(_write(path, model_card.card(findings, candidate)))
    return [*pages, *figures]


def _draw(findings: "Findings") -> "dict[str, Figure]":
    """Every figure of a report: `overview`, and `curve-<series>`."""
    from kick.reports.curves import curve
    from kick.reports.heatmap import heatmap

    overview = heatmap(findings)
    figures = {"overview": overview} if overview else {}
    return figures | {f"curve-{group.name}": curve(findings, group) for group in findings.curves()}


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path
