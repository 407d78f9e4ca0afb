"""Count the weights of stored tensors, and tell their layout, if a quantizer packs several weights into one value.

Both follow from what is stored, never from the bits that a config declares.
"""

import re
from collections.abc import Mapping

from kick.checkpoints.folder import FLOATS, StoredTensor, read_tensor
from kick.errors import InputError

# The tensors that quantizers store next to the weights: scales, zero points, shapes, orders, code books.
_SIDE_TENSOR = re.compile(
    r"\.(weight|input|output|activation|[kv])_(global_)?(scale|zero_point|shape|g_idx)(_inv)?$"
    r"|\.(scales|qzeros|g_idx|SCB|weight_format)$"
    r"|\._weight_(scale|zero_point)$"
    r"|\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+)$"
    r"|_scales$"
)
_PACKED = re.compile(r"\.(weight_packed|qweight|_weight_qdata)$|\.weight\.absmax$|_blocks$")
_SCALES = ("weight_scale", "weight_scale_inv", "_weight_scale", "scales", "SCB", "weight.absmax")
# Weights in one stored value at most: sixteen of 2 bits in an int32; below that, bits of an int64.
_MOST_PER_VALUE = 64


def holds_packed(stored: Mapping[str, StoredTensor]) -> bool:
    """Return whether any tensor of a checkpoint is of a packed layout, whatever its config declares."""
    return any(_PACKED.search(name) for name in stored)


def weight_count(tensor: StoredTensor, stored: Mapping[str, StoredTensor]) -> int:
    """Return the number of weights in one tensor of a quantized checkpoint: 0 for scales and their like.

    Knows the layouts of compressed-tensors, GPTQ, AWQ, bitsandbytes 4-bit, torchao and MXFP4; any other tensor holds as
    many weights as values.

    Args:
        tensor: the tensor.
        stored: every tensor of the checkpoint by name.

    Raises:
        InputError: the tensor is empty, or a shape or scales stored next to it do not fit its size.
    """
    module, _, kind = tensor.name.rpartition(".")
    weights: float = tensor.numel
    if _SIDE_TENSOR.search(tensor.name):
        return 0
    if kind == "weight_packed" and f"{module}.weight_shape" in stored:
        weights = int(read_tensor(stored[f"{module}.weight_shape"]).prod())
    elif kind == "qweight" and {f"{module}.qzeros", f"{module}.scales"} <= stored.keys():
        scales, zeros = stored[f"{module}.scales"], stored[f"{module}.qzeros"]
        # Zero points are packed as the weights are: as many per value.
        if scales.numel and zeros.numel and scales.shape and zeros.shape:
            weights = tensor.numel * scales.shape[-1] / zeros.shape[-1]
    elif kind == "_weight_qdata" and tensor.block and f"{module}._weight_scale" in stored:
        weights = stored[f"{module}._weight_scale"].numel * tensor.block
    elif tensor.dtype == "U8" and (
        kind.endswith("_blocks") or kind == "weight_packed" or f"{tensor.name}.absmax" in stored
    ):
        weights = 2 * tensor.numel
    if not 0 < weights <= tensor.numel * _MOST_PER_VALUE:
        raise InputError(
            f"'{tensor.name}' is said to hold {round(weights):,} weights in {tensor.numel:,} values. "
            "The export is broken: make it again."
        )
    return round(weights)


def module_of(name: str) -> str:
    """Return the module that a tensor belongs to, by its name; for a scale, that of its weight."""
    side = _SIDE_TENSOR.search(name)
    if side:
        return name[: side.start()]
    if name.endswith("_blocks"):
        return name.removesuffix("_blocks")
    module, _, kind = name.rpartition(".")
    return name if module.endswith(".experts") and kind != "weight" else module


def layout(tensor: StoredTensor, stored: Mapping[str, StoredTensor]) -> str:
    """Return the layout of a weight by what is stored next to it: `dense`, or the name of the format's own library.

    Args:
        tensor: the weight.
        stored: at least the tensors of its module, by name.
    """
    module, _, kind = tensor.name.rpartition(".")
    beside = {name for name in _SCALES if f"{module}.{name}" in stored}
    if kind == "weight_packed":
        if tensor.dtype == "U8":
            return f"{'nvfp4' if f'{module}.weight_global_scale' in stored else 'mxfp4'}-pack-quantized"
        return "pack-quantized"
    if kind == "qweight" and "scales" in beside:
        return "gptq" if tensor.shape[-1] == stored[f"{module}.scales"].shape[-1] else "awq"
    if "_weight_scale" in beside:
        return "torchao"
    if "weight.absmax" in beside:
        state = next((name for name in stored if name.startswith(f"{tensor.name}.quant_state.")), "4bit")
        return f"bitsandbytes {state.rpartition('__')[2]}"
    if "SCB" in beside:
        return "bitsandbytes int8"
    if kind.endswith("_blocks"):
        return "mxfp4"
    if tensor.dtype in FLOATS:
        return "dense"
    return "float-quantized" if tensor.dtype.startswith("F8") else "int-quantized"


def scale_count(tensor: StoredTensor, stored: Mapping[str, StoredTensor]) -> int:
    """Return the number of scales of a weight; 0 if it has none."""
    module = module_of(tensor.name)
    names = (*(f"{module}.{name}" for name in _SCALES), f"{module}_scales")
    return sum(stored[name].numel for name in names if name in stored)


def zero_is_zero(tensor: StoredTensor, stored: Mapping[str, StoredTensor]) -> bool:
    """Return whether a stored zero is the weight zero, which it is not if there is a zero point."""
    module = module_of(tensor.name)
    return not {f"{module}.weight_zero_point", f"{module}._weight_zero_point"} & stored.keys()
