"""Random weight matrices for property tests."""

import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


@st.composite
def matrices(draw: st.DrawFn, columns_of: int = 1, dtypes: st.SearchStrategy[torch.dtype] = DTYPES) -> Tensor:
    """Random weights [out, in] with ties, zeros of both signs, and rows of very different scale."""
    rows, columns = draw(st.integers(1, 6)), columns_of * draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    weight = torch.randn(rows, columns, generator=generator)
    weight = weight * 10 ** torch.randint(-2, 2, (rows, 1), generator=generator)
    if draw(st.booleans()):
        weight = weight.round()
    if draw(st.booleans()):
        weight[:, ::2] *= -0.0
    return weight.to(draw(dtypes))
