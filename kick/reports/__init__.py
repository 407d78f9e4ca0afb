"""Reports: what a results folder says, as a page with tables and curves.

`write` is the door. `findings` gathers the content once, `tables` and `curves` lay it out, and each
format has a module of its own.
"""

from collections.abc import Sequence
from pathlib import Path

from kick.errors import InputError, nearest
from kick.store import Store

FORMATS = ("md", "html", "latex", "csv", "parquet", "model-card")
_FIGURES = {"md": ("png", "svg"), "latex": ("pdf",)}  # a web page carries its own


DIFF_FORMATS = ("md", "csv")


def write(
    store: Store | Sequence[Store], out: Path, formats: Sequence[str] = ("md",), *, published: bool = False
) -> list[Path]:
    """Write a report of a results folder, or of several as one.

    Args:
        store: the results; of several folders, each candidate is compared with the reference of its own.
        out: the folder to write to; made if missing. Files of an earlier report there are replaced.
        formats: of `FORMATS`.
        published: lay the values that others published for the same methods over the curves.

    Returns:
        The files written, pages before figures.

    Raises:
        InputError: no format or an unknown one, a damaged results folder, several that cannot stand in one
            table, or `out` is a file.
    """
    _check(out, formats, FORMATS)
    from kick.reports import explorer, frame
    from kick.reports.figures import style
    from kick.reports.figures.gallery import draw
    from kick.reports.findings import gather
    from kick.reports.formats import html, latex, markdown, model_card, web
    from kick.reports.merge import merge
    from kick.reports.published import read
    from kick.store.snapshot import Snapshot

    stores = [Snapshot(one) for one in ([store] if isinstance(store, Store) else store)]
    items = explorer.Explorer(stores[0].comparisons()) if len(stores) == 1 and "html" in formats else None
    parts = [gather(one, items.see if items else None) for one in stores]
    findings = (
        parts[0] if len(parts) == 1 else merge([(s.root, f) for s, f in zip(stores, parts, strict=True)])
    )
    out.mkdir(parents=True, exist_ok=True)
    lines = read() if published else []
    drawn = draw(findings, lines) if {"md", "html", "latex"} & set(formats) else {}
    kinds = [kind for name in formats for kind in _FIGURES.get(name, ())]
    paths = {name: f"figures/{web.file_name(name)}" for name in drawn}
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
        content = html.page(findings, pictures, items.packs(findings) if items else [])
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


def write_diff(old: Store, new: Store, out: Path, formats: Sequence[str] = ("md",)) -> list[Path]:
    """Write what changed from one results folder to another: `diff.md`, `diff.csv`.

    Raises:
        InputError: no format or one that a difference is not written in, a damaged results folder, or `out` is
            a file.
    """
    _check(out, formats, DIFF_FORMATS)
    from kick.reports import diff, frame

    found = diff.difference(old, new)
    out.mkdir(parents=True, exist_ok=True)
    paths = [_write(out / "diff.md", diff.page(found))] if "md" in formats else []
    if "csv" in formats:
        paths.append(_write(out / "diff.csv", frame.csv(diff.tidy(found))))
    return paths


def _check(out: Path, formats: Sequence[str], known: Sequence[str]) -> None:
    if not formats:
        raise InputError(f"no report format is given. Name one or more of: {', '.join(known)}.")
    for name in formats:
        if name not in known:
            raise InputError(f"there is no report format '{name}'. {nearest(name, known)}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder for the report.")


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path
