"""One results folder has one verdict per candidate and task, and one number per family, whoever is asked."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from kick.cli import app
from kick.cli.run import _print_verdicts
from kick.gating import MARKS, gate, in_words, next_command, perplexity_warned, verdicts
from kick.gating.rendering import summary_line
from kick.reports import write
from kick.reports.findings import gather
from kick.reports.leaderboard import write as write_board
from kick.reports.tables.cost import cost
from kick.store import Store
from kick.types import GateResult
from tests.results import PERPLEXITY, binary_task, checkpoint_record, write_scores

FACTS, MORE, HOPS = (
    binary_task("facts"),
    binary_task("more"),
    binary_task("hops", family="multihop_reasoning"),
)
TASKS = (FACTS, MORE, HOPS, PERPLEXITY)
ITEMS = 300
# Of each candidate, the share of the reference's right answers that it gets wrong, and the rise of its loss in nats.
FOLDERS = {
    "all pass": {"rtn-8": (0.0, 0.0), "rtn-4": (0.0, 0.001)},
    "one regression": {"rtn-8": (0.0, 0.0), "rtn-3": (0.3, 0.2)},
    "undecided": {"rtn-8": (0.0, 0.0), "rtn-4": (0.04, 0.03)},
    "destroyed": {"rtn-8": (0.005, 0.0), "rtn-4": (0.03, 0.01), "rtn-2": (1.0, 20.0)},
}
OUTCOMES = {
    "all pass": ["pass", "pass"],
    "one regression": ["pass", "regression"],
    "undecided": ["pass", "inconclusive"],
    "destroyed": ["pass", "inconclusive", "regression"],
}


def results(path: Path, candidates: dict[str, tuple[float, float]]) -> Store:
    names = ["dense", *candidates]
    suite = {
        "name": path.name,
        "reference": "dense",
        "checkpoints": [
            checkpoint_record(name).checkpoint.model_dump(mode="json", exclude_none=True) for name in names
        ],
        "tasks": [task.name for task in TASKS[:3]],
        "perplexity": {"datasets": ["wikitext2"], "window": 2048},
        "seed": 1234,
    }
    store = Store.create(path, yaml.safe_dump(suite, sort_keys=False))
    rng = np.random.default_rng(0)
    for share, task in zip((0.9, 0.5, 0.7), TASKS, strict=False):
        right = np.arange(ITEMS) < share * ITEMS
        for name in names:
            lost, _ = candidates.get(name, (0.0, 0.0))
            answers = right & ~(rng.permutation(ITEMS) < lost * ITEMS)
            write_scores(store, name, task, pd.DataFrame({"em": answers.astype(float)}))
    text = rng.normal(3.0, 0.2, 120)
    for name in names:
        rise = candidates.get(name, (0.0, 0.0))[1] * rng.uniform(0.5, 1.5, 120)
        write_scores(store, name, PERPLEXITY, pd.DataFrame({"nll": text + rise, "units": np.full(120, 2047)}))
    return store


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store]:
    name: str = request.param
    return name, results(tmp_path_factory.mktemp("one") / name.replace(" ", "-"), FOLDERS[name])


@pytest.fixture(scope="module")
def judged(folder: tuple[str, Store]) -> GateResult:
    return gate(folder[1])


@pytest.fixture(scope="module")
def pages(folder: tuple[str, Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pages")
    write([folder[1]], out / "report", ["md", "csv", "model-card"])
    write_board([folder[1]], out / "site")
    return out


def entries(pages: Path) -> dict[str, dict[str, Any]]:
    """Each entry of the board with its page."""
    index = json.loads((pages / "site" / "index.json").read_text())
    return {entry["checkpoint"]: entry for entry in index["entries"]}


def test_the_gate_tells_the_planted_damage(folder: tuple[str, Store], judged: GateResult) -> None:
    assert [verdict.outcome for verdict in judged.verdicts] == OUTCOMES[folder[0]]


def test_compare_has_the_verdict_of_the_gate(folder: tuple[str, Store], judged: GateResult) -> None:
    for verdict in judged.verdicts:
        command = ["compare", str(folder[1].root), "dense", verdict.candidate, "--json"]
        document = json.loads(CliRunner().invoke(app, command).stdout)
        assert document["verdict"]["outcome"] == verdict.outcome
        assert document["verdict"]["checks"] == json.loads(verdict.model_dump_json())["checks"]
        assert document["verdict"]["families"] == json.loads(verdict.model_dump_json())["families"]


def test_the_report_has_the_marks_and_losses_of_the_gate(judged: GateResult, pages: Path) -> None:
    text = (pages / "report" / "report.md").read_text().replace("\\*", "*")
    for verdict in judged.verdicts:
        assert f"| `{verdict.candidate}` | {MARKS[verdict.outcome]} {verdict.outcome} |" in text
        for check in verdict.checks:
            assert f"{MARKS[check.outcome]} {in_words(check)}" in text
    for mark in MARKS.values():
        if mark not in {MARKS[check.outcome] for verdict in judged.verdicts for check in verdict.checks}:
            assert not re.search(rf"\] {re.escape(mark)}|(?<![a-z]){re.escape(mark)} [-0-9]", text)


def test_the_table_of_the_report_has_the_outcome_and_loss_of_every_check(
    judged: GateResult, pages: Path
) -> None:
    rows = list(csv.DictReader(io.StringIO((pages / "report" / "report.csv").read_text())))
    by_place = {(row["checkpoint"], row["task"]): row for row in rows}
    for verdict in judged.verdicts:
        for check in verdict.checks:
            row = by_place[verdict.candidate, check.name]
            assert row["verdict"] == check.outcome
            assert float(row["loss"]) == pytest.approx(check.loss.value, rel=1e-5, abs=1e-9)
    assert {row["verdict"] for row in rows if row["checkpoint"] == "dense"} == {""}


def test_the_board_has_the_verdict_of_the_gate_in_json_csv_and_page(judged: GateResult, pages: Path) -> None:
    for verdict in judged.verdicts:
        entry = entries(pages)[verdict.candidate]
        assert entry["outcome"] == verdict.outcome
        stem = pages / "site" / "checkpoints" / entry["page"]
        page = json.loads(stem.with_suffix(".json").read_text())
        assert page["entry"]["verdict"] == json.loads(verdict.model_dump_json())
        rows = csv.DictReader(io.StringIO(stem.with_suffix(".csv").read_text()))
        outcomes = {row["task"]: row["verdict"] for row in rows if row["checkpoint"] == verdict.candidate}
        assert outcomes == {check.name: check.outcome for check in verdict.checks}
    index = csv.DictReader(io.StringIO((pages / "site" / "index.csv").read_text()))
    assert {row["checkpoint"]: row["overall_verdict"] for row in index} == {
        verdict.candidate: verdict.outcome for verdict in judged.verdicts
    }


def test_the_badge_has_the_mark_and_the_colour_of_the_verdict(judged: GateResult, pages: Path) -> None:
    colours = {"pass": "#00664b", "regression": "#9c3a00", "inconclusive": "#5a5f66"}
    for verdict in judged.verdicts:
        badge = (pages / "site" / "badges" / f"{entries(pages)[verdict.candidate]['page']}.svg").read_text()
        assert colours[verdict.outcome] in badge
        assert [colour in badge for colour in colours.values()].count(True) == 1
        assert f">{MARKS[verdict.outcome]} " in badge


def test_the_model_card_has_the_line_of_the_gate(judged: GateResult, pages: Path) -> None:
    for verdict in judged.verdicts:
        card = (pages / "report" / "model-cards" / f"{verdict.candidate}.md").read_text()
        assert f"Verdict by the policy {judged.policy}: {summary_line(verdict)}." in card.replace("\\", "")
        for check in verdict.checks:
            assert f"{MARKS[check.outcome]} {in_words(check)}" in card


def test_a_run_ends_with_the_line_of_the_gate_and_the_next_command(
    folder: tuple[str, Store], judged: GateResult, capsys: pytest.CaptureFixture[str]
) -> None:
    result = verdicts(folder[1])
    _print_verdicts(result, next_command(folder[1], result))
    told = capsys.readouterr().out
    lines = told.strip().splitlines()
    assert [line.strip() for line in lines[1 : 1 + len(judged.verdicts)]] == [
        summary_line(verdict) for verdict in judged.verdicts
    ]
    assert ("To decide what is inconclusive:" in told) is (judged.next_command is not None)
    assert (judged.next_command or "") in told


def test_a_family_has_one_number_in_gate_report_and_board(
    folder: tuple[str, Store], judged: GateResult, pages: Path
) -> None:
    findings = gather(folder[1])
    table = cost(findings)
    for verdict in judged.verdicts:
        assert [family.name for family in verdict.families] == ["factoid_qa", "multihop_reasoning"]
        assert verdict.families[0].tasks == ("facts", "more")
        standings = entries(pages)[verdict.candidate]["standings"]
        for family in verdict.families:
            assert findings.kept(family.name, verdict.candidate) == family
            assert standings[family.name]["kept"] == json.loads(family.ratio.model_dump_json())
            assert family.ratio.value == pytest.approx(
                family.candidate_score.value / family.reference_score.value
            )
            head = [field.lines[0] for field in table.header].index(family.name.replace("_", " "))
            row = next(row for row in table.rows if row[0].lines[0] == verdict.candidate)
            assert row[head].outcome == family.outcome
        means = [family.ratio.value for family in verdict.families]
        assert standings["overall"]["kept"]["value"] == pytest.approx(np.mean(means))


def test_whether_perplexity_warned_is_told_by_the_verdicts(
    folder: tuple[str, Store], judged: GateResult, pages: Path
) -> None:
    text = (pages / "report" / "report.md").read_text()
    section = text.split("## Did perplexity warn us?")[1].split("\n## ")[0]
    for verdict in judged.verdicts:
        (row,) = [line for line in section.splitlines() if line.startswith(f"| `{verdict.candidate}`")]
        assert row.endswith(f"| {perplexity_warned(verdict)} |")


def test_another_policy_changes_every_verdict_of_the_report(tmp_path: Path) -> None:
    store = results(tmp_path / "r", {"rtn-4": (0.04, 0.0)})
    policy = tmp_path / "lenient.yaml"
    policy.write_text("name: lenient\nmargin: 0.2\n")
    write([store], tmp_path / "strict", ["md"])
    write([store], tmp_path / "lenient", ["md"], policy=policy)
    strict, lenient = ((tmp_path / name / "report.md").read_text() for name in ("strict", "lenient"))
    assert "| `rtn-4` | ? inconclusive |" in strict
    assert "| `rtn-4` | ✓ pass |" in lenient
    assert "By the policy lenient" in lenient


def test_what_is_missing_is_said_and_never_marked_as_a_pass(tmp_path: Path) -> None:
    store = results(tmp_path / "r", {"rtn-8": (0.0, 0.0)})
    record = store.checkpoint("rtn-8")
    assert record is not None
    cells = {task: key for task, key in record.cells.items() if task != "hops"}
    store.write_checkpoint(record.model_copy(update={"cells": cells}))
    write([store], tmp_path / "report", ["md"])
    write_board([store], tmp_path / "site")
    text = (tmp_path / "report" / "report.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| `rtn-8` | ? inconclusive |"))
    assert "task 'hops' of 'rtn-8' is missing" in row
    (badge,) = (tmp_path / "site" / "badges").glob("*.svg")
    assert "#00664b" not in badge.read_text()
    assert "? incomplete" in badge.read_text()
