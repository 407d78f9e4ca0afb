"""What a checkpoint's stored weights are, measured tensor by tensor: parameters, zeros, patterns, bytes."""

from collections import Counter
from pathlib import Path

from kick.checkpoints.checks import quant_method
from kick.checkpoints.folder import (
    config_json,
    decoder_linears,
    read_tensor,
    stored_tensors,
    stores_transposed,
    weight_files,
)
from kick.checkpoints.packed import weight_count
from kick.checkpoints.patterns import violations
from kick.errors import InputError
from kick.types import Description, LinearSparsity, Recipe


def describe(folder: Path, recipe: Recipe | None = None) -> Description:
    """Measure a folder's weights, memory-mapped and without building the model.

    Packed weights are counted as the weights that they stand for; which of them are zero is not measured.

    Args:
        folder: a Hugging Face folder with safetensors.
        recipe: how it is said to be made; with a pattern, the share of groups that break it is measured.

    Raises:
        InputError: the folder holds no checkpoint, or no decoder blocks.
    """
    import torch

    config = config_json(folder)
    method = quant_method(config)
    tensors = {tensor.name: tensor for tensor in stored_tensors(folder)}
    linear_names = {tensor.name for tensor in decoder_linears(tensors.values())}
    if not linear_names:
        raise InputError(f"{folder}: no Linears of decoder blocks among its {len(tensors)} tensors.")
    stored: Counter[str] = Counter()
    parameters = zeros = packed = broken = groups = 0
    linears = []
    for name, tensor in tensors.items():
        stored[tensor.dtype] += tensor.numel
        weights = weight_count(tensor, tensors) if method else tensor.numel
        is_packed = weights > tensor.numel
        values = read_tensor(tensor)
        zeros_here = 0 if is_packed or not weights else tensor.numel - int(torch.count_nonzero(values))
        parameters, zeros = parameters + weights, zeros + zeros_here
        packed += weights if is_packed else 0
        if name in linear_names:
            linears.append(LinearSparsity(name=name, numel=weights, zeros=zeros_here))
            if recipe and recipe.pattern and not is_packed and len(tensor.shape) == 2:
                by_output = values.T if stores_transposed(config) else values
                more_broken, more_groups = violations(by_output, recipe.pattern)
                broken, groups = broken + more_broken, groups + more_groups
    linear_parameters = sum(linear.numel for linear in linears)
    linear_zeros = sum(linear.zeros for linear in linears)
    by_linear = [linear.zeros / linear.numel for linear in linears]
    size = sum(path.stat().st_size for path in weight_files(folder))
    return Description(
        architecture=(config.get("architectures") or [config.get("model_type", "unknown")])[0],
        parameters=parameters,
        nonzero=parameters - zeros,
        linear_parameters=linear_parameters,
        linear_zeros=linear_zeros,
        sparsity=linear_zeros / linear_parameters,
        sparsity_min=min(by_linear),
        sparsity_max=max(by_linear),
        bytes_on_disk=size,
        bits_per_weight=8 * size / parameters,
        stored_dtypes=dict(stored),
        quant_method=method,
        packed=packed,
        nm_violations=broken / groups if groups else None,
    )
