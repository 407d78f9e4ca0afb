"""Reports: what a results folder says, as a page with tables and curves.

`write` is the door. `findings` gathers the content once, `tables` and `curves` lay it out, and each
format has a module of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from kick.errors import InputError, nearest
from kick.store import Store

FORMATS = ("md", "html", "latex", "csv", "parquet")
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
        InputError: an unknown format, a damaged results folder, or `out` is a file.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"there is no report format '{name}'. {nearest(name, FORMATS)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder for the report.")

    from kick.reports import curves, explorer, frame, html, latex, markdown
    from kick.reports.findings import gather
    from kick.reports.snapshot import Snapshot

    store = Snapshot(store)
    findings = gather(store)
    out.mkdir(parents=True, exist_ok=True)
    pages: list[Path] = []
    figures: list[Path] = []
    images: dict[str, str] = {}  # series -> its curve, without the ending
    kinds = [kind for name in formats for kind in _FIGURES.get(name, ())]
    for group in findings.curves() if kinds else []:
        images[group.name] = f"figures/curve-{group.name}"
        (out / "figures").mkdir(exist_ok=True)
        figures += curves.save(curves.curve(findings, group), out / images[group.name], kinds)
    if "md" in formats:
        pages.append(_write(out / "report.md", markdown.page(findings, images)))
    if "html" in formats:
        drawn = {group.name: curves.svg(curves.curve(findings, group)) for group in findings.curves()}
        pages.append(_write(out / "report.html", html.page(findings, drawn, explorer.pack(store, findings))))
    if "latex" in formats:
        pages.append(_write(out / "report.tex", latex.page(findings, images)))
    if "csv" in formats:
        pages.append(_write(out / "report.csv", frame.csv(frame.tidy(findings))))
    if "parquet" in formats:
        frame.tidy(findings).to_parquet(out / "report.parquet", index=False)
        pages.append(out / "report.parquet")
    return [*pages, *figures]


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path
