from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kick.comparison import compare_all, series_curves
from kick.comparison.curves import crossing, matching_rate
from kick.comparison.matching import match
from kick.comparison.sample import PairedSample
from kick.errors import InputError
from kick.store import noise_id
from kick.types import Curve, CurvePoint
from tests.results import TASKS, checkpoint_record, make_results, write_scores

FACTS = "kick_freebaseqa"


def curve(curves: list[Curve], series: str, task: str) -> Curve:
    return next(curve for curve in curves if (curve.series, curve.task) == (series, task))


def test_every_candidate_is_compared_on_every_task(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=40, windows=9)
    result = compare_all(store)
    assert result.reference == "dense"
    assert len(result.comparisons) == 7 * len(TASKS)
    assert result.refusals == ()


def test_what_cannot_be_compared_is_listed_with_its_reason(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=40, tasks=[FACTS], damage={"dense": 0, "rtn-4": 0.1, "rtn-3": 0.3})
    write_scores(store, "rtn-4", TASKS[FACTS], pd.DataFrame({"em": [1.0], "f1": [1.0]}))
    store.write_checkpoint(checkpoint_record("rtn-3"))
    result = compare_all(store)
    assert result.comparisons == ()
    reasons = {refusal.candidate: refusal.reason for refusal in result.refusals}
    assert "limit: 40 | 1" in reasons["rtn-4"]
    assert f"task '{FACTS}' of 'rtn-3' is missing" in reasons["rtn-3"]


def test_p_values_are_adjusted_over_all_comparisons(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=100, tasks=[FACTS, "kick_hotpotqa"])
    comparisons = compare_all(store).comparisons
    count = len(comparisons)
    ordered = sorted(comparisons, key=lambda comparison: comparison.p_value or 0)
    holm, fdr = 0.0, 1.0
    for rank, comparison in enumerate(ordered):
        assert comparison.p_value is not None
        holm = max(holm, min(1.0, comparison.p_value * (count - rank)))
        assert comparison.p_holm == pytest.approx(holm)
    for rank, comparison in reversed(list(enumerate(ordered))):
        fdr = min(fdr, (comparison.p_value or 0) * count / (rank + 1))
        assert comparison.p_fdr == pytest.approx(fdr)


def test_a_noise_run_is_no_candidate(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=40, tasks=[FACTS], damage={"dense": 0, "rtn-8": 0})
    cell = store.cell("dense", FACTS)
    assert cell is not None
    write_scores(store, noise_id("dense"), TASKS[FACTS], store.items(cell), tier="batch of 1")
    comparisons = compare_all(store).comparisons
    assert [comparison.candidate for comparison in comparisons] == ["rtn-8"]
    assert comparisons[0].noise_floor is not None


def test_an_unknown_reference_is_refused(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=10, tasks=[FACTS], damage={"dense": 0, "rtn-8": 0})
    with pytest.raises(InputError, match=r"there is no checkpoint 'dens'.*Did you mean 'dense'"):
        compare_all(store, "dens")


def test_curves_run_from_the_reference_to_the_most_compressed(tmp_path: Path) -> None:
    curves = series_curves(make_results(tmp_path, items=60, windows=9))
    sparsity, bits = curve(curves, "magnitude", FACTS), curve(curves, "rtn", FACTS)
    assert [point.rate for point in sparsity.points] == [0, 0.1, 0.3, 0.5]
    assert [point.rate for point in bits.points] == [16, 8, 4, 3]
    assert sparsity.points[0].comparison.candidate == "dense"
    assert sparsity.points[-1].comparison.candidate == "magnitude-0.5"
    assert len(curves) == 2 * len(TASKS)


def test_a_rank_falls_from_the_whole_and_dropped_layers_rise_from_none(tmp_path: Path) -> None:
    damage = {
        "dense": 0.0,
        "low-rank-0.5": 0.3,
        "low-rank-0.8": 0.1,
        "layer-drop-2": 0.3,
        "layer-drop-1": 0.1,
    }
    curves = series_curves(make_results(tmp_path, items=60, windows=9, damage=damage))
    assert [point.rate for point in curve(curves, "low-rank", FACTS).points] == [1, 0.8, 0.5]
    assert [point.rate for point in curve(curves, "layer-drop", FACTS).points] == [0, 1, 2]


def test_the_matching_rate_is_between_what_is_shown_to_match_and_what_is_shown_not_to(
    tmp_path: Path,
) -> None:
    curves = series_curves(make_results(tmp_path, items=600, windows=20))
    facts = matching_rate(curve(curves, "magnitude", FACTS))
    assert facts is not None
    assert facts.at_least <= facts.rate <= facts.at_most
    assert (facts.rate, facts.fails_at, facts.last) == (0.1, 0.3, 0.5)
    bits = matching_rate(curve(curves, "rtn", "perplexity_wikitext2"))
    assert bits is not None
    assert (bits.at_least, bits.rate, bits.at_most, bits.fails_at) == (4, 4, 4, 3)


def test_a_series_that_never_fails_is_open_at_its_end(tmp_path: Path) -> None:
    damage = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.0}
    store = make_results(tmp_path, items=2000, tasks=[FACTS], damage=damage)
    rate = matching_rate(series_curves(store)[0])
    assert rate is not None
    assert (rate.at_most, rate.fails_at, rate.last) == (4, None, 4)


def test_a_series_without_its_reference_has_no_matching_rate(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=30, tasks=[FACTS], damage={"dense": 0, "rtn-8": 0})
    store.write_checkpoint(checkpoint_record("dense"))
    only = series_curves(store)[0]
    assert only.points == ()
    assert len(only.refusals) == 2
    assert matching_rate(only) is None


def test_a_curve_crosses_the_loss_on_the_straight_line_between_two_points(tmp_path: Path) -> None:
    damage = {"dense": 0.0, "magnitude-0.1": 0.0, "magnitude-0.3": 0.2, "magnitude-0.5": 0.6}
    curves = series_curves(make_results(tmp_path, items=2000, tasks=[FACTS], damage=damage))
    facts = curve(curves, "magnitude", FACTS)
    recoveries = [point.comparison.ratio.value for point in facts.points if point.comparison.ratio]
    crossed = crossing(facts)
    assert crossed is not None
    assert crossed.rate == pytest.approx(
        np.interp(0.05, [1 - recovery for recovery in recoveries], [0, 0.1, 0.3, 0.5])
    )
    assert crossed.earliest is not None
    assert crossed.latest is not None
    assert 0.1 < crossed.earliest < crossed.rate < crossed.latest < 0.3


def test_bits_are_crossed_downwards_and_perplexity_upwards(tmp_path: Path) -> None:
    curves = series_curves(make_results(tmp_path, items=600, windows=20))
    crossed = crossing(curve(curves, "rtn", "perplexity_wikitext2"))
    assert crossed is not None
    assert crossed.rate is not None
    assert 3 < crossed.rate < 4
    assert crossed.latest is not None
    assert crossed.latest <= crossed.rate <= (crossed.earliest or 0)


def test_a_loss_that_is_not_reached_is_crossed_nowhere(tmp_path: Path) -> None:
    damage = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.0}
    crossed = crossing(series_curves(make_results(tmp_path, items=2000, tasks=[FACTS], damage=damage))[0])
    assert crossed is not None
    assert (crossed.rate, crossed.latest, crossed.last) == (None, None, 4)


def test_a_rate_at_the_margin_is_shown_not_to_match_in_five_percent_of_series_at_most(tmp_path: Path) -> None:
    # Each of ten rates loses exactly the margin. Tested one by one, some rate fails in 31 % of the series.
    store = make_results(tmp_path, items=30, tasks=[FACTS], damage={"dense": 0, "rtn-8": 0})
    whole = series_curves(store)[0]
    generator = np.random.default_rng(0)
    failed = 0
    for _ in range(200):
        points = [whole.points[0]]
        for rate in range(10, 0, -1):
            counts = generator.multinomial(600, [0.54, 0.06, 0.03, 0.37])
            sample = PairedSample(np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts))
            update = {"matching": match(sample, 0.05), "ratio": sample.ratio, "candidate": f"rtn-{rate}"}
            comparison = whole.points[1].comparison.model_copy(update=update)
            points.append(CurvePoint(rate=rate, comparison=comparison))
        rate_of = matching_rate(whole.model_copy(update={"points": tuple(points)}))
        assert rate_of is not None
        failed += rate_of.fails_at is not None
    assert failed / 200 <= 0.07
