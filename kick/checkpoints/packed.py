"""How many weights of the model a stored tensor stands for, where a quantiser packs several into one value.

Told by what is stored, never by the bits that a config declares.
"""

import re
from collections.abc import Mapping

from kick.checkpoints.folder import StoredTensor, read_tensor

# What quantisers store beside the weights: scales, zero points, shapes, orders, code books.
_SIDE_TENSOR = re.compile(
    r"\.(weight|input|output|activation|[kv])_(global_)?(scale|zero_point|shape|g_idx)(_inv)?$"
    r"|\.(scales|qzeros|g_idx|SCB|weight_format)$"
    r"|\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+)$"
    r"|_scales$"
)


def weight_count(tensor: StoredTensor, stored: Mapping[str, StoredTensor]) -> int:
    """The weights that one tensor of a quantised checkpoint holds: 0 for scales and their like.

    Knows the layouts of compressed-tensors, GPTQ, AWQ, bitsandbytes 4-bit and MXFP4; any other tensor holds as
    many weights as values.

    Args:
        tensor: the tensor.
        stored: every tensor of the checkpoint by name.
    """
    module, _, kind = tensor.name.rpartition(".")
    if _SIDE_TENSOR.search(tensor.name):
        return 0
    if kind == "weight_packed" and f"{module}.weight_shape" in stored:
        return int(read_tensor(stored[f"{module}.weight_shape"]).prod())
    if kind == "qweight" and {f"{module}.qzeros", f"{module}.scales"} <= stored.keys():
        outputs = stored[f"{module}.scales"].shape[-1]
        bits = (
            32 * stored[f"{module}.qzeros"].shape[-1] / outputs
        )  # zero points are packed as the weights are
        return round(tensor.numel * 32 / bits)
    if tensor.dtype == "U8" and (kind.endswith("_blocks") or f"{tensor.name}.absmax" in stored):
        return 2 * tensor.numel
    return tensor.numel
