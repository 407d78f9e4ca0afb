import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kick.comparison.statistics.multiplicity import Correction, adjust


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@pytest.mark.parametrize(("correction", "theirs"), [("holm", "holm"), ("benjamini-hochberg", "fdr_bh")])
def test_adjusted_p_values_agree_with_statsmodels(
    correction: Correction, theirs: str, p_values: list[float]
) -> None:
    assert adjust(p_values, correction) == pytest.approx(multipletests(p_values, method=theirs)[1].tolist())


def test_without_a_correction_p_values_stay_as_they_are() -> None:
    assert adjust([0.01, 0.04], "none") == [0.01, 0.04]


def test_one_test_needs_no_correction() -> None:
    assert adjust([0.04], "holm") == [0.04]
