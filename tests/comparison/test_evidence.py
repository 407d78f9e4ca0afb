import math

import numpy as np
import pytest

from kick.comparison.evidence import evidence_beyond, evidence_within
from kick.comparison.sample import PairedSample
from kick.errors import InputError


def binary(n: int, lost: int, gained: int, groups: np.ndarray | None = None) -> PairedSample:
    a = np.ones(n)
    a[: n // 3] = 0
    b = a.copy()
    b[:gained] = 1
    b[n - lost :] = 0
    return PairedSample(a, b, groups)


def windows(n: int, rise: float) -> PairedSample:
    generator = np.random.default_rng(0)
    a = generator.normal(3, 0.2, n)
    b = a + rise * generator.uniform(0.7, 1.3, n)
    return PairedSample(a, b, weights=np.full(n, 2047.0), perplexity=True, higher_is_better=False)


def test_a_copy_is_within_and_a_broken_model_beyond() -> None:
    copy, broken = binary(300, 0, 0), binary(300, 150, 5)
    assert evidence_within(copy, ratio=0.05).shows(0.05)
    assert not evidence_beyond(copy, ratio=0.025).shows(0.05)
    assert evidence_beyond(broken, ratio=0.025).shows(0.05, tests=60)
    assert not evidence_within(broken, ratio=0.05).shows(0.05)


def test_a_small_loss_is_neither_within_nor_beyond() -> None:
    between = binary(300, 10, 3)
    assert not evidence_within(between, drop=0.03).shows(0.05)
    assert not evidence_beyond(between, drop=0.015).shows(0.05)


def test_the_p_value_is_at_most_one_and_falls_with_the_evidence() -> None:
    assert evidence_within(binary(300, 150, 5), ratio=0.05).p_value == 1
    evidence = evidence_within(binary(300, 0, 0), ratio=0.05)
    assert evidence.p_value == pytest.approx(math.exp(-evidence.log_e))


def test_the_full_run_is_settled_by_its_items() -> None:
    sample = binary(300, 10, 4)
    assert evidence_within(sample, ratio=0.05, total=300).log_e == math.inf
    assert evidence_beyond(sample, ratio=0.01, total=300).log_e == math.inf
    assert evidence_within(sample, ratio=0.05, total=300).method == "bets on the full run"


def test_passages_are_units() -> None:
    groups = np.repeat(np.arange(30), 10)
    evidence = evidence_within(binary(300, 0, 0, groups), ratio=0.05)
    assert evidence.units == 30
    assert evidence.log_e < evidence_within(binary(300, 0, 0), ratio=0.05).log_e


def test_perplexity_is_bet_on_by_blocks_of_windows() -> None:
    assert evidence_within(windows(80, 0.005), ratio=0.05).shows(0.05)
    assert evidence_beyond(windows(80, 0.2), ratio=0.05).shows(0.05)
    assert not evidence_within(windows(80, 0.2), ratio=0.05).shows(0.05)
    assert evidence_within(windows(40, 0.005), ratio=0.05).log_e == 0
    with pytest.raises(InputError, match="give a ratio"):
        evidence_within(windows(80, 0.005), drop=0.1)


def test_windows_that_do_not_differ_are_no_certainty() -> None:
    evidence = evidence_within(windows(160, 0.0), ratio=0.05)
    assert 0 < evidence.log_e < 15


def test_a_perplexity_without_bound_is_beyond_everything() -> None:
    sample = windows(20, 0.0)
    b = sample.b.copy()
    b[3] = np.inf
    broken = PairedSample(sample.a, b, weights=sample.weights, perplexity=True, higher_is_better=False)
    assert evidence_beyond(broken, ratio=0.05).log_e == math.inf
    assert evidence_within(broken, ratio=0.05).log_e == 0


def test_scores_without_bounds_are_refused() -> None:
    with pytest.raises(InputError, match="0 to 1"):
        evidence_within(PairedSample(np.array([3.0, 2.0]), np.array([1.0, 2.0])), ratio=0.05)
