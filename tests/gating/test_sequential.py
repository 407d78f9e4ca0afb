"""Verdicts that hold at every look: what they say of a folder that grows, and how often they err."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.comparison.paired import compare
from kick.comparison.statistics.sequential import bets_beyond, bets_within, is_shown
from kick.draws import draw_order
from kick.errors import InputError
from kick.gating import Policy, gate, sequential_verdicts
from kick.gating.sequential import fewest_items, strongest
from kick.harness.plan import draw
from kick.store import Store
from kick.types import Check, Skipped, TaskInfo
from tests.results import PERPLEXITY, binary_task, checkpoint_record, make_results, write_pair, write_scores

SEED = 1234
POLICY = Policy(name="test", above_chance=False)
Scores = np.ndarray


def grow(
    store: Store, reference: Scores, candidate: Scores, limit: int, task: TaskInfo | None = None
) -> None:
    """Score both checkpoints on the first `limit` of the drawn items."""
    docs = draw(len(reference), limit, SEED)
    task = task or binary_task()
    for checkpoint, scores in (("dense", reference), ("small", candidate)):
        frame = pd.DataFrame({task.metric: scores[docs], "doc_id": docs})
        write_scores(store, checkpoint, task, frame, available=len(reference))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_pair(tmp_path / "r", [1.0], [1.0])


def judge(store: Store, policy: Policy = POLICY) -> Check:
    (verdict,) = sequential_verdicts(store, policy).verdicts
    (check,) = verdict.checks
    return check


def answers(items: int, right: float, seed: int = 0) -> Scores:
    return (np.random.default_rng(seed).random(items) < right).astype(float)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_a_limit_takes_the_first_items_of_the_order(total: int, limit: int, seed: int) -> None:
    assert draw(total, limit, seed) == sorted(draw_order(total, seed)[:limit])


def test_equal_answers_pass_after_a_few_hundred_of_many_items(store: Store) -> None:
    scores = answers(10_000, 0.7)
    grow(store, scores, scores, 64)
    early = judge(store)
    assert early.outcome == "inconclusive"
    assert "would decide" in early.reason
    grow(store, scores, scores, 256)
    check = judge(store)
    assert check.outcome == "pass"
    assert check.loss.high < check.margin
    assert gate(store, POLICY, sequential=True).exit_code == 0


def test_a_broken_model_is_a_regression_after_one_block(store: Store) -> None:
    scores = answers(10_000, 0.7)
    grow(store, scores, np.zeros_like(scores), 32)
    check = judge(store)
    assert check.outcome == "regression"
    assert check.loss.low > check.tolerated
    assert gate(store, POLICY, sequential=True).exit_code == 1


def test_a_regression_rests_on_a_minimum_of_changed_items(store: Store) -> None:
    scores = np.ones(1000)
    grow(store, scores, np.where(np.arange(1000) < 500, 0.0, 1.0), 40)
    assert judge(store).outcome == "regression"
    check = judge(store, POLICY.model_copy(update={"minimum_changed": 40}))
    assert check.outcome == "inconclusive"
    assert "items changed" in check.reason


@pytest.mark.parametrize(("lost", "outcome"), [(49, "pass"), (51, "regression"), (0, "pass")])
def test_with_every_item_scored_the_answer_is_that_of_the_full_run(
    store: Store, lost: int, outcome: str
) -> None:
    scores = np.ones(1000)
    candidate = np.where(np.arange(1000) < lost, 0.0, 1.0)
    grow(store, scores, candidate, 1000)
    check = judge(store)
    assert check.outcome == outcome
    assert "certain for the full run" in check.reason
    assert check.loss.low == pytest.approx(lost / 1000, abs=1e-4)
    assert check.loss.high == pytest.approx(lost / 1000, abs=1e-4)
    assert check.limit is None


def test_what_was_shown_once_stays_shown_as_the_folder_grows(store: Store) -> None:
    scores = np.ones(2000)
    order = draw_order(2000, SEED)
    candidate = np.ones(2000)
    # The loss is in items that are drawn late, and stays below the margin in all.
    candidate[order[1000:1080]] = 0.0
    grow(store, scores, candidate, 900)
    assert judge(store).outcome == "pass"
    grow(store, scores, candidate, 1100)
    assert judge(store).outcome == "pass"


def test_items_that_do_not_fit_count_for_neither_model(store: Store) -> None:
    scores = answers(400, 0.8)
    docs = draw(400, 256, SEED)
    for checkpoint in ("dense", "small"):
        frame = pd.DataFrame({"em": scores[docs], "doc_id": docs})
        write_scores(store, checkpoint, binary_task(), frame, available=400)
    whole = judge(store).p_within
    for checkpoint in ("dense", "small"):
        frame = pd.DataFrame({"em": scores[docs[16:]], "doc_id": docs[16:]})
        cell = write_scores(store, checkpoint, binary_task(), frame, available=400)
        skipped = tuple(Skipped(doc_id=doc, reason="too long") for doc in docs[:16])
        store.write_cell(cell.model_copy(update={"skipped": skipped}), store.items(cell))
    check = judge(store)
    assert check.outcome == "pass"
    assert check.p_within >= whole


def test_a_task_that_is_not_scored_yet_is_open_and_not_missing(tmp_path: Path) -> None:
    store = make_results(
        tmp_path / "r", items=400, tasks=["kick_freebaseqa", "kick_mmlu"], damage={"dense": 0, "small": 0}
    )
    record = store.checkpoint("small")
    assert record is not None
    store.write_checkpoint(
        record.model_copy(update={"cells": {"kick_freebaseqa": record.cells["kick_freebaseqa"]}})
    )
    result = gate(store, POLICY, sequential=True)
    assert result.verdicts[0].unscored == ("kick_mmlu",)
    assert (result.outcome, result.exit_code) == ("inconclusive", 3)
    with pytest.raises(InputError, match="there is no verdict"):
        gate(store, POLICY)


def test_the_reference_s_weights_on_another_engine_are_not_a_copy(store: Store) -> None:
    dense = checkpoint_record("dense")
    store.write_checkpoint(dense)
    copy = checkpoint_record("small").model_copy(update={"fingerprint": dense.fingerprint})
    on_toy = copy.checkpoint.model_copy(update={"engine": "toy"})
    store.write_checkpoint(copy.model_copy(update={"checkpoint": on_toy}))
    assert not any(verdict.identical for verdict in sequential_verdicts(store, POLICY).verdicts)


def test_a_copy_of_the_reference_passes_without_a_score(store: Store) -> None:
    dense = checkpoint_record("dense")
    store.write_checkpoint(dense)
    copy = checkpoint_record("small").model_copy(update={"fingerprint": dense.fingerprint})
    store.write_checkpoint(copy)
    result = gate(store, POLICY, sequential=True)
    assert result.verdicts[0].identical
    assert result.exit_code == 0


def test_scores_without_bounds_are_refused(store: Store) -> None:
    task = binary_task(metric="length", metrics=("length",))
    grow(store, 10 * answers(400, 0.7), 10 * answers(400, 0.7), 128, task)
    with pytest.raises(InputError, match="needs scores from 0 to 1"):
        gate(store, POLICY, sequential=True)


@pytest.mark.parametrize(
    "policy",
    [{"kl": {"maximum": 0.1}}, {"families": {"factoid_qa": {"margin": 0.05}}}],
    ids=["kl", "families"],
)
def test_a_rule_without_such_evidence_is_refused(store: Store, policy: dict[str, object]) -> None:
    with pytest.raises(InputError, match="no evidence that holds at every look"):
        sequential_verdicts(store, Policy.model_validate({"name": "test", **policy}))


def test_a_regression_needs_evidence_for_all_candidates_and_tasks_together(tmp_path: Path) -> None:
    candidates = {f"c{number}": 0 for number in range(12)}
    alone = make_results(
        tmp_path / "one", items=60, tasks=["kick_freebaseqa"], damage={"dense": 0, "c0": 0.2}
    )
    many = make_results(
        tmp_path / "many", items=60, tasks=["kick_freebaseqa"], damage={"dense": 0, **candidates, "c0": 0.2}
    )
    one, twelve = (sequential_verdicts(store, POLICY).verdict("c0") for store in (alone, many))
    assert one is not None
    assert twelve is not None
    p_one, p_twelve = one.checks[0].p_loss, twelve.checks[0].p_loss
    assert p_twelve == pytest.approx(min(1.0, 12 * p_one))


def test_equal_answers_pass_after_the_fewest_items_that_are_foretold(store: Store) -> None:
    scores = answers(20_000, 0.6)
    fewest = fewest_items(0.6, 0.05, 0.05, 20_000)
    assert 100 < fewest < 400
    grow(store, scores, scores, round(1.2 * fewest))
    assert judge(store).outcome == "pass"


def errors(loss: float, *, clustered: bool, runs: int = 400) -> tuple[float, float]:
    """The shares of growing runs that show a loss below 5 % and above 2.5 %, at any look.

    1,000 items in passages of 50. With `clustered`, whole passages are right or wrong, and lost, together.
    """
    generator = np.random.default_rng(3)
    unit = 50 if clustered else 1
    right = np.repeat(generator.permutation(1000 // unit) < 600 // unit, unit).astype(float)
    lost = np.flatnonzero(right)[: round(loss * right.sum())]
    candidate = right.copy()
    candidate[lost] = 0
    shown = np.zeros(2)
    for run in range(runs):
        order = draw_order(1000, run)[:700]
        a, b = right[order], candidate[order]
        shown += [
            is_shown(strongest(bets_within(a, b, ratio=0.05), 1000), 0.05),
            is_shown(strongest(bets_beyond(a, b, ratio=0.025), 1000), 0.05),
        ]
    within, beyond = shown / runs
    return float(within), float(beyond)


@pytest.mark.parametrize("clustered", [False, True])
def test_a_loss_at_the_margin_passes_in_few_of_the_runs_that_look_at_every_item(clustered: bool) -> None:
    assert errors(0.05, clustered=clustered)[0] <= 0.05


@pytest.mark.parametrize("clustered", [False, True])
def test_a_loss_that_is_tolerated_is_a_regression_in_few_of_the_runs(clustered: bool) -> None:
    assert errors(0.025, clustered=clustered)[1] <= 0.05


def test_a_task_of_passages_says_that_the_verdict_is_about_the_full_run_alone(store: Store) -> None:
    scores = answers(2000, 0.7)
    docs = draw(2000, 512, SEED)
    task = binary_task(group_by="title")
    for checkpoint in ("dense", "small"):
        columns = {"em": scores[docs], "doc_id": docs, "group": [f"page {doc // 20}" for doc in docs]}
        write_scores(store, checkpoint, task, pd.DataFrame(columns), available=2000)
    check = judge(store)
    assert check.outcome == "pass"
    (caveat,) = check.caveats
    assert "Items share a title, and are bet on one by one" in caveat
    assert "the full run of 2,000 items" in caveat
    (plain,) = gate(store, POLICY).verdicts[0].checks
    assert plain.caveats == ()


def test_a_check_has_the_caveats_of_its_comparison(tmp_path: Path) -> None:
    nll = np.random.default_rng(0).normal(3, 0.1, 30)
    store = write_pair(tmp_path / "r", nll, nll + 0.001, PERPLEXITY, units=[2047] * 30)
    policy = Policy.model_validate({"name": "test", "perplexity": {"maximum_rise": 0.05}})
    (check,) = gate(store, policy).verdicts[0].checks
    assert check.caveats == compare(store, "dense", "small", PERPLEXITY.name).caveats
    assert "Few windows: 30" in check.caveats[0]
