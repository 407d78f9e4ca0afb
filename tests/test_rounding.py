"""Rounding against torch's fake quantization, and what follows from its definition."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from kick.rounding import round_to_nearest
from tests.matrices import matrices

BITS = st.integers(2, 8)
GROUPS = st.none() | st.integers(1, 9)


def groups_of(weight: Tensor, size: int | None) -> list[tuple[slice, slice]]:
    rows, columns = weight.shape
    width = size or columns
    return [
        (slice(row, row + 1), slice(start, min(start + width, columns)))
        for row in range(rows)
        for start in range(0, columns, width)
    ]


def step_of(group: Tensor, bits: int, symmetric: bool) -> float:
    values = group.double()
    if symmetric:
        return float(values.abs().max()) / (2 ** (bits - 1) - 1)
    return float(values.max().clamp(min=0) - values.min().clamp(max=0)) / (2**bits - 1)


@given(matrices(), BITS, GROUPS, st.booleans())
def test_rounding_equals_torchs_fake_quantization_group_by_group(
    weight: Tensor, bits: int, size: int | None, symmetric: bool
) -> None:
    rounded = round_to_nearest(weight, bits, size, symmetric)
    for rows, columns in groups_of(weight, size):
        group = weight[rows, columns].float()
        if symmetric:
            low, high, zero = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0
            scale = group.abs().max() / high
        else:
            low, high = 0, 2**bits - 1
            least = group.min().clamp(max=0)
            scale = (group.max().clamp(min=0) - least) / high
            zero = int(torch.round(-least / scale)) if scale > 0 else 0
        if scale > 0:
            faked = torch.fake_quantize_per_tensor_affine(group, float(scale), zero, low, high)
            # torch multiplies by the inverse of the scale, which may round to the next level at an exact
            # half.
            off = (rounded[rows, columns].float() - faked.to(weight.dtype).float()).abs()
            at_half = ((group / scale).frac().abs() - 0.5).abs() < 1e-4
            assert bool(((off <= 1e-6 * scale) | at_half).all())
        else:
            assert not rounded[rows, columns].any()


@given(matrices(dtypes=st.just(torch.float32)), BITS, GROUPS, st.booleans())
def test_no_weight_moves_by_more_than_half_a_step(
    weight: Tensor, bits: int, size: int | None, symmetric: bool
) -> None:
    error = (round_to_nearest(weight, bits, size, symmetric).double() - weight.double()).abs()
    for rows, columns in groups_of(weight, size):
        step = step_of(weight[rows, columns], bits, symmetric)
        assert float(error[rows, columns].max()) <= step * (0.5 + 1e-4)


@given(matrices(), BITS, GROUPS, st.booleans())
def test_a_group_has_at_most_as_many_values_as_levels(
    weight: Tensor, bits: int, size: int | None, symmetric: bool
) -> None:
    rounded = round_to_nearest(weight, bits, size, symmetric)
    assert (rounded.dtype, rounded.shape) == (weight.dtype, weight.shape)
    for rows, columns in groups_of(weight, size):
        assert len(rounded[rows, columns].unique()) <= 2**bits - symmetric


@given(matrices(dtypes=st.just(torch.float32)), BITS, GROUPS, st.booleans())
def test_rounding_twice_is_rounding_once(
    weight: Tensor, bits: int, size: int | None, symmetric: bool
) -> None:
    """Unless a zero point lies halfway between two integers: both ends of the range may then round
    inwards.
    """
    for group in groups_of(weight, size):
        least, step = float(weight[group].min().clamp(max=0)), step_of(weight[group], bits, symmetric)
        assume(symmetric or step == 0 or abs((-least / step) % 1 - 0.5) > 1e-3)
    once = round_to_nearest(weight, bits, size, symmetric)
    torch.testing.assert_close(round_to_nearest(once, bits, size, symmetric), once, rtol=1e-5, atol=1e-30)


@given(matrices(dtypes=st.just(torch.float32)), BITS, GROUPS)
def test_symmetric_rounding_keeps_zeros_signs_and_the_largest_weight(
    weight: Tensor, bits: int, size: int | None
) -> None:
    rounded = round_to_nearest(weight, bits, size, symmetric=True)
    assert not rounded[weight == 0].any()
    assert torch.equal(round_to_nearest(-weight, bits, size, symmetric=True), -rounded)
    for group in groups_of(weight, size):
        torch.testing.assert_close(rounded[group].abs().max(), weight[group].abs().max(), rtol=1e-6, atol=0)


@settings(max_examples=20, deadline=None)
@given(matrices(columns_of=3, dtypes=st.just(torch.float32)), st.booleans())
def test_more_bits_never_make_the_worst_error_larger(weight: Tensor, symmetric: bool) -> None:
    bounds = [step_of(weight, bits, symmetric) for bits in range(2, 9)]
    assert bounds == sorted(bounds, reverse=True)
    at_eight = round_to_nearest(weight, 8, None, symmetric)
    assert float((at_eight - weight).abs().max()) <= bounds[-1] * 0.51


def test_the_last_group_of_a_row_may_be_smaller() -> None:
    weight = torch.tensor([[7.0, 1.4, 0.7, 0.25]])
    assert round_to_nearest(weight, 4, 3, symmetric=True).tolist() == [[7, 1, 1, 0.25]]
    assert round_to_nearest(weight, 4, None, symmetric=True).tolist() == [[7, 1, 1, 0]]


def test_two_symmetric_bits_are_three_levels() -> None:
    weight = torch.tensor([[1.0, 0.6, 0.4, -0.4, -0.6, -1.0]])
    assert round_to_nearest(weight, 2, None, symmetric=True).tolist() == [[1, 1, 0, 0, -1, -1]]


def test_the_zero_point_is_an_integer_and_zero_a_level() -> None:
    weight = torch.tensor([[-1.0, 0.0, 2.0]])
    assert round_to_nearest(weight, 2, None, symmetric=False).tolist() == [[-1, 0, 2]]
    assert round_to_nearest(torch.tensor([[5.0, 6.0]]), 2, None, symmetric=False).tolist() == [[4, 6]]
