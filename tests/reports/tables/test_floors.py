"""A reader of the tables sees the floor of a task, what is kept above it, and what is not measurable."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from kick.metrics.signs import response_signs
from kick.reports.findings import Findings, gather
from kick.reports.frame import tidy
from kick.reports.tables import cost, summary
from kick.reports.tables.scores import scores
from kick.store import Store
from tests.results import PERPLEXITY, binary_task, checkpoint_record, write_scores

KNOWN, GUESSED = binary_task("known"), binary_task("guessed")


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """A task that the reference knows, one that it guesses, and a text; `rtn-4` says nothing."""
    return gather(written(tmp_path_factory.mktemp("results")))


def written(path: Path) -> Store:
    suite = {"name": "floors", "reference": "dense", "tasks": ["known", "guessed"], "seed": 1}
    suite["checkpoints"] = [
        checkpoint_record(name).checkpoint.model_dump(mode="json") for name in ("dense", "rtn-8", "rtn-4")
    ]
    store = Store.create(path, yaml.safe_dump(suite, sort_keys=False))
    right = {"dense": (150, 50), "rtn-8": (140, 50), "rtn-4": (30, 40)}
    for checkpoint, (known, guessed) in right.items():
        said = [""] * 200 if checkpoint == "rtn-4" else [f"answer {item}" for item in range(200)]
        for task, count, floor in ((KNOWN, known, 0.2), (GUESSED, guessed, 0.25)):
            frame = pd.DataFrame({"em": [1.0] * count + [0.0] * (200 - count), "response": said})
            write_scores(store, checkpoint, task, frame, floor=floor, signs=response_signs(said))
        nll = 3 + 0.1 * np.random.default_rng(1).random(40) + (0.0 if checkpoint == "dense" else 0.1)
        text = pd.DataFrame({"nll": nll, "units": np.full(40, 99), "bytes_per_unit": np.full(40, 4.0)})
        write_scores(store, checkpoint, PERPLEXITY, text)
    return store


def fields(findings: Findings, task: str) -> list[tuple[str, ...]]:
    table = scores(findings, findings.groups[0])[0]
    return next([field.lines for field in row] for row in table.rows if row[0].lines[0] == task)


def test_the_floor_stands_beside_its_answerer_and_recovery_above_it_below_recovery(
    findings: Findings,
) -> None:
    head, _, light, destroyed = fields(findings, "known")
    assert "floor 20.0 (the question given back)" in head[1]
    assert light[1].startswith("recovery 93")
    assert light[2].startswith("above the floor 91")
    assert destroyed[2].startswith("above the floor 0.0 %")
    assert destroyed[3].startswith("✗ 80 % lost")
    assert destroyed[4:] == ("not above the floor", "of 200 answers: 200 empty")


def test_what_the_reference_does_not_know_is_not_measurable_instead_of_a_percentage(
    findings: Findings,
) -> None:
    light = fields(findings, "guessed")[2]
    assert light[1] == "not measurable here"
    assert not any("%" in line for line in light[1:])


def test_a_text_shows_bits_per_byte_with_the_paired_difference(findings: Findings) -> None:
    light = fields(findings, PERPLEXITY.name)[2]
    assert any(line.startswith("bits per byte 1.") and "+0.036 [+0.0" in line for line in light)


def test_a_family_says_what_it_leaves_out(findings: Findings) -> None:
    table = cost.cost(findings)
    column = [head.lines[0] for head in table.header].index("factoid qa")
    light = table.rows[1][column].lines
    assert light[0].startswith("91")
    assert light[-1] == "left out, not measurable: guessed"


def test_the_hardest_hit_task_is_one_that_can_be_measured_by_what_is_above_the_floor(
    findings: Findings,
) -> None:
    table = summary.warnings(findings)
    at = [head.lines[0] for head in table.header].index("hardest hit")
    destroyed = next(row for row in table.rows if row[0].lines[0] == "rtn-4")[at]
    assert destroyed.lines[0] == "known"
    assert destroyed.lines[1].startswith("0.0 %")


def test_the_tidy_table_has_the_floor_recovery_above_it_and_the_signs(findings: Findings) -> None:
    frame = tidy(findings).set_index(["task", "checkpoint"])
    light, destroyed = frame.loc[("known", "rtn-8")], frame.loc[("known", "rtn-4")]
    assert light["floor"] == 0.2
    assert light["floor_answerer"] == "the question given back"
    assert light["recovery_above_floor"] == pytest.approx((0.7 - 0.2) / (0.75 - 0.2))
    assert destroyed["recovery_above_floor"] == 0.0
    assert destroyed["empty"] == 1.0
    assert destroyed["objection"] == "of 200 answers: 200 empty"
    guessed = frame.loc[("guessed", "rtn-8")]
    assert np.isnan(guessed["recovery_above_floor"])
    assert guessed["not_measurable"].startswith("the reference scores 25 %")
    assert frame.loc[(PERPLEXITY.name, "rtn-8"), "bits_per_byte_delta"] == pytest.approx(0.1 / np.log(2) / 4)
