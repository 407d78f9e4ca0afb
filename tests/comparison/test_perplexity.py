from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kick.comparison.perplexity import kendall_tau, perplexity_warning
from kick.types import TaskInfo
from tests.results import PERPLEXITY, TASKS, make_results, write_scores

FACTS = "kick_freebaseqa"
DAMAGE = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.1, "rtn-3": 0.4, "magnitude-0.1": 0.02, "magnitude-0.5": 0.6}
BOTH = [FACTS, PERPLEXITY.name]


def test_tau_agrees_with_scipys_ties_included() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 5, (20, 9)).astype(float), generator.integers(0, 5, (20, 9)).astype(float)
    expected = [stats.kendalltau(one, two).statistic for one, two in zip(x, y, strict=True)]
    assert kendall_tau(x, y) == pytest.approx(expected)


def test_a_task_that_fails_where_perplexity_still_matches_was_first(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=600, tasks=BOTH, damage={**DAMAGE, "rtn-4": 0.06})
    warnings = {record.task.series: record for record in perplexity_warning(store).warnings}
    assert warnings["rtn"].verdict == "task first"
    assert warnings["rtn"].task.fails_at == 4
    assert warnings["rtn"].perplexity.at_least == 4


def write_series(path: Path, costs: dict[str, float], right: dict[str, float]) -> list[str]:
    """The verdicts on a series whose perplexity and score are planted, candidate by candidate."""
    store = make_results(path, items=10, windows=9, tasks=BOTH, damage=dict.fromkeys(costs, 0.0))
    generator = np.random.default_rng(0)
    nll = generator.normal(3, 0.1, 30)
    for checkpoint, cost in costs.items():
        frame = pd.DataFrame(
            {"nll": nll + cost * generator.uniform(0.8, 1.2, 30), "units": np.full(30, 2047)}
        )
        write_scores(store, checkpoint, PERPLEXITY, frame)
        answers = (np.arange(2000) < round(2000 * right[checkpoint])).astype(float)
        write_scores(store, checkpoint, TASKS[FACTS], pd.DataFrame({"em": answers, "f1": answers}))
    return [record.verdict for record in perplexity_warning(store).warnings]


def test_perplexity_can_be_first_together_or_not_at_all(tmp_path: Path) -> None:
    costs = {"dense": 0.0, "rtn-8": 0.001, "rtn-4": 0.2}
    same = {"dense": 0.8, "rtn-8": 0.8, "rtn-4": 0.8}
    assert write_series(tmp_path / "1", costs, same) == ["perplexity first"]
    assert write_series(tmp_path / "2", costs, {**same, "rtn-4": 0.4}) == ["together"]
    assert write_series(tmp_path / "3", {**costs, "rtn-4": 0.002}, same) == ["neither"]


def test_signals_are_ranked_against_each_task_with_an_interval(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=300, tasks=[*BOTH, "kick_cnn_dailymail"], damage=DAMAGE)
    agreements = {(record.signal, record.task): record for record in perplexity_warning(store).agreements}
    assert set(agreements) == {
        ("perplexity", FACTS),
        ("flips", FACTS),
        ("perplexity", "kick_cnn_dailymail"),
    }
    tau = agreements["perplexity", FACTS].tau
    assert tau.n == 5
    assert tau.low <= tau.value <= tau.high <= 1
    assert tau.value > 0.7


def test_divergence_is_ranked_where_it_was_measured(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=100, tasks=BOTH, damage=DAMAGE)
    for checkpoint, damage in DAMAGE.items():
        cell = store.cell(checkpoint, PERPLEXITY.name)
        assert cell is not None
        items = store.items(cell).assign(kl=damage)
        write_scores(store, checkpoint, PERPLEXITY, items)
    agreements = perplexity_warning(store).agreements
    assert [record.signal for record in agreements] == ["perplexity", "kl", "flips"]


def test_candidates_that_perplexity_orders_wrongly_are_named(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=10, windows=9, tasks=BOTH, damage=DAMAGE)
    task: TaskInfo = TASKS[FACTS]
    nll = np.random.default_rng(0).normal(3, 0.1, 9)
    for place, checkpoint in enumerate(DAMAGE):
        frame = pd.DataFrame({"nll": nll + place / 100, "units": np.full(9, 2047)})
        write_scores(store, checkpoint, PERPLEXITY, frame)
        right = 0.3 if checkpoint == "rtn-8" else 0.8 - place / 10
        answers = (np.arange(500) < round(500 * right)).astype(float)
        write_scores(store, checkpoint, task, pd.DataFrame({"em": answers, "f1": answers}))
    first, *_ = perplexity_warning(store).misordered
    assert (first.preferred, first.better) == ("rtn-8", "rtn-4")
    assert first.perplexity_ratio.value == pytest.approx(np.exp(0.01))
    assert first.delta.value == pytest.approx(0.3)
    assert first.p_holm < 0.001


def test_a_broken_candidate_has_no_rank_and_is_listed(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=50, tasks=BOTH, damage=DAMAGE)
    cell = store.cell("rtn-3", PERPLEXITY.name)
    assert cell is not None
    write_scores(store, "rtn-3", PERPLEXITY, store.items(cell).assign(nll=np.inf))
    result = perplexity_warning(store)
    assert [(refusal.candidate, refusal.reason) for refusal in result.refusals] == [
        ("rtn-3", "not ranked: the perplexity is not finite")
    ]
    assert all("rtn-3" not in record.candidates for record in result.agreements)
