"""A verdict as CI reads it: JUnit XML for the test view, Markdown for the step summary, lines of text for a log."""

from xml.etree import ElementTree

from kick.gating.early_warning import warning_in_words
from kick.gating.rule import MARKS
from kick.gating.wording import in_words
from kick.printable import printable
from kick.types import Check, GateResult, Verdict

HEADING = {"pass": "Pass", "regression": "Regression", "inconclusive": "Inconclusive"}
# The advice beside a command that scores more, where the verdict is one of fixed-sample tests.
ONE_LOOK = (
    "The levels of this gate hold for one look. A folder that grows is judged by `kick gate --sequential`, at this "
    "look and at every later one."
)
COLUMNS = ("check", "reference", "candidate", "change (95 %)", "lost / gained", "n", "noise floor", "verdict")


def junit_xml(result: GateResult) -> str:
    """Return one test suite per candidate with one test case per check.

    A regression is a failure, inconclusive an error. Both make a test view red, as the exit code makes the step.
    """
    root = ElementTree.Element("testsuites", name=printable(f"kick gate: {result.policy}"))
    for verdict in result.verdicts:
        counts = {name: _count(verdict, name) for name in HEADING}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=printable(verdict.candidate),
            tests=str(len(verdict.checks)),
            failures=str(counts["regression"]),
            errors=str(counts["inconclusive"]),
        )
        for check in verdict.checks:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=printable(f"{verdict.candidate}.{check.kind}"),
                name=printable(check.name),
            )
            if check.outcome != "pass":
                tag = "failure" if check.outcome == "regression" else "error"
                note = ElementTree.SubElement(case, tag, type=check.outcome, message=printable(check.reason))
                note.text = printable(describe(check))
            else:
                ElementTree.SubElement(case, "system-out").text = printable(describe(check))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(result: GateResult) -> str:
    """Return a GitHub step summary: a heading with the outcome, a line per candidate, then one table per candidate."""
    lines = [f"## kick gate: {HEADING[result.outcome]}", ""]
    lines += [f"Policy `{_cell(result.policy)}`, reference `{_cell(result.reference)}`.", ""]
    lines += [f"- {_cell(summary_line(verdict))}" for verdict in result.verdicts]
    if result.next_command:
        lines += ["", f"To decide: `{result.next_command}`"]
        if not result.sequential:
            lines += ["", ONE_LOOK]
    lines.append("")
    for verdict in result.verdicts:
        lines += [f"### {_cell(verdict.candidate)}: {HEADING[verdict.outcome]}", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |"]
        lines += ["|" + "---|" * len(COLUMNS)]
        for check in verdict.checks:
            lines.append("| " + " | ".join(_cell(text) for text in columns(check)) + " |")
        warned = [(check.name, text) for check in verdict.checks if (text := warning_in_words(check))]
        lines += ["", *(f"- {_cell(name)}: {_cell(text)}" for name, text in warned)] if warned else []
        lines.append("")
    if remarks := caveats(result):
        lines += ["Notes:", "", *(f"- {_cell(remark)}" for remark in remarks), ""]
    return "\n".join(lines)


def summary_line(verdict: Verdict) -> str:
    """Return a verdict as one line: `✗ rtn-3: regression; kick_mmlu 12 % lost [9.1, 15]; 3 of 5 checks pass`."""
    if verdict.identical:
        return (
            f"{MARKS['pass']} {verdict.candidate}: pass; its weights and tokenizer are those of the reference"
        )
    passed = _count(verdict, "pass")
    parts = [f"{MARKS[verdict.outcome]} {verdict.candidate}: {verdict.outcome}"]
    decisive = [check for check in verdict.checks if check.outcome == verdict.outcome != "pass"]
    if decisive:
        check = max(decisive, key=lambda one: one.loss.value / one.margin)
        further = f" and {len(decisive) - 1} more" if len(decisive) > 1 else ""
        parts.append(f"{check.name} {in_words(check)}{further}")
    if verdict.missing:
        parts.append(f"{len(verdict.missing)} missing")
    if verdict.unscored:
        parts.append(f"{len(verdict.unscored)} tasks not scored yet")
    if warned := [check.name for check in verdict.checks if warning_in_words(check)]:
        parts.append(f"early warning on {', '.join(warned)}")
    parts.append(f"{passed} of {len(verdict.checks)} checks pass")
    return "; ".join(parts)


def columns(check: Check) -> list[str]:
    """Return a check as a row of a table; the same words wherever a verdict is shown."""
    reference, delta, flips, noise = check.reference_score, check.delta, check.flips, check.noise_floor
    return [
        f"{check.name} ({check.metric})",
        f"{reference.value:.4g}" if reference else "",
        f"{check.candidate_score.value:.4g}",
        f"{delta.value:+.4g} [{delta.low:+.4g}, {delta.high:+.4g}]" if delta else "",
        f"{flips.lost} / {flips.gained}" if flips else "",
        f"{check.candidate_score.n:,}",
        f"{noise.delta.value:+.4g}" if noise else "not measured",
        f"{MARKS[check.outcome]} {check.outcome}: {check.reason}",
    ]


def numbers(check: Check) -> str:
    """Return a check as one line: `✗ kick_squad (f1): 11 % lost [8, 13]; 0.73 -> 0.652; n = 400; noise floor 0`."""
    reference, flips, noise = check.reference_score, check.flips, check.noise_floor
    before = f"{reference.value:.4g} -> " if reference else ""
    parts = [
        f"{MARKS[check.outcome]} {check.name} ({check.metric}): {in_words(check)}",
        f"{before}{check.candidate_score.value:.4g}",
        f"{flips.lost} lost / {flips.gained} gained" if flips else "",
        f"n = {check.candidate_score.n:,}",
        f"noise floor {noise.delta.value:+.4g}" if noise else "noise floor not measured",
    ]
    return "; ".join(part for part in parts if part)


def caveats(result: GateResult) -> list[str]:
    """Return each caveat of the checks once, after the names of the checks that it holds for."""
    names: dict[str, dict[str, None]] = {}
    for verdict in result.verdicts:
        for check in verdict.checks:
            for caveat in check.caveats:
                names.setdefault(caveat, {})[check.name] = None
    return [f"{', '.join(checks)}: {caveat}" for caveat, checks in names.items()]


def describe(check: Check) -> str:
    """Return a check as lines of text."""
    pairs = [(name, text) for name, text in zip(COLUMNS, columns(check), strict=True) if text]
    pairs += [("loss with the bracket of the tests", in_words(check))]
    pairs += [("p of a loss of the margin or more", f"{check.p_within:.3g}")]
    pairs += [("p of no more than the tolerated loss, corrected", f"{check.p_loss:.3g}")]
    warning = warning_in_words(check)
    lines = [f"{name}: {text}" for name, text in pairs]
    return "\n".join([*lines, *([warning] if warning else []), *check.caveats])


def _count(verdict: Verdict, outcome: str) -> int:
    return sum(check.outcome == outcome for check in verdict.checks)


def _cell(text: str) -> str:
    """Return text that neither ends a table cell nor is taken for markup."""
    text = printable(text)
    for character in "\\|`*_<[]":
        text = text.replace(character, "\\" + character) if character != "<" else text.replace("<", "&lt;")
    return " ".join(text.split())
