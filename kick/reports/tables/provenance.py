"""The origin of the numbers of a report: weights, plans, software, dates, and how intervals were made."""

import re
from collections.abc import Iterable, Sequence

from kick import text
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import Findings
from kick.types import Cell, CellIdentity

_GROUPS = re.compile(r", \d+ groups$")


def checkpoints(findings: Findings) -> Table:
    """Return the model, weights and tokenizer of each checkpoint."""
    header = (
        plain("checkpoint"),
        plain("model"),
        plain("dtype"),
        plain("weights"),
        plain("tokenizer"),
        number("seconds"),
        plain("finished (UTC)"),
    )
    rows = []
    for checkpoint in findings.checkpoints:
        record = findings.records.get(checkpoint)
        cells = [cell for cell in findings.cells() if cell.checkpoint == checkpoint]
        if record is None:
            rows.append((name(checkpoint), plain("not run"), *[plain(NOTHING)] * 5))
            continue
        revision = f" at {record.checkpoint.revision}" if record.checkpoint.revision else ""
        rows.append(
            (
                name(checkpoint),
                plain(f"{text.model_name(record.checkpoint.model)}{revision}"),
                plain(_each(cell.identity.dtype for cell in cells)),
                name(record.fingerprint[:16]),
                name(record.tokenizer_fingerprint[:16]),
                _seconds(cells),
                plain(max((cell.finished[:16].replace("T", " ") for cell in cells), default=NOTHING)),
            )
        )
    return Table(
        "provenance-checkpoints", "Checkpoints: where they come from", header, tuple(rows), sortable=True
    )


def tasks(findings: Findings) -> Table:
    """Return the plan of each task; if checkpoints were scored on different ones, all of them."""
    header = (
        plain("task"),
        plain("version"),
        number("shots"),
        number("limit"),
        number("seed"),
        plain("plan"),
        plain("documents"),
        plain("scoring"),
        number("seconds, all checkpoints"),
    )
    rows = []
    for task in findings.tasks:
        cells = [entry.cell for entry in findings.entries[task.name].values() if entry.cell]
        if not cells:
            rows.append((name(task.name), plain("not run"), *[plain(NOTHING)] * 7))
            continue
        plans = [cell.identity.plan for cell in cells]
        rows.append(
            (
                name(task.name),
                plain(task.version),
                number(_each(plan.shots for plan in plans)),
                number(_each("all" if plan.limit is None else plan.limit for plan in plans)),
                number(_each(plan.seed for plan in plans)),
                name(_each(plan.hash[:16] for plan in plans)),
                name(_each(plan.documents[:16] for plan in plans)),
                plain(_each(_scoring(cell.identity) for cell in cells)),
                _seconds(cells),
            )
        )
    return Table("provenance-tasks", "Tasks: what was scored", header, tuple(rows), sortable=True)


def versions(cells: Sequence[Cell]) -> str:
    """Return the software behind the scores as `kick 0.1.0, lm_eval 0.4.13`; if versions differ, all of them."""
    seen: dict[str, list[str]] = {}
    for cell in cells:
        for package, version in cell.identity.versions.items():
            if version not in seen.setdefault(package, []):
                seen[package].append(version)
    return ", ".join(
        f"{package} {' and '.join(sorted(several))}" for package, several in sorted(seen.items())
    )


def interval_methods(findings: Findings) -> list[str]:
    """Return how the intervals were made, each way once."""
    methods: dict[str, dict[str, None]] = {}
    for row in findings.entries.values():
        for entry in row.values():
            compared = entry.comparison
            estimates = [("score", entry.score)]
            if compared:
                estimates += [
                    ("delta", compared.delta),
                    ("recovery or ratio", compared.ratio),
                    ("knowledge loss", compared.knowledge_loss),
                ]
            for label, estimate in estimates:
                if estimate:
                    methods.setdefault(label, {})[_GROUPS.sub(", by group", estimate.method)] = None
            if compared and compared.test:
                methods.setdefault("p", {})[compared.test] = None
    return [f"{label}: {'; '.join(names)}" for label, names in methods.items()]


def _scoring(identity: CellIdentity) -> str:
    """Return how items were scored: `tree/8192x16, sdpa on cpu`."""
    return f"{identity.tier}, {identity.attention} on {identity.device}"


def _seconds(cells: Sequence[Cell]) -> Field:
    total = sum(cell.seconds for cell in cells)
    return number(text.duration(total), sort=total)


def _each(values: Iterable[object]) -> str:
    """Return the different values, joined: one if all agree."""
    return ", ".join(dict.fromkeys(str(value) for value in values)) or NOTHING
