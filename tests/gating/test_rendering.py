from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from kick.gating import gate
from kick.gating.rendering import junit_xml, markdown
from kick.types import GateResult
from tests.results import binary_task, make_results, write_pair

DAMAGE = {"dense": 0.0, "rtn-8": 0.0, "rtn-3": 0.4}


def judged(path: Path) -> GateResult:
    return gate(make_results(path, items=400, windows=20, damage=DAMAGE), "regression")


def test_junit_counts_what_it_holds(tmp_path: Path) -> None:
    result = judged(tmp_path)
    root = ElementTree.fromstring(junit_xml(result))
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert set(suites) == {"rtn-8", "rtn-3"}
    for verdict in result.verdicts:
        suite = suites[verdict.candidate]
        assert len(suite.findall("testcase")) == int(suite.get("tests", "")) == len(verdict.checks)
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures", ""))
        assert len(suite.findall("testcase/error")) == int(suite.get("errors", ""))
    broken = suites["rtn-3"].find("testcase[@name='kick_freebaseqa']/failure")
    assert broken is not None
    assert "more than 5 % lost" in broken.get("message", "")
    assert "lost / gained: " in (broken.text or "")


def test_the_summary_shows_every_check_with_interval_n_and_noise_floor(tmp_path: Path) -> None:
    result = judged(tmp_path)
    text = markdown(result)
    assert text.startswith("## kick gate: Regression")
    assert "### rtn-8: Pass" in text
    rows = [
        line for line in text.splitlines() if line.startswith("| kick") or line.startswith("| perplexity")
    ]
    assert len(rows) == sum(len(verdict.checks) for verdict in result.verdicts)
    assert all("not measured" in row for row in rows)
    assert all(row.count(" | ") == 7 for row in rows)


def test_names_cannot_break_the_table_or_add_markup(tmp_path: Path) -> None:
    answers = np.ones(200)
    hostile = "a|b <img src=x>"
    store = write_pair(tmp_path, answers, answers, binary_task(metric=hostile, metrics=(hostile,)))
    text = markdown(gate(store, "regression"))
    assert "a\\|b &lt;img src=x>" in text
    assert "<img" not in text
    ElementTree.fromstring(junit_xml(gate(store, "regression")))
