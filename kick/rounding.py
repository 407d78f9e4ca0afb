"""Rounding of weights, and of keys and values, to the levels of a few bits, group by group."""

import torch
from torch import Tensor


def round_to_nearest(weight: Tensor, bits: int, group_size: int | None, symmetric: bool) -> Tensor:
    """Round each weight to the nearest level of its group, and return that level as a weight again.

    Computed in float32, rounding half to even, and cast back to the dtype of `weight`. With w a group's
    weights and h = 2^(bits-1):

        symmetric   s = max|w| / (h - 1)                     z = 0
                    q = clamp(round(w/s), -h, h - 1)         result = s q
        asymmetric  s = (max(w,0) - min(w,0)) / (2h - 1)     z = round(-min(w,0) / s)
                    q = clamp(round(w/s) + z, 0, 2h - 1)     result = s (q - z)

    Symmetric is AWQ's `pseudo_quantize_tensor` without a zero point (arXiv:2306.00978): zero is a level and
    max|w| is kept; at 2 bits the levels are -s, 0, s. Asymmetric is GPTQ's `Quantizer` (arXiv:2210.17323)
    with its integer zero point. The scales stay in float32, whereas packed formats round them to 16 bits. No
    error is larger than s / 2.

    Args:
        weight: [out, in], floating point; for keys and values, one row per head of a token.
        bits: 2..8.
        group_size: consecutive weights of a row that share one scale; None: the whole row. If it does not
            divide `in`, the last group of each row is smaller.
        symmetric: see above.

    Returns:
        [out, in], in the dtype of `weight`.
    """
    rows, columns = weight.shape
    size = min(group_size or columns, columns)
    whole = columns - columns % size
    parts = [_rounded(weight[:, :whole].reshape(-1, size), bits, symmetric).reshape(rows, whole)]
    if whole < columns:
        parts.append(_rounded(weight[:, whole:], bits, symmetric))
    return torch.cat(parts, dim=1).to(weight.dtype)


def _rounded(groups: Tensor, bits: int, symmetric: bool) -> Tensor:
    """Quantize and dequantize groups [n, size] in float32; one row is one group."""
    values = groups.to(torch.float32)
    if symmetric:
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        scale = values.abs().amax(dim=1, keepdim=True) / high
    else:
        low, high = 0, 2**bits - 1
        least = values.amin(dim=1, keepdim=True).clamp(max=0)
        scale = (values.amax(dim=1, keepdim=True).clamp(min=0) - least) / high
    # A group of zeros stays a group of zeros.
    scale = torch.where(scale == 0, 1, scale)
    zero = torch.zeros_like(scale) if symmetric else torch.round(-least / scale)
    return (torch.round(values / scale).add_(zero).clamp_(low, high) - zero) * scale
