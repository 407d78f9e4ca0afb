"""Results folders as a leaderboard reads them: from people whom one need not trust, and without a word of this machine.

One folder that cannot be read must not take the board down: whatever reading it raises is the reason why it is refused.
"""

from collections.abc import Sequence

import yaml

from kick.errors import InputError
from kick.reports.findings import Findings
from kick.reports.findings import gather as read_findings
from kick.store import Store
from kick.store.snapshot import Snapshot
from kick.text import model_name, one_line

# What reading a damaged or hostile folder may raise. An error of the machine, such as lack of memory, is none of these.
UNREADABLE = (
    InputError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    yaml.YAMLError,
)


def labelled(stores: Sequence[Store]) -> dict[str, Store]:
    """Return each folder under the shortest end of its path that tells it from the others.

    Raises:
        InputError: No folder is given, or one twice.
    """
    if not stores:
        raise InputError("no results folder is given. Name one or more that `kick run` wrote to.")
    paths = [store.root.resolve() for store in stores]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{path} is given twice. Name each results folder once.")
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    return {"/".join(path.parts[-length:]): store for path, store in zip(paths, stores, strict=True)}


def read(store: Store) -> tuple[Snapshot, Findings]:
    """Return a folder read once, and its findings without the place of models and results on this machine."""
    snapshot = Snapshot(store)
    findings = read_findings(snapshot)
    records = {
        name: record.model_copy(
            update={
                "checkpoint": record.checkpoint.model_copy(
                    update={"model": model_name(record.checkpoint.model)}
                )
            }
        )
        for name, record in findings.records.items()
    }
    entries = {
        task: {
            name: entry.model_copy(update={"problem": without_place(entry.problem, store)})
            if entry.problem
            else entry
            for name, entry in row.items()
        }
        for task, row in findings.entries.items()
    }
    verdicts = tuple(
        verdict.model_copy(
            update={"missing": tuple(without_place(sentence, store) for sentence in verdict.missing)}
        )
        for verdict in findings.verdicts.verdicts
    )
    judged = findings.verdicts.model_copy(update={"verdicts": verdicts})
    return snapshot, findings.model_copy(update={"records": records, "entries": entries, "verdicts": judged})


def without_place(message: object, store: Store) -> str:
    """Return a message without the place of the folder on this machine."""
    return str(message).replace(f"{store.root}/", "").replace(str(store.root), store.root.name)


def why_unreadable(error: Exception, store: Store) -> str:
    """Return one sentence that says why a folder or a checkpoint was refused."""
    message = one_line(without_place(error, store), 300)
    return (
        message if isinstance(error, InputError) else f"it cannot be read: {type(error).__name__}: {message}"
    )
