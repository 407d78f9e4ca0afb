"""Reports: what a results folder says, as a page with tables and curves.

`write` is the door. `findings` gathers the content once, `tables` and `curves` lay it out, and each
format has a module of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from kick.errors import InputError, nearest
from kick.store import Store

FORMATS = ("md",)


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
    from kick.reports import curves, markdown
    from kick.reports.findings import gather

    for name in formats:
        if name not in FORMATS:
            raise InputError(f"there is no report format '{name}'. {nearest(name, FORMATS)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder for the report.")
    findings = gather(store)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    pages: list[Path] = []
    figures: list[Path] = []
    images: dict[str, str] = {}
    for group in findings.groups:
        if group.axis is not None:
            stem = out / "figures" / f"curve-{group.name}"
            figures += curves.save(curves.curve(findings, group), stem, ("png", "svg"))
            images[group.name] = f"figures/{stem.name}.png"
    if "md" in formats:
        pages.append(out / "report.md")
        pages[-1].write_text(markdown.page(findings, images), encoding="utf-8")
    return [*pages, *figures]
