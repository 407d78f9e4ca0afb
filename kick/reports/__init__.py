"""Reports: what a results folder says, as a page with tables and curves.

`write` is the door. `findings` gathers the content once, `document` puts it in order, and each format in `formats`
renders it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kick.errors import InputError, nearest
from kick.store import Store

if TYPE_CHECKING:
    from kick.reports.findings import Findings

FORMATS = ("md", "html", "latex", "csv", "parquet", "model-card")
DIFF_FORMATS = ("md", "csv")
# The files of a figure beside a page; a web page carries its own.
_FIGURES = {"md": ("png", "svg"), "latex": ("pdf",)}


def write(
    store: Store | Sequence[Store],
    out: Path,
    formats: Sequence[str] = ("md",),
    *,
    published: bool = False,
    policy: str | Path = "regression",
) -> list[Path]:
    """Write a report of a results folder, or of several as one.

    Args:
        store: The results; with several folders, each candidate is compared with the reference of its own.
        out: The folder to write to; made if missing. Files of an earlier report there are replaced.
        formats: One or more of `FORMATS`.
        published: Whether to lay the values that others published for the same methods over the curves.
        policy: The policy of every verdict: a file, or the name of a packaged one.

    Returns:
        The files written, pages before figures.

    Raises:
        InputError: No format or an unknown one, a damaged results folder, several that cannot share one table, a
            policy that is not valid, or `out` cannot be written to.
    """
    return write_findings(store, out, formats, published=published, policy=policy)[1]


def write_findings(
    store: Store | Sequence[Store],
    out: Path,
    formats: Sequence[str],
    *,
    published: bool = False,
    policy: str | Path = "regression",
) -> tuple["Findings", list[Path]]:
    """Write a report as `write` does, and return the findings in it with the files, for whoever tells them again."""
    _check(formats, FORMATS)
    from kick.reports import explorer, frame
    from kick.reports.document import document
    from kick.reports.figures import style
    from kick.reports.figures.gallery import draw
    from kick.reports.findings import gather
    from kick.reports.formats import html, latex, markdown, model_card
    from kick.reports.merge import merge
    from kick.reports.output import OutputFolder, file_name
    from kick.reports.published import read
    from kick.store.snapshot import Snapshot

    folder = OutputFolder(out, "the report")
    stores = [Snapshot(one) for one in ([store] if isinstance(store, Store) else store)]
    items = explorer.Explorer(stores[0].comparisons()) if len(stores) == 1 and "html" in formats else None
    parts = [gather(one, items.see if items else None, policy=policy) for one in stores]
    findings = (
        parts[0] if len(parts) == 1 else merge([(s.root, f) for s, f in zip(stores, parts, strict=True)])
    )
    content = document(findings)
    figures = {}
    if {"md", "html", "latex"} & set(formats):
        figures = draw(findings, read() if published else [])
    paths = {name: f"figures/{file_name(name)}" for name in figures}
    kinds = [kind for name in formats for kind in _FIGURES.get(name, ())]
    pictures = [
        folder.write(f"{paths[name]}.{kind}", style.render(figure, kind))
        for name, figure in figures.items()
        for kind in kinds
    ]
    pages: list[Path] = []
    if "md" in formats:
        pages.append(folder.write("report.md", markdown.page(content, paths)))
    if "html" in formats:
        drawn = {name: style.svg(figure) for name, figure in figures.items()}
        packs = items.packs(findings) if items else []
        pages.append(folder.write("report.html", html.page(content, drawn, packs)))
    if "latex" in formats:
        pages.append(folder.write("report.tex", latex.page(content, paths)))
    if "csv" in formats:
        pages.append(folder.write("report.csv", frame.csv(frame.tidy(findings))))
    if "parquet" in formats:
        pages.append(folder.write("report.parquet", frame.parquet(frame.tidy(findings))))
    if "model-card" in formats:
        for candidate in findings.checkpoints[1:]:
            card = model_card.card(findings, candidate)
            pages.append(folder.write(f"model-cards/{file_name(candidate)}.md", card))
    return findings, [*pages, *pictures]


def write_diff(
    old: Store,
    new: Store,
    out: Path,
    formats: Sequence[str] = ("md",),
    *,
    policy: str | Path = "regression",
) -> list[Path]:
    """Write what changed from one results folder to another: `diff.md`, `diff.csv`.

    Raises:
        InputError: No format or one that a difference is not written in, a damaged results folder, or `out` cannot be
            written to.
    """
    _check(formats, DIFF_FORMATS)
    from kick.reports import diff, frame
    from kick.reports.formats import markdown
    from kick.reports.output import OutputFolder

    folder = OutputFolder(out, "the report")
    difference = diff.difference(old, new, policy=policy)
    paths = []
    if "md" in formats:
        paths.append(folder.write("diff.md", markdown.page(diff.document(difference), {})))
    if "csv" in formats:
        paths.append(folder.write("diff.csv", frame.csv(diff.tidy(difference))))
    return paths


def _check(formats: Sequence[str], known: Sequence[str]) -> None:
    if not formats:
        raise InputError(f"no report format is given. Name one or more of: {', '.join(known)}.")
    for name in formats:
        if name not in known:
            raise InputError(f"there is no report format '{name}'. {nearest(name, known)}")
