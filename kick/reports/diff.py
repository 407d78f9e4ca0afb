"""What changed between two results folders, for a release note: the same checkpoint on the same items, then and now."""

from collections.abc import Iterator

import pandas as pd

from kick.comparison.grid import adjusted, attempt, reference_id, suite_checkpoints, task_names
from kick.comparison.paired import compare_pairs
from kick.comparison.pairing import pair, refuse_unlike
from kick.errors import InputError
from kick.reports import text
from kick.reports.formats.markdown import section
from kick.reports.tables.scores import NOTHING, Field, Table, mark, metric, name, number, plain
from kick.store import Store
from kick.types import Comparison, Record, TaskInfo

LEVEL = 0.05  # of the adjusted p that a change is shown at


class Change(Record):
    """One checkpoint on one task in both folders, where an item changed its score."""

    checkpoint: str
    task: TaskInfo
    same_weights: bool
    comparison: Comparison  # the old folder as the reference, the new one as the candidate
    before: Comparison | None  # against the old folder's reference; None for the reference, or if refused
    after: Comparison | None  # against the new folder's reference

    @property
    def verdict(self) -> str:
        """Whether the change is shown, adjusted for all comparisons of the two folders."""
        p = self.comparison.p_holm
        if p is None or p > LEVEL:
            return "no difference shown"
        up = self.comparison.delta.value > 0
        return "better" if up == self.comparison.higher_is_better else "worse"


class Remark(Record):
    """What else a reader of the difference has to know of a checkpoint on a task."""

    checkpoint: str
    task: str
    what: str


class Difference(Record):
    """Two results folders, old and new."""

    old: str
    new: str
    changes: tuple[Change, ...]
    unchanged: int  # checkpoint x task with the same score on every item
    remarks: tuple[Remark, ...]


def difference(old: Store, new: Store) -> Difference:
    """Compare every checkpoint with itself, by its id, on every task that both folders hold.

    Cells are paired item by item under the rules of every other comparison: other requests, dtype, device or
    scoring path are a remark with the reason, and no number.

    Raises:
        InputError: both are one folder, or one is damaged.
    """
    if old.root.resolve() == new.root.resolve():
        raise InputError(f"{old.root} is given twice. Give the old folder, then the new one.")
    labels = _labels(old, new)
    compared: list[tuple[str, TaskInfo, bool, Comparison]] = []
    remarks: list[Remark] = []
    unchanged = 0
    for checkpoint, task in _places(old, new):
        before, after = old.cell(checkpoint, task), new.cell(checkpoint, task)
        if before is None or after is None:
            if before or after:
                remarks.append(
                    Remark(checkpoint=checkpoint, task=task, what="removed" if before else "added")
                )
            continue
        if (before.key, before.items_sha256) == (after.key, after.items_sha256):
            unchanged += 1
            continue
        sides = [
            cell.model_copy(update={"checkpoint": f"{checkpoint} in {label}"})
            for cell, label in zip((before, after), labels, strict=True)
        ]
        try:
            if before.task.metric != after.task.metric:
                raise InputError(f"another metric: {before.task.metric} | {after.task.metric}")
            refuse_unlike(sides[0], sides[1])
            pairs = pair(sides[0], old.items(before), sides[1], new.items(after))
        except InputError as error:
            remarks.append(Remark(checkpoint=checkpoint, task=task, what=f"not compared: {error}"))
            continue
        remarks += [Remark(checkpoint=checkpoint, task=task, what=caveat) for caveat in pairs.caveats]
        if (pairs.sample.a == pairs.sample.b).all():
            unchanged += 1
        else:
            same = before.identity.checkpoint == after.identity.checkpoint
            compared.append((checkpoint, after.task, same, compare_pairs(pairs)))
    corrected = adjusted([comparison for *_, comparison in compared])
    return Difference(
        old=labels[0],
        new=labels[1],
        changes=tuple(
            Change(
                checkpoint=checkpoint,
                task=task,
                same_weights=same,
                comparison=comparison,
                before=_to_reference(old, checkpoint, task.name),
                after=_to_reference(new, checkpoint, task.name),
            )
            for (checkpoint, task, same, _), comparison in zip(compared, corrected, strict=True)
        ),
        unchanged=unchanged,
        remarks=tuple(remarks),
    )


def _labels(old: Store, new: Store) -> tuple[str, str]:
    names = old.root.resolve().name, new.root.resolve().name
    return names if names[0] != names[1] else (str(old.root), str(new.root))


def _places(old: Store, new: Store) -> Iterator[tuple[str, str]]:
    """Every checkpoint on every task of either folder, in the order of the new one."""
    checkpoints = dict.fromkeys(one.id for store in (new, old) for one in suite_checkpoints(store))
    tasks = dict.fromkeys(task for store in (new, old) for task in task_names(store))
    return ((checkpoint, task) for checkpoint in checkpoints for task in tasks)


def _to_reference(store: Store, checkpoint: str, task: str) -> Comparison | None:
    reference = reference_id(store)
    if checkpoint == reference:
        return None
    found = attempt(store, reference, checkpoint, task)
    return found if isinstance(found, Comparison) else None


def page(found: Difference) -> str:
    """The difference as a page of Markdown."""
    better, worse = (sum(change.verdict == word for change in found.changes) for word in ("better", "worse"))
    lead = (
        f"{found.unchanged + len(found.changes)} scores on the same items in both: {better} better, {worse} worse, "
        f"{len(found.changes) - better - worse} with changed items and no difference shown, {found.unchanged} with the "
        "same score on every item."
    )
    parts = [f"# What changed: {text.markdown(found.old)} to {text.markdown(found.new)}", lead]
    return "\n\n".join([*parts, *section(changes(found), 2), *section(remarks(found), 2)]) + "\n"


def changes(found: Difference) -> Table:
    """A row a checkpoint and task, those that are shown to differ first."""
    header = (
        plain("checkpoint"),
        plain("task"),
        number("n"),
        number(found.old),
        number(found.new),
        number("new − old"),
        plain("shown", "p (adjusted)"),
        number("right to wrong"),
        number("wrong to right"),
        plain("left of the reference", "old, new"),
    )
    order = {"worse": 0, "better": 1, "no difference shown": 2}
    rows = tuple(_row(change) for change in sorted(found.changes, key=lambda change: order[change.verdict]))
    note = (
        "Each checkpoint against itself, item by item, with 95 % intervals; p is adjusted for all rows (Holm). "
        "✓, ✗, ?: shown to be within 5 % of its reference, shown not to be, too few items to tell."
    )
    return Table("changes", "Scores that changed", header, rows, note if rows else "None.", sortable=True)


def _row(change: Change) -> tuple[Field, ...]:
    comparison, task = change.comparison, change.task
    flips = comparison.flips
    weights = "the same weights" if change.same_weights else "other weights"
    return (
        name(change.checkpoint, weights),
        name(task.name, metric(task)),
        number(str(comparison.n)),
        number(text.score(comparison.reference_score, task)),
        number(text.score(comparison.candidate_score, task)),
        number(text.delta(comparison.delta, task)),
        plain(change.verdict, text.p_value(comparison.p_holm)),
        number(str(flips.lost) if flips else NOTHING),
        number(str(flips.gained) if flips else NOTHING),
        plain(_left(change.before, task), _left(change.after, task)),
    )


def _left(comparison: Comparison | None, task: TaskInfo) -> str:
    if comparison is None or comparison.ratio is None:
        return NOTHING
    show = text.percent if task.higher_is_better else text.ratio
    return f"{show(comparison.ratio)} {mark(comparison)}".rstrip()


def remarks(found: Difference) -> Table:
    """What was added, removed or not compared, and what differs besides; alike checkpoints in one row."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for remark in found.remarks:
        by_reason.setdefault((remark.task, remark.what), []).append(remark.checkpoint)
    rows = tuple(
        (name(task), plain(", ".join(where)), plain(what)) for (task, what), where in by_reason.items()
    )
    header = (plain("task"), plain("checkpoint"), plain("what happened"))
    return Table("remarks", "Added, removed, not compared", header, rows, "" if rows else "Nothing.")


def tidy(found: Difference) -> pd.DataFrame:
    """One row a change, in the units of the metric, and one a remark."""
    rows: list[dict[str, object]] = [
        {
            "checkpoint": change.checkpoint,
            "task": change.task.name,
            "metric": change.task.metric,
            "n": change.comparison.n,
            "old": change.comparison.reference_score.value,
            "new": change.comparison.candidate_score.value,
            "delta": change.comparison.delta.value,
            "delta_low": change.comparison.delta.low,
            "delta_high": change.comparison.delta.high,
            "p_value": change.comparison.p_value,
            "p_holm": change.comparison.p_holm,
            "same_weights": change.same_weights,
            "what": change.verdict,
        }
        for change in found.changes
    ]
    rows += [{"checkpoint": one.checkpoint, "task": one.task, "what": one.what} for one in found.remarks]
    return pd.DataFrame(rows)
