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
from kick.checkpoints.patterns import violations
from kick.errors import InputError
from kick.types import Description, LinearSparsity, Recipe


def describe(folder: Path, recipe: Recipe | None = None) -> Description:
    """Measure a folder's weights, memory-mapped and without building the model.

    Args:
        folder: a Hugging Face folder with safetensors.
        recipe: how it is said to be made; with a pattern, the share of groups that break it is measured.

    Raises:
        InputError: the folder holds no checkpoint, or no decoder blocks.
    """
    import torch

    config = config_json(folder)
    tensors = stored_tensors(folder)
    linear_names = {tensor.name for tensor in decoder_linears(tensors)}
    if not linear_names:
        raise InputError(f"{folder}: no Linears of decoder blocks among its {len(tensors)} tensors.")
    nonzero = 0
    stored: Counter[str] = Counter()
    linears = []
    broken = groups = 0
    for tensor in tensors:
        values = read_tensor(tensor)
        count = int(torch.count_nonzero(values))
        nonzero += count
        stored[tensor.dtype] += tensor.numel
        if tensor.name in linear_names:
            linears.append(LinearSparsity(name=tensor.name, numel=tensor.numel, zeros=tensor.numel - count))
            if recipe and recipe.pattern:
                more_broken, more_groups = violations(
                    values.T if stores_transposed(config) else values, recipe.pattern
                )
                broken, groups = broken + more_broken, groups + more_groups
    linear_parameters = sum(linear.numel for linear in linears)
    linear_zeros = sum(linear.zeros for linear in linears)
    by_linear = [linear.zeros / linear.numel for linear in linears]
    parameters = sum(stored.values())
    size = sum(path.stat().st_size for path in weight_files(folder))
    return Description(
        architecture=(config.get("architectures") or [config.get("model_type", "unknown")])[0],
        parameters=parameters,
        nonzero=nonzero,
        linear_parameters=linear_parameters,
        linear_zeros=linear_zeros,
        sparsity=linear_zeros / linear_parameters,
        sparsity_min=min(by_linear),
        sparsity_max=max(by_linear),
        bytes_on_disk=size,
        bits_per_weight=8 * size / parameters,
        stored_dtypes=dict(stored),
        quant_method=quant_method(config),
        nm_violations=broken / groups if groups else None,
    )
