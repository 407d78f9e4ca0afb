from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from kick.comparison import compare, score
from kick.comparison.paired import caveats, noise_bound
from kick.comparison.pairing import window_blocks
from kick.comparison.sample import PairedSample
from kick.store import noise_id
from tests.results import TASKS, binary_task, make_results, write_pair, write_scores

REFERENCE = [1.0] * 60 + [0.0] * 40
CANDIDATE = [1.0] * 50 + [0.0] * 10 + [1.0] * 4 + [0.0] * 36


def test_flips_and_rates_are_counted(tmp_path: Path) -> None:
    answers = [f"a{index % 3}" for index in range(100)]
    store = write_pair(tmp_path, REFERENCE, CANDIDATE, response=answers)
    other = ["A0 "] * 100
    frame = pd.DataFrame({"em": CANDIDATE, "response": other})
    write_scores(store, "small", binary_task(), frame)
    comparison = compare(store, "dense", "small", "facts")
    flips = comparison.flips
    assert flips is not None
    assert (flips.both_right, flips.lost, flips.gained, flips.both_wrong) == (50, 10, 4, 36)
    assert flips.other_wrong == sum(answers[index] != "a0" for index in range(64, 100))
    assert flips.n == comparison.n == 100
    assert flips.discordance == pytest.approx(0.14)
    assert comparison.knowledge_loss is not None
    assert (comparison.knowledge_loss.value, comparison.knowledge_loss.n) == (pytest.approx(10 / 60), 60)
    assert comparison.gain_rate is not None
    assert (comparison.gain_rate.value, comparison.gain_rate.n) == (0.1, 40)


def test_another_choice_is_another_wrong_answer(tmp_path: Path) -> None:
    choices = [np.array([-1.0, -2.0, -3.0])] * 3
    store = write_pair(tmp_path, [0, 0, 1], [0, 0, 1], choice_logprobs=choices)
    other = [np.array([-1.0, -2.0, -3.0]), np.array([-2.0, -1.0, -3.0]), np.array([-2.0, -1.0, -3.0])]
    write_scores(store, "small", binary_task(), pd.DataFrame({"em": [0, 0, 1], "choice_logprobs": other}))
    flips = compare(store, "dense", "small", "facts").flips
    assert flips is not None
    assert (flips.both_wrong, flips.other_wrong) == (2, 1)


def test_kappa_agrees_with_scikit_learns(tmp_path: Path) -> None:
    comparison = compare(write_pair(tmp_path, REFERENCE, CANDIDATE), "dense", "small", "facts")
    assert comparison.kappa is not None
    assert comparison.kappa.value == pytest.approx(cohen_kappa_score(REFERENCE, CANDIDATE))
    assert comparison.kappa.low < comparison.kappa.value < comparison.kappa.high


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_or_all_wrong_on_both_sides_has_no_kappa(tmp_path: Path, right: float) -> None:
    comparison = compare(write_pair(tmp_path, [right] * 9, [right] * 9), "dense", "small", "facts")
    assert comparison.kappa is None
    assert comparison.delta.low < 0 < comparison.delta.high
    assert (comparison.ratio is None) == (right == 0)
    assert (comparison.knowledge_loss is None) == (right == 0)
    assert (comparison.gain_rate is None) == (right == 1)


def test_graded_metrics_have_no_flips(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=60, tasks=["kick_cnn_dailymail"], damage={"dense": 0, "rtn-3": 0.3})
    comparison = compare(store, "dense", "rtn-3", "kick_cnn_dailymail")
    assert comparison.flips is None
    assert comparison.knowledge_loss is None
    assert comparison.test == "permutation"
    assert comparison.p_value is not None
    assert comparison.p_value < 0.01


def test_the_bootstrap_comes_on_request_and_agrees_with_the_analytic_interval(tmp_path: Path) -> None:
    store = write_pair(tmp_path, REFERENCE * 5, CANDIDATE * 5)
    assert compare(store, "dense", "small", "facts").delta_bootstrap is None
    comparison = compare(store, "dense", "small", "facts", resamples=4_000)
    delta, bootstrap = comparison.delta, comparison.delta_bootstrap
    assert bootstrap is not None
    assert (bootstrap.low, bootstrap.high) == pytest.approx((delta.low, delta.high), abs=0.004)
    assert comparison.ratio is not None
    assert comparison.ratio_bootstrap is not None
    assert comparison.ratio_bootstrap.low == pytest.approx(comparison.ratio.low, abs=0.01)


def test_the_reference_is_its_own_point_without_uncertainty(tmp_path: Path) -> None:
    comparison = compare(write_pair(tmp_path, REFERENCE, CANDIDATE), "dense", "dense", "facts")
    assert (comparison.delta.value, comparison.delta.low, comparison.delta.high) == (0, 0, 0)
    assert comparison.ratio is not None
    assert (comparison.ratio.low, comparison.ratio.high) == (1, 1)
    assert comparison.p_value is None
    assert comparison.matching is not None
    assert comparison.matching.outcome in ("matching", "cannot tell")


def test_the_noise_floor_is_the_reference_scored_twice(tmp_path: Path) -> None:
    store = write_pair(tmp_path, REFERENCE, CANDIDATE)
    assert compare(store, "dense", "small", "facts").noise_floor is None
    again = [0.0, *REFERENCE[1:]]
    write_scores(store, noise_id("dense"), binary_task(), pd.DataFrame({"em": again}), tier="batch of 1")
    noise = compare(store, "dense", "small", "facts").noise_floor
    assert noise is not None
    assert noise.delta.value == pytest.approx(-0.01)
    assert noise.flips is not None
    assert noise.flips.lost == 1


def test_every_score_names_its_interval(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=80, windows=12, damage={"dense": 0})
    methods = {}
    for name in TASKS:
        cell = store.cell("dense", name)
        assert cell is not None
        estimate = score(cell, store.items(cell))
        assert estimate.low < estimate.value < estimate.high
        assert estimate.n == cell.items
        methods[name] = estimate.method
    assert methods["kick_freebaseqa"] == "Wilson"
    assert methods["kick_mmlu"] == "Wilson, 10 groups"
    assert methods["kick_squad"] == "t, 10 groups"
    assert methods["kick_cnn_dailymail"] == "t"
    assert methods["perplexity_wikitext2"].startswith("t of log")


def test_the_score_of_a_perplexity_cell_is_the_one_that_the_run_recorded(tmp_path: Path) -> None:
    store = make_results(tmp_path, windows=9, tasks=["perplexity_wikitext2"], damage={"dense": 0})
    cell = store.cell("dense", "perplexity_wikitext2")
    assert cell is not None
    assert score(cell, store.items(cell)).value == pytest.approx(cell.scores["perplexity"])


def test_the_noise_floor_bounds_what_another_run_of_the_reference_changes(tmp_path: Path) -> None:
    # An A/A run that happened to end at 0: 4 flips either way.
    store = write_pair(tmp_path, REFERENCE, CANDIDATE)
    again = [0.0] * 4 + [1.0] * 56 + [1.0] * 4 + [0.0] * 36
    write_scores(store, noise_id("dense"), binary_task(), pd.DataFrame({"em": again}), tier="batch of 1")
    noise = compare(store, "dense", "small", "facts").noise_floor
    assert noise is not None
    assert noise.delta.value == 0
    assert noise.flip_rate is not None
    assert noise.flip_rate.value == pytest.approx(0.08)
    assert 0.05 < noise.bound < 0.09


def test_a_fresh_run_of_the_reference_exceeds_the_bound_in_five_percent_at_most() -> None:
    # One realised delta is exceeded in 37 to 48 % of the runs.
    generator = np.random.default_rng(0)
    exceeded = 0
    for _ in range(400):
        one, two = (generator.multinomial(1000, [0.55, 0.025, 0.025, 0.4]) for _ in range(2))
        first = PairedSample(np.repeat([1.0, 1, 0, 0], one), np.repeat([1.0, 0, 1, 0], one))
        exceeded += abs(int(two[1]) - int(two[2])) / 1000 > noise_bound(first)
    assert exceeded / 400 <= 0.05


def test_graded_scores_and_perplexities_have_a_noise_bound_too() -> None:
    generator = np.random.default_rng(0)
    a = generator.beta(4, 2, 400)
    graded = PairedSample(a, np.clip(a + generator.normal(0, 0.02, 400), 0, 1))
    assert 0.02 / 20 < noise_bound(graded) < 0.02
    nll = generator.normal(3, 0.1, 60)
    text = PairedSample(
        nll, nll + generator.normal(0, 1e-3, 60), window_blocks(60), np.full(60, 2047.0), perplexity=True
    )
    assert 0 < noise_bound(text) < 0.1
    few = PairedSample(nll[:4], nll[:4], window_blocks(4), np.full(4, 2047.0), perplexity=True)
    assert noise_bound(few) == np.inf


def test_what_an_interval_cannot_promise_is_a_caveat() -> None:
    generator = np.random.default_rng(1)
    sizes = np.arange(2, 62, 2)
    codes = np.repeat(np.arange(30), sizes)
    b = (generator.random(len(codes)) > (sizes / 80)[codes]).astype(float)
    assert "grow with the size" in " ".join(caveats(PairedSample(np.ones(len(codes)), b, codes)))
    even = np.repeat(np.arange(30), 10)
    assert caveats(PairedSample(np.ones(300), (generator.random(300) > 0.1).astype(float), even)) == ()
    nll = generator.normal(3, 0.1, 30)
    few = PairedSample(nll, nll, window_blocks(30), np.full(30, 2047.0), perplexity=True)
    assert "Few windows: 30" in caveats(few)[0]
    assert "not within 0 to 1" in caveats(PairedSample(nll, nll + 1))[0]
