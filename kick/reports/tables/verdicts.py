"""The verdict on each candidate: the answer of the policy, as `kick gate` gives it."""

from kick.gating import in_words, mark
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import Findings
from kick.types import Verdict

TITLE = "The verdict on each candidate"
# Reasons that are listed for one candidate.
MAX_REASONS = 3


def verdicts(findings: Findings) -> Table:
    """Return one row per candidate: its verdict, the checks that decide it, and what is missing."""
    header = (
        plain("candidate"),
        plain("verdict"),
        plain("what decides it", "loss [bracket]"),
        number("checks that pass"),
        plain("what is missing"),
    )
    rows = tuple(_row(findings.verdict(candidate)) for candidate in findings.checkpoints[1:])
    return Table("verdicts", TITLE, header, rows, note(findings), sortable=True)


def note(findings: Findings) -> str:
    """Return how the verdicts are made, in one paragraph."""
    level = 100 * (1 - 2 * findings.verdicts.alpha)
    return (
        f"By the policy {findings.verdicts.policy}, as kick gate answers. ✓ pass: every loss is shown to be below its "
        "margin. ✗ regression: a loss is shown to be more than is tolerated, corrected for all checks of all "
        "candidates. ? inconclusive: neither is shown, or something is missing. The bracket is the range of losses "
        f"that the tests do not reject ({level:g} %), before that correction; a negative loss is a gain."
    )


def deciding(verdict: Verdict) -> list[str]:
    """Return the checks that decide a verdict, largest loss first: `kick_mmlu: 12 % lost [9.1, 15]`."""
    checks = [check for check in verdict.checks if check.outcome == verdict.outcome != "pass"]
    checks.sort(key=lambda check: -check.loss.value / check.margin)
    lines = [f"{check.name}: {in_words(check)}" for check in checks[:MAX_REASONS]]
    return [*lines, *([f"and {len(checks) - MAX_REASONS} more"] if len(checks) > MAX_REASONS else [])]


def _row(verdict: Verdict) -> tuple[Field, ...]:
    passed = sum(check.outcome == "pass" for check in verdict.checks)
    missing = list(verdict.missing[:MAX_REASONS])
    if len(verdict.missing) > MAX_REASONS:
        missing.append(f"and {len(verdict.missing) - MAX_REASONS} more")
    return (
        name(verdict.candidate),
        plain(f"{mark(verdict)} {verdict.outcome}"),
        plain(*(deciding(verdict) or [NOTHING])),
        number(f"{passed} of {len(verdict.checks)}", sort=passed),
        plain(*(missing or [NOTHING])),
    )
