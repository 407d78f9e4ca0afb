"""The report says everything that a results folder holds, and says what is missing."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kick.errors import InputError
from kick.reports import write
from kick.store import Store
from kick.types import Skipped
from tests.reports.small import small_results
from tests.results import TASKS, binary_task, checkpoint_record, make_results, write_pair, write_scores

# A score, what is kept, and the verdict. Eight windows give no interval of a perplexity.
KEPT = r"\[.*\]<br>(recovery|ratio) .*(\[.*\]|, too few for an interval|more than ×100)<br>[✓✗?] "
PERPLEXITY = next(name for name, task in TASKS.items() if task.family == "perplexity")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_results(tmp_path_factory.mktemp("results") / "r", items=60, windows=8)


@pytest.fixture(scope="module")
def page(store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(store, tmp_path_factory.mktemp("page"))


def page_of(store: Store, folder: Path) -> str:
    return write(store, folder / "report", ["md"])[0].read_text(encoding="utf-8")


def tables(page: str) -> list[list[list[str]]]:
    """Every table of a page of Markdown as rows of fields."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", page, flags=re.MULTILINE)
    return [[re.split(r" (?<!\\)\| ", line[2:-2]) for line in block.splitlines()] for block in blocks]


def test_the_page_comes_first_and_its_figures_lie_beside_it(store: Store, tmp_path: Path) -> None:
    paths = write(store, tmp_path / "out", ["md"])
    names = [str(path.relative_to(tmp_path / "out")) for path in paths]
    assert names[0] == "report.md"
    stems = ("curve-magnitude", "curve-rtn", "flips", "overview", "size-bytes", "size-nonzero")
    assert set(names[1:]) == {f"figures/{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    links = re.findall(r"!\[.*\]\((.*)\)", paths[0].read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (tmp_path / "out" / link).is_file()


def test_every_row_of_every_table_has_a_field_for_every_column(page: str) -> None:
    assert len(tables(page)) > 10
    for rows in tables(page):
        assert len({len(row) for row in rows}) == 1


def test_every_checkpoint_has_its_score_and_recovery_on_every_task(page: str, store: Store) -> None:
    scores = [rows for rows in tables(page) if rows[0][1].startswith("`dense`<br>reference")]
    shown = {column.strip("` ") for rows in scores for column in rows[0][2:]}
    assert shown == {record.checkpoint.id for record in store.checkpoints()} - {"dense"}
    for rows in scores:
        assert {row[0].split("`")[1] for row in rows[2:]} == set(TASKS)
        for row in rows[2:]:
            assert "n = " in row[0]
            assert all(re.search(KEPT, field) for field in row[2:])


def test_series_run_from_light_to_heavy_compression(page: str) -> None:
    assert re.search(r"`magnitude-0.1` \| `magnitude-0.3` \| `magnitude-0.5`", page)
    assert re.search(r"`rtn-8` \| `rtn-4` \| `rtn-3`", page)


def test_a_delta_stands_beside_its_noise_floor_or_the_word_that_there_is_none(page: str) -> None:
    assert "| not measured |" in page


def test_a_noise_floor_that_was_measured_is_shown(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 1, 0, 1] * 10, [1, 0, 0, 1] * 10)
    write_scores(
        store,
        "dense@noise",
        binary_task(),
        pd.DataFrame({"em": [1.0, 1.0, 0.0, 0.0] + [1.0, 1.0, 0.0, 1.0] * 9}),
    )
    page = page_of(store, tmp_path)
    assert "1 flips of 40" in page
    assert "not measured" not in page.split("Item by item")[1].split("Provenance")[0]
    assert "`dense@noise`" not in page


def test_a_cell_that_was_not_run_is_a_row_that_says_so(tmp_path: Path) -> None:
    store = make_results(
        tmp_path / "r",
        items=20,
        windows=4,
        tasks=["kick_squad"],
        damage={"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.1},
    )
    record = store.checkpoint("rtn-4")
    assert record is not None
    store.write_checkpoint(record.model_copy(update={"cells": {}}))
    page = page_of(store, tmp_path)
    row = next(rows[2] for rows in tables(page) if rows[0][1].startswith("`dense`<br>reference"))
    assert row[3].strip() == "not run"
    assert re.search(r"`kick_squad` \| rtn-4 \| not run", page)


def test_a_task_that_nothing_was_scored_on_still_has_its_row(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0], [0, 1])
    suite = (store.root / "suite.yaml").read_text()
    store = Store.create(store.root, suite.replace("- facts", "- facts\n- never_run"))
    assert re.search(r"`never_run` \| not run", page_of(store, tmp_path))


def test_a_refused_comparison_shows_both_scores_and_the_reason(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0, 1], [0, 1, 1])
    write_scores(
        store,
        "small",
        binary_task(),
        pd.DataFrame({"em": [1.0, 1.0, 0.0]}),
        plan={"hash": "another", "shots": 3},
    )
    page = page_of(store, tmp_path)
    assert "not compared" in page
    assert "shots" in page.split("Skipped, not run, not compared")[1]
    assert page.count("66.7 [") >= 2


def test_a_reference_that_scores_zero_has_no_recovery(tmp_path: Path) -> None:
    page = page_of(write_pair(tmp_path / "r", [0, 0, 0], [0, 1, 0]), tmp_path)
    assert "no recovery: the reference scores 0" in page


def test_a_perplexity_that_is_not_finite_is_shown_as_such(tmp_path: Path) -> None:
    units = [2047.0] * 3
    task = TASKS[PERPLEXITY]
    store = write_pair(tmp_path / "r", [3.0, 3.1, 2.9], [3.0, float("inf"), 2.9], task, units=units)
    assert "| ∞" in page_of(store, tmp_path)


def test_skipped_items_are_counted_by_reason(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0, 1], [0, 1, 1])
    cell = store.cell("small", "facts")
    assert cell is not None
    skipped = (
        Skipped(doc_id=7, reason="longer than the window"),
        Skipped(doc_id=9, reason="longer than the window"),
    )
    store.write_cell(cell.model_copy(update={"skipped": skipped}), store.items(cell))
    assert "2 items skipped: longer than the window" in page_of(store, tmp_path)


def test_reasons_that_differ_in_a_number_are_one_with_its_range(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0, 1], [0, 1, 1])
    cell = store.cell("small", "facts")
    assert cell is not None
    reasons = [f"needs {tokens} tokens, the model's window is 2048" for tokens in (3077, 2101, 2950)]
    reasons += ["needs another look", "is 0.5 of item-7", "is 0.5 of item-8"]
    skipped = tuple(Skipped(doc_id=index, reason=reason) for index, reason in enumerate(reasons))
    store.write_cell(cell.model_copy(update={"skipped": skipped}), store.items(cell))
    problems = page_of(store, tmp_path).split("## Skipped, not run, not compared")[1].split("\n## ")[0]
    assert "3 items skipped: needs 2,101 to 3,077 tokens, the model's window is 2,048 |" in problems
    assert "1 item skipped: needs another look |" in problems
    assert problems.count("1 item skipped: is 0.5 of item-") == 2  # a name is no number
    assert problems.count("skipped: ") == 4


def test_what_the_checks_of_the_prompts_found_is_shown_once_for_all_checkpoints(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0, 1], [0, 1, 1])
    note = "2 of 3 items stand among their own shots"
    for checkpoint in ("dense", "small"):
        cell = store.cell(checkpoint, "facts")
        assert cell is not None
        store.write_cell(cell.model_copy(update={"notes": (note,)}), store.items(cell))
    problems = page_of(store, tmp_path).split("## Skipped, not run, not compared")[1].split("\n## ")[0]
    assert problems.count(note) == 1
    assert f"| `facts` | dense, small | {note} |" in problems


def test_hostile_names_are_text(tmp_path: Path) -> None:
    name = "a|b<script>x</script>`c`"
    store = write_pair(tmp_path / "r", [1, 0, 1], [0, 1, 1], binary_task(metric=name, metrics=(name,)))
    page = page_of(store, tmp_path)
    assert "<script>" not in page
    for rows in tables(page):
        assert len({len(row) for row in rows}) == 1


def test_many_checkpoints_are_split_with_the_reference_first_in_each_part(tmp_path: Path) -> None:
    damage = {"dense": 0.0, **{f"model{index}": index / 20 for index in range(13)}}
    store = make_results(tmp_path / "r", items=20, windows=4, tasks=["kick_squad"], damage=damage)
    parts = [
        rows for rows in tables(page_of(store, tmp_path)) if rows[0][1].startswith("`dense`<br>reference")
    ]
    assert len(parts) == 3
    assert max(len(rows[0]) for rows in parts) <= 8


def test_an_unknown_format_names_the_nearest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report format 'mdd'.*'md'"):
        write(store, tmp_path, ["mdd"])


def test_a_report_is_not_written_over_a_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        write(store, tmp_path / "file", ["md"])
    assert (tmp_path / "file").read_text() == "mine"


def test_the_same_results_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    first, second = (write(store, tmp_path / name, ["md"]) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_series_that_was_loaded_but_not_scored_does_not_break_its_curve(tmp_path: Path) -> None:
    store = write_pair(tmp_path / "r", [1, 0, 1], [0, 1, 1])
    suite = store.suite()
    for checkpoint in ("rtn-8", "rtn-4"):
        store.write_checkpoint(checkpoint_record(checkpoint))
        suite["checkpoints"].append(checkpoint_record(checkpoint).checkpoint.model_dump(mode="json"))
    Store.create(store.root, yaml.safe_dump(suite))
    assert "rtn-8" in page_of(store, tmp_path)


def test_what_the_loader_simulated_is_shown(tmp_path: Path) -> None:
    store = small_results(tmp_path / "results")
    record = store.checkpoint("rtn-4")
    assert record is not None
    store.write_checkpoint(
        record.model_copy(update={"simulated": ("weights: 4-bit values in a wider dtype",)})
    )
    write(store, tmp_path / "report", ["md"])
    assert (
        "simulated: weights: 4-bit values in a wider dtype" in (tmp_path / "report" / "report.md").read_text()
    )
