"""The changes between two results folders, for a release note: each checkpoint on the same items, then and now."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from kick import text
from kick.comparison.grid import PairReader, adjusted, attempt, suite_checkpoints, task_names
from kick.comparison.paired import compare_pairs
from kick.comparison.pairing import pair, refuse_unlike
from kick.errors import InputError
from kick.gating import Policy, mark, verdicts
from kick.reports.blocks import NOTHING, Document, Row, Section, Table, name, number, plain
from kick.reports.tables.scores import metric
from kick.store import Store
from kick.types import Check, Comparison, GateResult, Record, TaskInfo

# A change is shown if its adjusted p is not above this level.
LEVEL = 0.05


class Standing(Record):
    """A checkpoint against the reference of one folder.

    Attributes:
        comparison: The comparison.
        check: The answer of the policy; None: not judged.
    """

    comparison: Comparison
    check: Check | None


class Change(Record):
    """One checkpoint on one task in both folders, with at least one item that changed its score.

    Attributes:
        checkpoint: Its id.
        task: The task.
        same_weights: Whether both folders scored the same weights.
        comparison: The old folder as the reference, the new one as the candidate.
        before: The checkpoint against the old folder's reference; None for the reference itself, or if refused.
        after: The same in the new folder.
    """

    checkpoint: str
    task: TaskInfo
    same_weights: bool
    comparison: Comparison
    before: Standing | None
    after: Standing | None

    @property
    def verdict(self) -> str:
        """The answer of the test, adjusted for all comparisons of the two folders."""
        p = self.comparison.p_holm
        if p is None or p > LEVEL:
            return "no difference shown"
        up = self.comparison.delta.value > 0
        return "better" if up == self.comparison.higher_is_better else "worse"


class Remark(Record):
    """A remark on a checkpoint on a task: added, removed, not compared, or compared with a caveat."""

    checkpoint: str
    task: str
    what: str


class Difference(Record):
    """The difference between two results folders.

    Attributes:
        old: The label of the old folder.
        new: The label of the new folder.
        changes: The scores that changed.
        unchanged: The number of pairs of checkpoint and task with the same score on every item.
        remarks: What else a reader has to know.
    """

    old: str
    new: str
    changes: tuple[Change, ...]
    unchanged: int
    remarks: tuple[Remark, ...]


def difference(old: Store, new: Store, *, policy: Policy | str | Path = "regression") -> Difference:
    """Compare every checkpoint with itself, by its id, on every task that both folders hold.

    Cells are paired item by item under the rules of every other comparison. If requests, dtype, device or scoring
    path differ, there is a remark with the reason and no number.

    Raises:
        InputError: Both are one folder, or one is damaged.
    """
    if old.root.resolve() == new.root.resolve():
        raise InputError(f"{old.root} is given twice. Give the old folder, then the new one.")
    labels = _labels(old, new)
    readers = PairReader(old), PairReader(new)
    judged = [verdicts(store, policy) for store in (old, new)]
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
                before=_to_reference(readers[0], checkpoint, task.name, judged[0]),
                after=_to_reference(readers[1], checkpoint, task.name, judged[1]),
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
    """Return every checkpoint on every task of either folder, in the order of the new one."""
    checkpoints = dict.fromkeys(one.id for store in (new, old) for one in suite_checkpoints(store))
    tasks = dict.fromkeys(task for store in (new, old) for task in task_names(store))
    return ((checkpoint, task) for checkpoint in checkpoints for task in tasks)


def _to_reference(reader: PairReader, checkpoint: str, task: str, judged: GateResult) -> Standing | None:
    if checkpoint == reader.reference:
        return None
    result = attempt(reader, checkpoint, task)
    if not isinstance(result, Comparison):
        return None
    verdict = judged.verdict(checkpoint)
    check = verdict.check(task) if verdict else None
    return Standing(comparison=result, check=check if check and check.metric == result.metric else None)


def document(difference: Difference) -> Document:
    """Return the difference as a document."""
    verdicts = [change.verdict for change in difference.changes]
    better, worse = verdicts.count("better"), verdicts.count("worse")
    lead = (
        f"{difference.unchanged + len(verdicts)} scores on the same items in both: {better} better, {worse} worse, "
        f"{len(verdicts) - better - worse} with changed items and no difference shown, {difference.unchanged} with "
        "the same score on every item."
    )
    return Document(
        title=f"What changed: {difference.old} to {difference.new}",
        lead=lead,
        sections=tuple(
            Section(table.label, table.title, blocks=(table,))
            for table in (changes(difference), remarks(difference))
        ),
    )


def changes(difference: Difference) -> Table:
    """Return one row per checkpoint and task, those that are shown to differ first."""
    header = (
        plain("checkpoint"),
        plain("task"),
        number("n"),
        number(difference.old),
        number(difference.new),
        number("new − old"),
        plain("shown", "p (adjusted)"),
        number("right to wrong"),
        number("wrong to right"),
        plain("left of the reference", "old, new"),
    )
    order = {"worse": 0, "better": 1, "no difference shown": 2}
    rows = tuple(
        _row(change) for change in sorted(difference.changes, key=lambda change: order[change.verdict])
    )
    note = (
        "Each checkpoint against itself, item by item, with 95 % intervals; p is adjusted for all rows (Holm). "
        "✓, ✗, ?: the verdict of each folder's own gate: pass, regression, too few items to tell."
    )
    return Table("changes", "Scores that changed", header, rows, note if rows else "None.", sortable=True)


def _row(change: Change) -> Row:
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


def _left(standing: Standing | None, task: TaskInfo) -> str:
    if standing is None or standing.comparison.ratio is None:
        return NOTHING
    show = text.percent if task.higher_is_better else text.ratio
    return f"{show(standing.comparison.ratio)} {mark(standing.check)}".rstrip()


def remarks(difference: Difference) -> Table:
    """Return what was added, removed or not compared; checkpoints with the same remark share a row."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for remark in difference.remarks:
        by_reason.setdefault((remark.task, remark.what), []).append(remark.checkpoint)
    rows = tuple(
        (name(task), plain(", ".join(checkpoints)), plain(what))
        for (task, what), checkpoints in by_reason.items()
    )
    header = (plain("task"), plain("checkpoint"), plain("what happened"))
    return Table("remarks", "Added, removed, not compared", header, rows, "" if rows else "Nothing.")


def tidy(difference: Difference) -> pd.DataFrame:
    """Return one row per change, in the units of the metric, and one row per remark."""
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
        for change in difference.changes
    ]
    rows += [{"checkpoint": one.checkpoint, "task": one.task, "what": one.what} for one in difference.remarks]
    return pd.DataFrame(rows)
