"""The tables of a leaderboard, for the whole board and for one entry."""

from kick import text
from kick.comparison.ranking import Standing
from kick.gating import mark
from kick.gating.rule import Judged
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import Findings
from kick.reports.leaderboard.records import OVERALL, Board, BoardEntry
from kick.reports.tables.scores import above_floor, metric, relative, verdict
from kick.types import TaskInfo


def family_name(family: str) -> str:
    """Return `factoid QA` for `factoid_qa`."""
    return family.replace("_", " ").replace(" qa", " QA")


def ranks(standing: Standing) -> str:
    """Return `2`, or `1–3` if the items cannot tell."""
    return str(standing.best) if standing.best == standing.worst else f"{standing.best}–{standing.worst}"


def standings(board: Board) -> Table:
    """Return one row per entry, best first: what it is, its rank, what it keeps, and its perplexity."""
    header = (
        plain("checkpoint", "(made from, by)"),
        number("rank"),
        number("knowledge kept", "(mean of the families)"),
        number("bits", "(whole model)"),
        number("stored weights"),
        *(number(family_name(family), _tasks(tasks)) for family, tasks in board.families.items()),
        *(number(task.name, "ratio") for task in unranked_tasks(board)),
    )
    rows = tuple(_row(board, entry) for entry in board.entries)
    note = (
        "Rank: 1–3 means that the items cannot tell which of the ranks 1 to 3 is right. In each field: what is kept "
        "of the base model's score [95 % interval], with the mark of the verdict of kick gate. ✓ pass: the loss "
        "is shown to be below the margin; ✗ regression: it is shown to be more than is tolerated; ?: neither is shown. "
        "The mark of an entry is the worst of all its checks, that of a family the worst of its tasks."
    )
    return Table("board", "Leaderboard", header, rows, note, sortable=True)


def unranked_tasks(board: Board) -> list[TaskInfo]:
    """Return the tasks that no rank is based on: perplexities."""
    ranked = {task for tasks in board.families.values() for task in tasks}
    return [task for task in board.tasks if task.name not in ranked]


def _tasks(tasks: tuple[str, ...]) -> str:
    return tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks"


def _row(board: Board, entry: BoardEntry) -> tuple[Field, ...]:
    measured = entry.record.description
    overall = entry.standings.get(OVERALL)
    missing = text.count(len(entry.missing), "task")
    bits = [] if entry.bits is None else [f"{entry.bits:.3g}"]
    stored = [f"({measured.bits_per_weight:.2f})"] if measured else []
    return (
        name(
            entry.checkpoint,
            entry.base,
            entry.made_by,
            *entry.record.loading,
            *(f"simulated: {what}" for what in entry.record.simulated),
        ),
        number(ranks(overall), sort=overall.best + overall.worst / 1e6)
        if overall
        else number(NOTHING, "incomplete"),
        _kept(overall, entry, "")
        if overall
        else number(f"{NOTHING} {mark(entry)}", f"{missing} missing", outcome=entry.outcome),
        number(*bits, *stored, sort=entry.bits) if bits else number(NOTHING),
        number(text.bytes_(measured.bytes_on_disk), sort=measured.bytes_on_disk)
        if measured
        else number(NOTHING),
        *(_family(board, entry, family) for family in board.families),
        *(_ratio(entry, task) for task in unranked_tasks(board)),
    )


def _family(board: Board, entry: BoardEntry, family: str) -> Field:
    standing = entry.standings.get(family)
    if standing:
        return _kept(standing, entry.verdict.family(family), f", rank {ranks(standing)}")
    lacking = any(task in entry.missing for task in board.families[family])
    return number(NOTHING, "not scored" if lacking else "base not above the floor")


def _kept(standing: Standing, judged: Judged | None, more: str) -> Field:
    return number(
        f"{text.percent(standing.kept)} {mark(judged)}".rstrip(),
        f"n = {standing.kept.n}{more}",
        sort=standing.kept.value,
        outcome=judged.outcome if judged else None,
    )


def _ratio(entry: BoardEntry, task: TaskInfo) -> Field:
    comparison = entry.comparisons.get(task.name)
    if comparison is None or comparison.ratio is None:
        return number(NOTHING, "not scored")
    check = entry.verdict.check(task.name)
    return number(
        f"{text.ratio(comparison.ratio)} {mark(check)}".rstrip(),
        f"n = {comparison.n}",
        sort=comparison.ratio.value,
        outcome=check.outcome if check else None,
    )


def incomplete(board: Board) -> Table:
    """Return the entries that have no overall rank, and what they lack."""
    header = (
        plain("checkpoint", "(made from)"),
        plain("results folder"),
        plain("task"),
        plain("why it is missing"),
    )
    rows = [
        (name(entry.checkpoint, entry.base), plain(entry.folder), plain(task), plain(why))
        for entry in board.incomplete
        for task, why in (entry.missing or {NOTHING: "its base model is above the floor on no task"}).items()
    ]
    return Table("incomplete", "Incomplete: no overall rank", header, tuple(rows), sortable=True)


def refused(board: Board) -> Table:
    """Return what is not on the board, and why."""
    header = (plain("checkpoint"), plain("results folder"), plain("why it is not on the board"))
    rows = [
        (name(one.who) if one.checkpoints else plain(one.who), plain(one.folder), plain(one.reason))
        for one in board.refused
    ]
    note = "" if rows else "Nothing: every stored cell is what was written, and all share one plan per task."
    return Table("refused", "Refused", header, tuple(rows), note, sortable=True)


def bases(board: Board) -> Table:
    """Return the references and their scores: what 100 % means."""
    header = (
        plain("base model"),
        plain("results folder"),
        plain("its files"),
        number("entries"),
        number("stored weights"),
        *(number(task.name, metric(task)) for task in board.tasks),
    )
    rows = []
    for base in board.bases:
        findings = board.findings[base.folder]
        record = findings.records.get(base.checkpoint)
        measured = record.description if record else None
        rows.append(
            (
                name(base.name),
                plain(base.folder),
                plain(board.origins[base.folder].kind, f"({board.origins[base.folder].note})"),
                number(str(base.entries), sort=base.entries),
                number(text.bytes_(measured.bytes_on_disk), sort=measured.bytes_on_disk)
                if measured
                else number(NOTHING),
                *(
                    _base_score(findings, task, base.checkpoint, task.name in base.unknown)
                    for task in board.tasks
                ),
            )
        )
    note = (
        "A task on which a base model is not shown to be above its floor, or above chance where no floor was measured, "
        "does not count for what is made from it. Files of a results folder are signed if a key that the keeper of the "
        "board trusts signed the list of them, checksummed if they are those of such a list, and unknown otherwise."
    )
    return Table("bases", "Base models: what 100 % means", header, tuple(rows), note, sortable=True)


def _base_score(findings: Findings, task: TaskInfo, checkpoint: str, unknown: bool) -> Field:
    entry = findings.entries[task.name][checkpoint] if task.name in findings.entries else None
    if entry is None or entry.score is None:
        return number(NOTHING, "not scored")
    lines = [text.score(entry.score, task), f"n = {entry.score.n}"]
    return number(*lines, *(["does not count"] if unknown else []), sort=entry.score.value)


def plans(board: Board) -> Table:
    """Return the plan that every entry was scored on."""
    header = (
        plain("task"),
        plain("family"),
        plain("metric"),
        number("items"),
        number("shots"),
        number("seed"),
        plain("documents"),
        plain("task configuration"),
    )
    rows = []
    for task in board.tasks:
        plan = board.plan_cells[task.name].identity.plan
        numbers = [number(str(value), sort=value) for value in (plan.items, plan.shots, plan.seed)]
        hashes = [name(value[:16]) for value in (plan.documents, plan.task_config)]
        rows.append(
            (name(task.name), plain(family_name(task.family)), plain(metric(task)), *numbers, *hashes)
        )
    note = "An entry that was scored on another plan is refused."
    return Table("plans", "What was scored", header, tuple(rows), note, sortable=True)


def families(board: Board, entry: BoardEntry) -> Table:
    """Return the ranks of an entry, overall and in each family."""
    header = (plain("family"), number("knowledge kept"), number("rank"), number("of"), plain("tasks"))
    rows = []
    for column in (OVERALL, *board.families):
        standing = entry.standings.get(column)
        tasks = ", ".join(board.families.get(column, ())) or "the mean of the families"
        if standing is None:
            rows.append((plain(family_name(column)), *[number(NOTHING)] * 3, plain(tasks)))
            continue
        place, ranked = (
            number(ranks(standing), sort=standing.best),
            number(str(standing.of), sort=standing.of),
        )
        judged = entry if column == OVERALL else entry.verdict.family(column)
        rows.append((plain(family_name(column)), _kept(standing, judged, ""), place, ranked, plain(tasks)))
    return Table("families", "Rank", header, tuple(rows), sortable=True)


def results(entry: BoardEntry, findings: Findings) -> Table:
    """Return the tasks of one entry against its reference."""
    header = (
        plain("task"),
        number("n"),
        number(entry.base),
        number(entry.checkpoint),
        number("kept"),
        number("right to wrong"),
        number("wrong to right"),
        number("knowledge loss"),
        number("noise floor"),
        number("p", "(adjusted)"),
    )
    rows = tuple(_result(entry, findings, task) for task in findings.tasks if task.metric)
    note = (
        "Scores with 95 % intervals; what is kept is the recovery, below it that above the floor, for perplexity the "
        "ratio. p: the probability of "
        "such a difference if there were none, and adjusted for all the comparisons of its results folder (Holm)."
    )
    return Table("results", "Task by task", header, rows, note, sortable=True)


def _result(entry: BoardEntry, findings: Findings, task: TaskInfo) -> tuple[Field, ...]:
    mine, base = findings.entry(task, entry.checkpoint), findings.entry(task, entry.reference)
    compared = mine.comparison
    head = (name(task.name, metric(task)),)
    scores = [
        number(
            text.score(one.score, task),
            *([one.no_knowledge] if one.no_knowledge else []),
            sort=one.score.value,
        )
        if one.score
        else number(NOTHING)
        for one in (base, mine)
    ]
    if compared is None:
        why = number(NOTHING, entry.missing.get(task.name, "not compared"))
        return (*head, number(NOTHING), *scores, why, *[number(NOTHING)] * 5)
    flips, loss, floor = compared.flips, compared.knowledge_loss, compared.noise_floor
    return (
        *head,
        number(str(compared.n), sort=compared.n),
        *scores,
        number(
            relative(mine, task).removeprefix("recovery ").removeprefix("ratio "),
            *above_floor(mine),
            *verdict(mine),
            sort=compared.kept.value if compared.kept else None,
            outcome=mine.outcome,
        ),
        number(str(flips.lost), sort=flips.lost) if flips else number(NOTHING),
        number(str(flips.gained), sort=flips.gained) if flips else number(NOTHING),
        number(text.percent(loss), f"n = {loss.n}", sort=loss.value) if loss else number(NOTHING),
        number(text.delta(floor.delta, task)) if floor else number("not measured"),
        number(text.p_value(compared.p_value), f"({text.p_value(compared.p_holm)})", sort=compared.p_value),
    )
