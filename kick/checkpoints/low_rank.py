"""The loader `low-rank`: Linears of the decoder blocks stored as two factors, W = U V^T (SVD-LLM, arXiv:2403.07378).

Instead of `<linear>.weight` [out, in] a checkpoint holds `<linear>.u.weight` [out, rank] and `<linear>.v.weight`
[rank, in], each with its own rank; a bias stays `<linear>.bias`. Its parameters are those of the factors.
"""

import re
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kick.checkpoints.loaders import Shapes
from kick.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_FACTOR = re.compile(r"^(?P<linear>.*\.\d+\..+)\.u\.weight$")


class LowRankLinear(nn.Module):
    """y = U V^T x + b, without U V^T ever being formed."""

    def __init__(self, inputs: int, outputs: int, rank: int, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.v = nn.Linear(inputs, rank, bias=False)
        self.u = nn.Linear(rank, outputs, bias=False)
        self.bias = nn.Parameter(self.u.weight.new_empty(outputs)) if bias else None

    def forward(self, states: Tensor) -> Tensor:
        """Return y for states x [..., in]."""
        out: Tensor = self.u(self.v(states))
        return out if self.bias is None else out + self.bias


def build(config: "PretrainedConfig", shapes: Shapes) -> "PreTrainedModel":
    """Return the config's model, with factors in place of the Linears that are stored as such.

    Raises:
        InputError: no factors are stored, or those of a module that is not a Linear.
    """
    from transformers import AutoModelForCausalLM

    names = [match["linear"] for name in shapes if (match := _FACTOR.match(name))]
    if not names:
        raise InputError(
            "the loader 'low-rank' finds no factors (`<linear>.u.weight` and `<linear>.v.weight`) among the tensors."
        )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    linears = dict(model.named_modules())
    for name in names:
        linear = linears.get(name)
        if not isinstance(linear, nn.Linear):
            raise InputError(f"'{name}' is stored as factors and is not a Linear of the model.")
        rank = shapes[f"{name}.u.weight"][1]
        factors = LowRankLinear(linear.in_features, linear.out_features, rank, linear.bias is not None)
        model.set_submodule(name, factors)
    return model
