"""What changed between two results folders: the same checkpoint on the same items, and what cannot be compared."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from kick.cli import app
from kick.errors import InputError
from kick.reports import write_diff
from kick.reports.diff import difference, document
from kick.reports.formats import markdown
from kick.store import Store, cell_key
from kick.types import CheckpointRecord
from tests.results import binary_task, checkpoint_record, write_pair, write_scores

RIGHT, WRONG = [1.0] * 40, [1.0] * 20 + [0.0] * 20


def folder(path: Path, candidate: list[float]) -> Store:
    return write_pair(path, RIGHT, candidate)


def other_weights(store: Store, checkpoint: str, scores: list[float]) -> None:
    """Score a checkpoint again as if its weights had changed."""
    cell = write_scores(store, checkpoint, binary_task(), pd.DataFrame({"em": scores}))
    identity = cell.identity.model_copy(update={"checkpoint": "other weights"})
    changed = cell.model_copy(update={"identity": identity, "key": cell_key(identity)})
    store.write_cell(changed, store.items(cell))
    record = store.checkpoint(checkpoint)
    assert record is not None
    store.write_checkpoint(record.model_copy(update={"cells": {**record.cells, cell.task.name: changed.key}}))


def test_a_score_that_fell_is_worse_with_its_flips_and_what_is_left_of_the_reference(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", RIGHT)
    other_weights(new, "small", WRONG)
    found = difference(old, new)
    change = found.changes[0]
    assert (change.checkpoint, change.verdict, change.same_weights) == ("small", "worse", False)
    assert change.comparison.delta.value == -0.5
    assert change.comparison.delta.high < 0
    assert change.comparison.flips is not None
    assert change.comparison.flips.lost == 20
    assert change.before is not None
    assert change.after is not None
    assert change.after.comparison.ratio is not None
    assert change.after.comparison.ratio.value == pytest.approx(0.5)
    assert found.unchanged == 1  # the reference


def test_a_score_that_rose_is_better(tmp_path: Path) -> None:
    found = difference(folder(tmp_path / "old", WRONG), folder(tmp_path / "new", RIGHT))
    assert [change.verdict for change in found.changes] == ["better"]
    assert found.changes[0].same_weights  # the same weights, though their answers differ


def test_a_handful_of_flips_is_no_difference(tmp_path: Path) -> None:
    old = folder(tmp_path / "old", [0.0, 1.0, 1.0] + [1.0] * 37)
    new = folder(tmp_path / "new", [1.0, 0.0, 0.0] + [1.0] * 37)
    assert [change.verdict for change in difference(old, new).changes] == ["no difference shown"]


def test_p_values_are_adjusted_for_all_that_changed(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", WRONG)
    other_weights(new, "dense", [0.0, *RIGHT[1:]])
    change = next(change for change in difference(old, new).changes if change.checkpoint == "small")
    assert change.comparison.p_value is not None
    assert change.comparison.p_holm == pytest.approx(2 * change.comparison.p_value)


def test_what_was_added_and_removed_is_named(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", RIGHT)
    write_scores(new, "small", binary_task("more"), pd.DataFrame({"em": [1.0, 0.0]}))
    write_scores(old, "dense", binary_task("less"), pd.DataFrame({"em": [1.0, 0.0]}))
    remarks = {(one.checkpoint, one.task): one.what for one in difference(old, new).remarks}
    assert remarks == {("small", "more"): "added", ("dense", "less"): "removed"}


def test_other_requests_are_not_compared_and_the_reason_is_given(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", RIGHT)
    write_scores(
        new, "small", binary_task(), pd.DataFrame({"em": WRONG}), plan={"hash": "another", "shots": 5}
    )
    found = difference(old, new)
    assert found.changes == ()
    remark = next(one for one in found.remarks if one.checkpoint == "small")
    assert remark.what.startswith("not compared: 'small in new' cannot be compared with 'small in old'")
    assert "shots: 0 | 5" in remark.what


def test_the_page_counts_names_and_escapes(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", WRONG)
    name = "a|b<script>x</script>"
    for store, scores in ((old, [1.0, 0.0]), (new, [0.0, 1.0])):
        write_scores(
            store, "small", binary_task("named", metric=name, metrics=(name,)), pd.DataFrame({name: scores})
        )
    md, table = write_diff(old, new, tmp_path / "out", ["md", "csv"])
    page = md.read_text(encoding="utf-8")
    assert page.startswith("# What changed: old to new")
    assert "0 better, 1 worse, 1 with changed items and no difference shown, 1 with the same score" in page
    assert "<script>" not in page
    assert pd.read_csv(table)["what"].tolist()[0] == "worse"


def test_nothing_changed_is_said(tmp_path: Path) -> None:
    found = difference(folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", RIGHT))
    assert (found.changes, found.unchanged, found.remarks) == ((), 2, ())
    assert "## Scores that changed\n\nNone." in markdown.page(document(found), {})


def test_one_folder_twice_is_refused(tmp_path: Path) -> None:
    store = folder(tmp_path / "r", RIGHT)
    with pytest.raises(InputError, match="given twice"):
        difference(store, store)


def test_the_command_asks_for_two_folders_and_a_place_for_the_report(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", WRONG)
    paths = [str(old.root), str(new.root)]
    result = CliRunner().invoke(app, ["report", *paths, "--diff", "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0
    assert (tmp_path / "out" / "diff.md").is_file()
    for arguments, message in (
        ([paths[0], "--diff"], "two results folders"),
        (paths, "--out"),
        ([*paths, "--diff", "--out", str(tmp_path / "o"), "--format", "html"], "no report format 'html'"),
    ):
        refused = CliRunner().invoke(app, ["report", *arguments])
        assert isinstance(refused.exception, InputError)
        assert message in str(refused.exception)


def test_a_checkpoint_that_is_new_is_added_on_every_task(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old", RIGHT), folder(tmp_path / "new", RIGHT)
    record: CheckpointRecord = checkpoint_record("rtn-4")
    suite = (
        (new.root / "suite.yaml")
        .read_text()
        .replace("tasks:", f"- {{id: rtn-4, model: {record.checkpoint.model}}}\ntasks:")
    )
    new = Store.create(new.root, suite)
    write_scores(new, "rtn-4", binary_task(), pd.DataFrame({"em": RIGHT}))
    assert [(one.checkpoint, one.what) for one in difference(old, new).remarks] == [("rtn-4", "added")]
