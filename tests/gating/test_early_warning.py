"""The early warning by the probability of the right answers: it comes before the verdict, and is never part of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kick.draws import draw_order
from kick.gating import Policy, gate, sequential_verdicts
from kick.gating.early_warning import at_every_look, warning_in_words
from kick.gating.rendering import junit_xml, markdown, summary_line
from kick.harness.plan import draw
from kick.store import Store
from kick.types import Check, TaskInfo
from tests.results import binary_task, write_pair, write_scores

SEED = 1234
POLICY = Policy(name="test", above_chance=False)
TASK = binary_task("choices", kind="choice", family="multiple_choice", metric="acc", metrics=("acc",))
TOTAL = 4000


def choices(shift: float, seed: int = 0, noise: float = 0.3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items with four options: the candidate's log-odds of the right one are `shift` lower and a little noisy."""
    generator = np.random.default_rng(seed)
    lead = generator.normal(1.0, 2.0, TOTAL)
    frames = []
    for logits in (lead, lead - shift + noise * generator.normal(size=TOTAL)):
        right = 1 / (1 + 3 * np.exp(-logits))
        frames.append(pd.DataFrame({"acc": (logits > 0).astype(float), "right_probability": right}))
    return frames[0], frames[1]


def grow(store: Store, frames: tuple[pd.DataFrame, pd.DataFrame], limit: int, task: TaskInfo = TASK) -> None:
    docs = draw(TOTAL, limit, SEED)
    for checkpoint, frame in zip(("dense", "small"), frames, strict=True):
        drawn = frame.iloc[docs].reset_index(drop=True).assign(doc_id=docs)
        write_scores(store, checkpoint, task, drawn, available=TOTAL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_pair(tmp_path / "r", [1.0], [1.0], TASK)


def judge(store: Store, policy: Policy = POLICY, *, sequential: bool = True) -> Check:
    (verdict,) = gate(store, policy, sequential=sequential).verdicts
    (check,) = verdict.checks
    return check


def first_look(store: Store, shift: float, seed: int) -> tuple[float, float]:
    """The items at which the warning is given, and those at which the verdict is, in blocks that double."""
    frames = choices(shift, seed, noise=0.1)
    warned = decided = np.inf
    for limit in (32, 64, 128, 256, 512, 1024, 2048, 4000):
        grow(store, frames, limit)
        check = judge(store)
        if check.early_warning is not None and check.early_warning.warns:
            warned = min(warned, limit)
        if check.outcome == "regression":
            decided = min(decided, limit)
            break
    return warned, decided


def test_the_warning_comes_before_accuracy_shows_a_loss(store: Store) -> None:
    looks = [first_look(store, 0.2, seed) for seed in range(5)]
    assert all(warned < decided for warned, decided in looks)
    assert np.median([decided / warned for warned, decided in looks]) >= 3


@pytest.mark.parametrize("sequential", [False, True])
def test_a_warning_does_not_change_the_verdict(store: Store, sequential: bool) -> None:
    grow(store, choices(0.5), 256)
    check = judge(store, sequential=sequential)
    assert check.early_warning is not None
    assert check.early_warning.warns
    silent = judge(store, POLICY.model_copy(update={"early_warning": None}), sequential=sequential)
    assert silent.early_warning is None
    assert silent == check.model_copy(update={"early_warning": None})


@pytest.mark.parametrize("sequential", [False, True])
def test_no_warning_is_not_a_pass(store: Store, sequential: bool) -> None:
    # The probabilities are those of the reference, and a tenth of the answers is lost.
    frames = choices(0.0, noise=0.0)
    lost = frames[1].assign(acc=np.where(np.random.default_rng(5).random(TOTAL) < 0.1, 0.0, frames[1]["acc"]))
    grow(store, (frames[0], lost), 2048)
    check = judge(store, sequential=sequential)
    assert check.early_warning is not None
    assert not check.early_warning.warns
    assert check.outcome == "regression"


def test_a_warning_is_shown_as_such_where_the_verdict_is(store: Store) -> None:
    grow(store, choices(0.5), 256)
    result = gate(store, POLICY, sequential=True)
    (check,) = result.verdicts[0].checks
    said = warning_in_words(check)
    assert said is not None
    assert said.startswith("early warning, which decides nothing: the right answers lost ")
    assert "early warning on choices" in summary_line(result.verdicts[0])
    assert "early warning, which decides nothing" in markdown(result)
    assert "early warning, which decides nothing" in junit_xml(result)


def test_the_likelihood_of_generated_answers_warns_where_a_run_measured_it(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    right = generator.uniform(0.2, 0.9, 400)
    scores = (generator.random(400) < right).astype(float)
    store = write_pair(tmp_path / "r", scores, scores)
    task = binary_task()
    write_scores(store, "dense", task, pd.DataFrame({"em": scores}))
    measured = {"reference_answer_probability": right, "answer_probability": 0.8 * right}
    write_scores(store, "small", task, pd.DataFrame({"em": scores, **measured}))
    check = judge(store, sequential=False)
    assert check.early_warning is not None
    assert check.early_warning.warns
    assert check.early_warning.loss == pytest.approx(0.2)


def test_tasks_without_probabilities_have_no_warning(tmp_path: Path) -> None:
    assert judge(write_pair(tmp_path / "r", [1.0] * 50, [1.0] * 50), sequential=False).early_warning is None


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_a_loss_of_the_margin_is_warned_of_in_few_of_the_runs_that_look_at_every_item(noise: float) -> None:
    a, b = (frame["right_probability"].to_numpy() for frame in choices(0.1, noise=noise))
    b = b * (1 - 0.025) * a.mean() / b.mean()
    p_values = [at_every_look(np.array(draw_order(TOTAL, run)[:1000]))(a, b, 0.025) for run in range(300)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05


def test_a_warning_is_corrected_for_all_that_are_read_together(tmp_path: Path) -> None:
    frames = choices(0.2)
    p_values = []
    for tasks in (["choices"], ["choices", *(f"other{index}" for index in range(9))]):
        store = write_pair(tmp_path / str(len(tasks)), [1.0], [1.0], TASK)
        for name in tasks:
            grow(store, frames, 128, TASK.model_copy(update={"name": name}))
        (verdict,) = sequential_verdicts(store, POLICY).verdicts
        check = verdict.check("choices")
        assert check is not None
        assert check.early_warning is not None
        p_values.append(check.early_warning.p_value)
    assert p_values[1] == pytest.approx(min(1.0, 10 * p_values[0]))
