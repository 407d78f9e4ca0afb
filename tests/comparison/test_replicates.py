from pathlib import Path

import numpy as np
import pytest

from kick.comparison import load_pairs
from kick.comparison.replicates import compare_replicates
from kick.errors import InputError
from tests.results import make_results

IDS = {"dense": 0.0, "w4-seed1": 0.05, "w4-seed2": 0.15, "w4-seed3": 0.25}


def test_replicates_are_averaged_with_the_luck_of_the_seed_in_the_interval(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=300, tasks=["kick_mmlu"], damage=IDS)
    pairs = [load_pairs(store, "dense", name, "kick_mmlu") for name in list(IDS)[1:]]
    result = compare_replicates(pairs)
    deltas = [part.sample.delta.value for part in pairs]
    assert result.delta.value == pytest.approx(np.mean(deltas))
    assert result.spread == pytest.approx(np.std(deltas, ddof=1))
    single = pairs[1].sample.delta
    assert result.delta.high - result.delta.low > single.high - single.low
    assert result.candidates == ("w4-seed1", "w4-seed2", "w4-seed3")


def test_one_replicate_is_refused(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=20, tasks=["kick_mmlu"], damage={"dense": 0, "w4-seed1": 0.1})
    with pytest.raises(InputError, match="name at least two"):
        compare_replicates([load_pairs(store, "dense", "w4-seed1", "kick_mmlu")])
