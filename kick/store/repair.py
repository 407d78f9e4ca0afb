"""Move the broken parts of a results folder aside, so the next run makes them again; nothing is deleted."""

import os
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from kick.errors import InputError
from kick.files import sync
from kick.store.journal import read_journal
from kick.store.layout import BROKEN, JOURNAL_NAME
from kick.store.store import Store, refuse_links
from kick.store.verification import Finding, inspect
from kick.types import Record


class Moved(Record):
    """A file or folder that was moved aside."""

    # Its old and its new path, relative to the results folder.
    path: str
    to: str
    problem: str
    next_run: str


def repair(store: Store) -> list[Moved]:
    """Move what is broken into `broken/<time>/`, under the path that it had.

    The lines of a journal in front of its first broken one stay where they are.

    Raises:
        InputError: another run is scoring one of the checkpoints, or a folder in the results is a link.
    """
    refuse_links(store.root)
    with ExitStack() as locks:
        for checkpoint in _checkpoints(store):
            locks.enter_context(store.lock(checkpoint))
        aside = store.root / BROKEN / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        findings = [finding for finding in inspect(store) if finding.kind == "broken"]
        return [
            _move(store.root, finding, aside) for finding in findings if (store.root / finding.path).exists()
        ]


def _checkpoints(store: Store) -> list[str]:
    """Return the ids that anything in the folder belongs to; ids that cannot be locked are not a run's."""
    records = {path.name.removesuffix(".json") for path in (store.root / "checkpoints").glob("*.json")}
    cells = {folder.parts[-3] for folder in store.cell_folders()}
    names = []
    for name in sorted(records | cells):
        try:
            store.checkpoint_path(name)
        except InputError:
            continue
        names.append(name)
    return names


def _move(root: Path, finding: Finding, aside: Path) -> Moved:
    source, target = root / finding.path, aside / finding.path
    target.parent.mkdir(parents=True, exist_ok=True)
    journal = JOURNAL_NAME.fullmatch(source.name) if source.parent == root / "journal" else None
    if journal is not None and source.is_file():
        shutil.copy2(source, target)
        sync(target)
        os.truncate(source, read_journal(source, journal["key"]).whole)
    else:
        source.rename(target)
        sync(source.parent)
    sync(target.parent)
    return Moved(
        path=finding.path,
        to=target.relative_to(root).as_posix(),
        problem=finding.problem,
        next_run=finding.next_run,
    )
