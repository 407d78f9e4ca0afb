"""A gate passes only if everything that the policy and the suite ask for was evaluated on cells that fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from kick.errors import InputError
from kick.gating import gate, verdicts
from kick.gating.policy_file import Policy
from kick.store import Store
from kick.types import Cell
from tests.results import PERPLEXITY, TASKS, diverged_from, make_results, write_scores

TASK = TASKS["kick_freebaseqa"]
NAMES = [TASK.name, PERPLEXITY.name]
KL = Policy.model_validate({"name": "kl", "kl": {"maximum": 1e-9}})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Results that pass: a copy of the reference in all but its weights, on a task and a text."""
    made = make_results(
        tmp_path / "r", items=600, windows=20, tasks=NAMES, damage={"dense": 0, "rtn-8": 0, "rtn-4": 0}
    )
    assert gate(made).exit_code == 0
    return made


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def cell_of(store: Store, checkpoint: str, task: str = TASK.name) -> Cell:
    cell = store.cell(checkpoint, task)
    assert cell is not None
    return cell


def edit_suite(store: Store, change: Callable[[dict[str, Any]], None]) -> None:
    suite = store.suite()
    change(suite)
    Store.create(store.root, yaml.safe_dump(suite, sort_keys=False))


def forget(store: Store, checkpoint: str, task: str) -> None:
    """As `kick run --tasks` leaves it, which did not score this task."""
    record = store.checkpoint(checkpoint)
    assert record is not None
    cells = {name: key for name, key in record.cells.items() if name != task}
    store.write_checkpoint(record.model_copy(update={"cells": cells}))


def refused(store: Store, policy: Policy | str = "regression", **named: Any) -> str:
    with pytest.raises(InputError) as caught:
        gate(store, policy, **named)
    return str(caught.value)


def test_perplexity_that_the_suite_asks_for_and_was_never_scored_is_missing(store: Store) -> None:
    for checkpoint in ("dense", "rtn-8", "rtn-4"):
        forget(store, checkpoint, PERPLEXITY.name)
    assert f"task '{PERPLEXITY.name}' of 'dense' is missing" in refused(store)
    ignoring = Policy(name="t", ignore=(PERPLEXITY.name,))
    assert gate(store, ignoring).exit_code == 0


def test_a_limit_of_kl_is_not_kept_by_measuring_no_text(tmp_path: Path) -> None:
    store = make_results(tmp_path / "r", items=600, tasks=[TASK.name], damage={"dense": 0, "rtn-8": 0})
    assert gate(store, Policy(name="t")).exit_code == 0
    assert "limits kl, and no divergence was measured" in refused(store, KL)


def test_a_limit_of_kl_is_not_kept_by_a_text_without_divergence(store: Store) -> None:
    assert "the divergence of 'rtn-8' from its reference was not measured" in refused(store, KL)


def test_a_limit_of_perplexity_is_not_kept_by_scoring_no_text(tmp_path: Path) -> None:
    store = make_results(tmp_path / "r", items=600, tasks=[TASK.name], damage={"dense": 0, "rtn-8": 0})
    strict = Policy.model_validate({"name": "t", "perplexity": {"maximum_rise": 0.05}})
    assert "limits perplexity, and no text was scored" in refused(store, strict)
    assert gate(store, "regression").exit_code == 0


def test_divergence_that_the_suite_asks_for_is_missing_where_a_cell_lacks_it(store: Store) -> None:
    edit_suite(store, lambda suite: suite.update(divergence=True))
    assert "the suite asks for divergence" in refused(store)
    for checkpoint in ("dense", "rtn-8", "rtn-4"):
        for task in (TASK, PERPLEXITY):
            items = store.items(cell_of(store, checkpoint, task.name)).assign(kl=0.001)
            write_scores(store, checkpoint, task, items, divergence=diverged_from([0.001, 0.002]))
    assert gate(store).exit_code == 0


def test_divergence_that_cannot_be_measured_says_why_and_is_not_missing(store: Store) -> None:
    edit_suite(store, lambda suite: suite.update(divergence=True))
    for checkpoint in ("dense", "rtn-8", "rtn-4"):
        for task in (TASK, PERPLEXITY):
            items = store.items(cell_of(store, checkpoint, task.name))
            write_scores(store, checkpoint, task, items, not_diverged="its tokenizer is another one")
    assert gate(store).exit_code == 0
    assert "no divergence was measured" in refused(store, KL)


def test_editing_the_facts_of_a_task_is_noticed(store: Store) -> None:
    cell = cell_of(store, "dense")
    path = store.cell_dir("dense", TASK.name, cell.key) / "cell.json"
    edit_json(path, lambda data: data["task"].update(higher_is_better=False))
    message = refused(store)
    assert "describe the task differently (higher_is_better)" in message or "cell.json" in message


def test_a_suite_that_is_cut_before_its_last_candidate_is_noticed(store: Store) -> None:
    path = store.root / "suite.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("- id: rtn-4")])
    message = refused(store)
    assert "suite.yaml" in message


def test_a_candidate_that_was_scored_and_is_no_longer_in_the_suite_is_noticed(store: Store) -> None:
    edit_suite(store, lambda suite: suite["checkpoints"].pop())
    assert "'rtn-4' was scored" in refused(store)
    assert gate(store, candidates=["rtn-8"]).exit_code == 0


def test_a_cell_with_a_part_of_its_planned_items_is_missing_the_others(store: Store) -> None:
    for checkpoint in ("dense", "rtn-8", "rtn-4"):
        items = store.items(cell_of(store, checkpoint))
        # The plan of all items, and a quarter of them: a write that lost the others.
        write_scores(store, checkpoint, TASK, items.head(150), plan={"items": 600, "hash": "planned"})
    message = refused(store)
    assert "rtn-8 on kick_freebaseqa: 150 of 600 planned items are stored" in message


def test_items_that_are_repeated_do_not_count_twice(store: Store) -> None:
    for checkpoint in ("dense", "rtn-8", "rtn-4"):
        items = pd.concat([store.items(cell_of(store, checkpoint)).head(60)] * 5, ignore_index=True)
        write_scores(store, checkpoint, TASK, items)
    assert "240 items are stored more than once" in refused(store)


def scored_on_other_weights(store: Store) -> None:
    record = store.checkpoint("rtn-8")
    assert record is not None
    store.write_checkpoint(record.model_copy(update={"fingerprint": "weights-of-another-model"}))


def with_another_tokenizer(store: Store) -> None:
    items = store.items(cell_of(store, "rtn-8"))
    write_scores(store, "rtn-8", TASK, items, tokenizer="another-tokenizer")


def without_numbers(store: Store) -> None:
    items = store.items(cell_of(store, "rtn-8"))
    write_scores(store, "rtn-8", TASK, items.assign(em=np.nan))


def without_items(store: Store) -> None:
    write_scores(store, "rtn-8", TASK, store.items(cell_of(store, "rtn-8")).head(0))


def not_finished(store: Store) -> None:
    cell = cell_of(store, "rtn-8")
    (store.cell_dir("rtn-8", TASK.name, cell.key) / "cell.json").unlink()


def items_changed(store: Store) -> None:
    cell = cell_of(store, "rtn-8")
    path = store.cell_dir("rtn-8", TASK.name, cell.key) / "items.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def key_changed(store: Store) -> None:
    cell = cell_of(store, "rtn-8")
    path = store.cell_dir("rtn-8", TASK.name, cell.key) / "cell.json"
    edit_json(path, lambda data: data["identity"].update(dtype="float32"))


def of_another_task(store: Store) -> None:
    """The cell of one task is put in the folder of another."""
    record = store.checkpoint("rtn-8")
    assert record is not None
    text, task = (store.cell_dir("rtn-8", name, record.cells[name]) for name in (PERPLEXITY.name, TASK.name))
    for name in ("cell.json", "items.parquet"):
        (task / name).write_bytes((text / name).read_bytes())


def record_lost(store: Store) -> None:
    (store.root / "checkpoints" / "rtn-8.json").unlink()


def item_lost(store: Store) -> None:
    write_scores(store, "rtn-8", TASK, store.items(cell_of(store, "rtn-8")).iloc[1:], plan={"items": 600})


@pytest.mark.parametrize(
    "damage",
    [
        scored_on_other_weights,
        with_another_tokenizer,
        without_numbers,
        without_items,
        not_finished,
        items_changed,
        key_changed,
        of_another_task,
        record_lost,
        item_lost,
    ],
    ids=lambda damage: damage.__name__.replace("_", " "),
)
def test_no_damaged_partial_or_mismatched_candidate_passes(
    store: Store, damage: Callable[[Store], None]
) -> None:
    damage(store)
    assert "rtn-8" in refused(store)
    result = verdicts(store)
    verdict = result.verdict("rtn-8")
    assert verdict is not None
    assert verdict.outcome != "pass"
    assert verdict.missing
    assert result.exit_code == 2
    other = result.verdict("rtn-4")
    assert other is not None
    assert other.outcome == "pass"


def test_all_that_is_missing_is_said_at_once(store: Store) -> None:
    not_finished(store)
    forget(store, "rtn-4", PERPLEXITY.name)
    message = refused(store)
    assert "task 'kick_freebaseqa' of 'rtn-8' was not finished" in message
    assert f"task '{PERPLEXITY.name}' of 'rtn-4' is missing" in message


def test_a_part_of_a_family_is_not_judged_as_its_mean(tmp_path: Path) -> None:
    tasks = [TASK.name, "kick_hotpotqa"]
    store = make_results(tmp_path / "r", items=200, tasks=tasks, damage={"dense": 0, "rtn-3": 0.4})
    forget(store, "rtn-3", "kick_hotpotqa")
    policy = Policy.model_validate({"name": "t", "families": {"factoid_qa": {"margin": 0.05}}})
    (verdict,) = verdicts(store, policy).verdicts
    assert [check.kind for check in verdict.checks] == ["task"]
    assert "families.factoid_qa was not evaluated" in verdict.missing[-1]
