import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kick.checkpoints.description.patterns import broken_groups
from kick.compression.baselines import magnitude
from kick.errors import InputError
from tests.matrices import matrices

SPARSITIES = st.floats(0.01, 0.99)
PATTERNS = st.sampled_from(["2:4", "4:8", "1:2", "1:4", "3:4"])


@given(matrices(), SPARSITIES)
def test_unstructured_pruning_zeroes_what_numpy_sorts_first(weight: Tensor, sparsity: float) -> None:
    values = weight.float().numpy().ravel().copy()
    values[np.argsort(np.abs(values), kind="stable")[: round(sparsity * values.size)]] = 0
    assert np.array_equal(magnitude(weight, sparsity, None).float().numpy().ravel(), values)


@given(matrices(), SPARSITIES)
def test_unstructured_pruning_is_exact_and_changes_nothing_that_it_keeps(
    weight: Tensor, sparsity: float
) -> None:
    before = weight.clone()
    pruned = magnitude(weight, sparsity, None)
    assert torch.equal(weight, before)
    assert (pruned.dtype, pruned.shape) == (weight.dtype, weight.shape)
    kept = pruned != 0
    assert torch.equal(pruned[kept], weight[kept])
    newly_zero = int(((pruned == 0) & (weight != 0)).sum())
    assert newly_zero == max(0, round(sparsity * weight.numel()) - int((weight == 0).sum()))


@given(matrices(), SPARSITIES, SPARSITIES)
def test_a_larger_sparsity_zeroes_all_that_a_smaller_one_does(
    weight: Tensor, one: float, other: float
) -> None:
    less, more = (magnitude(weight, sparsity, None) == 0 for sparsity in sorted((one, other)))
    assert bool((more | ~less).all())


@given(matrices(columns_of=8), PATTERNS)
def test_each_group_keeps_its_largest_weights(weight: Tensor, pattern: str) -> None:
    kept, size = (int(part) for part in pattern.split(":"))
    pruned = magnitude(weight, 1 - kept / size, pattern)
    assert broken_groups((pruned != 0).numpy(), pattern)[0] == 0
    expected = weight.float().numpy().copy()
    for row in expected:
        for start in range(0, len(row), size):
            smallest = np.argsort(np.abs(row[start : start + size]), kind="stable")[: size - kept]
            row[start + smallest] = 0
    assert np.array_equal(pruned.float().numpy(), expected)


def test_two_of_every_four_weights_are_zeroed() -> None:
    weight = torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.1, 0.2, -0.3, 0.4]])
    assert magnitude(weight, 0.5, "2:4").tolist() == [
        [0, -4, 3, 0, 0, 0, pytest.approx(-0.3), pytest.approx(0.4)]
    ]


def test_of_equal_weights_the_earlier_is_zeroed() -> None:
    assert magnitude(torch.ones(2, 4), 0.5, None).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert magnitude(torch.ones(2, 4), 0.5, "2:4").tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_a_pattern_that_does_not_divide_the_inputs_is_refused() -> None:
    with pytest.raises(InputError, match="6 is not divisible into the groups of 4 of 2:4"):
        magnitude(torch.rand(2, 6), 0.5, "2:4")
