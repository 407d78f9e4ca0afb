import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from kick.comparison.statistics.moments import degrees_of_freedom, effective_n, paired_moments


def draw(n: int, groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    codes = np.sort(generator.integers(0, groups, n))
    codes[:groups] = np.arange(groups)
    shared = generator.normal(size=groups)[codes]
    a = shared + generator.normal(size=n)
    return a, 0.7 * a + generator.normal(size=n), codes


def test_independent_items_have_the_usual_standard_error() -> None:
    a, b, _ = draw(50, 5)
    moments = paired_moments(a, b)
    assert moments.variance() == pytest.approx(np.var(b - a, ddof=1) / 50)
    assert moments.df == pytest.approx(49)
    assert moments.variance(0.95) == pytest.approx(np.var(b - 0.95 * a, ddof=1) / 50)


def test_groups_of_equal_size_have_the_cluster_variance_of_statsmodels() -> None:
    a, b, _ = draw(60, 12)
    codes = np.repeat(np.arange(12), 5)
    fit = sm.OLS(b - a, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    moments = paired_moments(a, b, groups=codes)
    assert moments.variance() == pytest.approx(fit.bse[0] ** 2)
    assert moments.df == pytest.approx(11)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=2, max_size=9), st.integers(0, 1000))
def test_unequal_groups_have_the_variance_and_freedom_of_the_matrix_formulas(
    sizes: list[int], seed: int
) -> None:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)
    values = np.random.default_rng(seed).normal(size=n)
    hat = np.full((n, n), 1 / n)
    residual = np.eye(n) - hat
    errors = residual @ values
    meat, vectors = 0.0, []
    for group in range(len(sizes)):
        rows = np.flatnonzero(codes == group)
        block = np.eye(len(rows)) - hat[np.ix_(rows, rows)]
        eigenvalues, eigenvectors = np.linalg.eigh(block)
        root = eigenvectors @ np.diag(eigenvalues**-0.5) @ eigenvectors.T
        ones = np.ones(len(rows)) / n
        meat += float(ones @ root @ errors[rows]) ** 2
        vectors.append(residual[:, rows] @ root @ ones)
    table = np.array([[one @ two for two in vectors] for one in vectors])
    moments = paired_moments(np.zeros(n), values, groups=codes)
    assert moments.variance() == pytest.approx(meat)
    assert moments.df == pytest.approx(np.trace(table) ** 2 / np.sum(table**2))


def test_one_dominant_group_leaves_little_freedom() -> None:
    assert degrees_of_freedom(np.array([0.9, 0.05, 0.05])) < 1.3
    assert degrees_of_freedom(np.full(40, 1 / 40)) == pytest.approx(39)


def test_a_single_group_gives_no_variance() -> None:
    moments = paired_moments(np.zeros(5), np.arange(5.0), groups=np.zeros(5, dtype=np.int64))
    assert moments.df == 0
    assert moments.difference_interval() == (-np.inf, np.inf)


def test_weights_count_windows_by_their_tokens() -> None:
    a, b, _ = draw(6, 2)
    once = paired_moments(np.repeat(a, [1, 1, 1, 1, 1, 2]), np.repeat(b, [1, 1, 1, 1, 1, 2]))
    weighted = paired_moments(a, b, weights=np.array([1, 1, 1, 1, 1, 2.0]))
    assert weighted.mean_b == pytest.approx(once.mean_b)


def test_items_that_copy_each_other_are_worth_one_item_a_group() -> None:
    values = np.repeat(np.array([0, 1, 0, 1, 1, 0, 0, 1, 0, 1.0]), 20)
    codes = np.repeat(np.arange(10), 20)
    worth, df = effective_n(values, codes)
    assert worth == pytest.approx(9, abs=0.1)  # ten groups, one degree of freedom for the mean
    assert df == pytest.approx(9)


def test_values_that_do_not_vary_are_worth_one_item_a_group() -> None:
    assert effective_n(np.ones(200), np.repeat(np.arange(10), 20)) == (10, np.inf)


def test_groups_that_disagree_less_than_chance_do_not_add_items() -> None:
    values = np.tile([0.0, 1.0], 50)
    worth, _ = effective_n(values, np.repeat(np.arange(50), 2))
    assert worth <= 100
