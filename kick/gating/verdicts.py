"""A verdict as CI reads it: JUnit XML for the test view, Markdown for the step summary."""

from xml.etree import ElementTree

from kick.types import Check, GateResult, Verdict

HEADING = {"pass": "Pass", "regression": "Regression", "inconclusive": "Inconclusive"}


def junit_xml(result: GateResult) -> str:
    """One test suite a candidate, one test case a check: a regression is a failure, inconclusive an error.

    Both make a test view red, as the exit code makes the step.
    """
    root = ElementTree.Element("testsuites", name=f"kick gate: {result.policy}")
    for verdict in result.verdicts:
        counts = {name: _count(verdict, name) for name in HEADING}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=verdict.candidate,
            tests=str(len(verdict.checks)),
            failures=str(counts["regression"]),
            errors=str(counts["inconclusive"]),
        )
        for check in verdict.checks:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{verdict.candidate}.{check.kind}", name=check.name
            )
            if check.outcome != "pass":
                tag = "failure" if check.outcome == "regression" else "error"
                note = ElementTree.SubElement(case, tag, type=check.outcome, message=check.reason)
                note.text = describe(check)
            else:
                ElementTree.SubElement(case, "system-out").text = describe(check)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(result: GateResult) -> str:
    """The verdict as a GitHub step summary: a heading with the outcome, one table a candidate."""
    lines = [f"## kick gate: {HEADING[result.outcome]}", ""]
    lines += [f"Policy `{_cell(result.policy)}`, reference `{_cell(result.reference)}`.", ""]
    for verdict in result.verdicts:
        lines += [f"### {_cell(verdict.candidate)}: {HEADING[verdict.outcome]}", ""]
        lines += [
            "| check | reference | candidate | change (95 %) | lost / gained | n | noise floor | verdict |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for check in verdict.checks:
            lines.append("| " + " | ".join(_cell(text) for text in columns(check)) + " |")
        lines.append("")
    return "\n".join(lines)


def columns(check: Check) -> list[str]:
    """A check as a row of a table; the same words wherever a verdict is shown."""
    reference, delta, flips, noise = check.reference_score, check.delta, check.flips, check.noise_floor
    return [
        f"{check.name} ({check.metric})",
        f"{reference.value:.4g}" if reference else "",
        f"{check.candidate_score.value:.4g}",
        f"{delta.value:+.4g} [{delta.low:+.4g}, {delta.high:+.4g}]" if delta else "",
        f"{flips.lost} / {flips.gained}" if flips else "",
        f"{check.candidate_score.n:,}",
        f"{noise.delta.value:+.4g}" if noise else "not measured",
        f"{check.outcome}: {check.reason}",
    ]


def describe(check: Check) -> str:
    """A check as lines of text."""
    names = (
        "check",
        "reference",
        "candidate",
        "change (95 %)",
        "lost / gained",
        "n",
        "noise floor",
        "verdict",
    )
    pairs = [(name, text) for name, text in zip(names, columns(check), strict=True) if text]
    pairs += [("p of a loss beyond the limit", f"{check.p_within:.3g}")]
    pairs += [("p of no loss, corrected", f"{check.p_loss:.3g}")]
    return "\n".join(f"{name}: {text}" for name, text in pairs)


def _count(verdict: Verdict, outcome: str) -> int:
    return sum(check.outcome == outcome for check in verdict.checks)


def _cell(text: str) -> str:
    """Text that neither ends a table cell nor is taken for markup."""
    for character in "\\|`*_<[]":
        text = text.replace(character, "\\" + character) if character != "<" else text.replace("<", "&lt;")
    return " ".join(text.split())
