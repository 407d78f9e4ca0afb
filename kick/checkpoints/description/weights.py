"""Measure a checkpoint's stored weights tensor by tensor: parameters, zeros, patterns, bits, bytes."""

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kick.checkpoints.checks import quant_method
from kick.checkpoints.description.gguf_file import describe_gguf, is_gguf
from kick.checkpoints.description.made import read_making
from kick.checkpoints.description.packed import (
    holds_packed,
    layout,
    module_of,
    scale_count,
    weight_count,
    zero_is_zero,
)
from kick.checkpoints.description.patterns import COMMON, broken_groups, parse_pattern
from kick.checkpoints.description.tally import Tally
from kick.checkpoints.folder import (
    StoredTensor,
    config_json,
    decoder_linears,
    is_fused_experts,
    read_tensor,
    stored_tensors,
    stores_transposed,
    weight_files,
)
from kick.errors import InputError
from kick.types import Step
from kick.types.measures import Description, LinearWeights

if TYPE_CHECKING:
    from torch import Tensor

# Values that are read together: they stay in the processor's cache.
CHUNK = 2**20
_EXPERT = re.compile(r"^(?P<layer>.*(^|\.)experts)\.(?P<id>\d+)\.")
_EXPERTS_PER_TOKEN = (
    "num_experts_per_tok",
    "experts_per_token",
    "num_selected_experts",
    "moe_top_k",
    "top_k_experts",
)


def describe(model: Path, recipe: Step | None = None) -> Description:
    """Measure a checkpoint's weights, memory-mapped and without building the model.

    Packed weights are counted one by one; which of them are zero is not measured.

    Args:
        model: a Hugging Face folder with safetensors, or a .gguf file.
        recipe: how it is said to be made (default: as the folder's kick.json says). If it has a pattern, the share of
            groups that break it is measured.

    Raises:
        InputError: there is no checkpoint, or it has no decoder blocks.
    """
    provenance = read_making(model) if recipe is None else None
    recipe = provenance.recipe if provenance else recipe
    return measure(model, recipe.pattern if recipe else None)[0]


def measure(model: Path, pattern: str | None = None) -> tuple[Description, tuple[LinearWeights, ...]]:
    """Return the same as `describe`, and every Linear of the decoder blocks in the order of their names.

    Args:
        model: a Hugging Face folder with safetensors, or a .gguf file.
        pattern: N:M to measure in addition to the common ones.
    """
    if pattern is not None:
        parse_pattern(pattern)
    if is_gguf(model):
        return describe_gguf(model, pattern)
    config = config_json(model)
    method = quant_method(config)
    tensors = {tensor.name: tensor for tensor in stored_tensors(model)}
    modules: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        modules[module_of(name)][name] = tensor
    linears = {tensor.name for tensor in decoder_linears(tensors.values())}
    quantized = method is not None or holds_packed(tensors)
    patterns = tuple(dict.fromkeys([*COMMON, *([pattern] if pattern else [])]))
    transposed = stores_transposed(config)
    tally = Tally()
    try:
        for tensor in tensors.values():
            beside = modules[module_of(tensor.name)]
            weights = weight_count(tensor, beside) if quantized else tensor.numel
            if _is_second_copy(tensor, tensors, config):
                tally.add(tensor.dtype, tensor.numel, tensor.end - tensor.begin, 0, 0)
                continue
            is_linear = tensor.name in linears
            if is_linear and not weights:
                raise InputError(f"'{tensor.name}' is empty (shape {list(tensor.shape)}). Export it again.")
            matrix_patterns = patterns if is_linear and len(tensor.shape) == 2 else ()
            zeros = _add(tally, tensor, weights, beside, matrix_patterns, transposed)
            if is_linear:
                tally.linears.append(_linear(tensor, weights, zeros, beside))
        description = tally.describe(
            (config.get("architectures") or [config.get("model_type", "unknown")])[0],
            bytes_on_disk=sum(path.stat().st_size for path in weight_files(model)),
            quant_method=method,
            experts_per_token=_experts_per_token(config),
            pattern=pattern,
        )
    except InputError as error:
        raise InputError(f"{model}: {error}") from None
    return description, tuple(sorted(tally.linears, key=lambda linear: linear.name))


def _add(
    tally: Tally,
    tensor: StoredTensor,
    weights: int,
    beside: dict[str, StoredTensor],
    patterns: tuple[str, ...],
    transposed: bool,
) -> int | None:
    """Add a tensor to the sums; return how many of its weights are zero, None if that is not counted."""
    zeros: int | None = 0
    if weights > tensor.numel or not zero_is_zero(tensor, beside):
        zeros = None
    elif weights:
        values = read_tensor(tensor)
        zeros = _count(tally, values.T.contiguous() if transposed and patterns else values, patterns)
    tally.add(tensor.dtype, tensor.numel, tensor.end - tensor.begin, weights, zeros)
    expert = _EXPERT.match(tensor.name)
    if expert:
        tally.add_expert(expert["layer"], expert["id"], weights)
    elif is_fused_experts(tensor):
        tally.add_fused_experts(tensor.name.rpartition(".")[0], tensor.shape[0], weights)
    return zeros


def _count(tally: Tally, values: "Tensor", patterns: tuple[str, ...]) -> int:
    """Return the zeros of a tensor, of either sign, and add the groups that break `patterns`, a few rows at a time."""
    import torch

    bits = values
    if values.is_floating_point():
        bits = values.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()])
    rows = bits.reshape(-1, values.shape[-1] if values.dim() else 1).numpy()
    step = max(1, CHUNK // rows.shape[1]) if rows.size else 1
    zeros = 0
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        nonzero = (part << 1 if values.is_floating_point() else part) != 0
        zeros += nonzero.size - int(np.count_nonzero(nonzero))
        for pattern in patterns:
            tally.add_groups(pattern, *broken_groups(nonzero, pattern))
    return zeros


def _linear(
    tensor: StoredTensor, weights: int, zeros: int | None, beside: dict[str, StoredTensor]
) -> LinearWeights:
    scales = scale_count(tensor, beside)
    others = (one for one in beside.values() if not one.name.endswith("bias"))
    return LinearWeights(
        name=module_of(tensor.name),
        format=layout(tensor, beside),
        dtype=tensor.dtype,
        weights=weights,
        zeros=zeros,
        bytes=sum(one.end - one.begin for one in others),
        value_bits=8 * (tensor.end - tensor.begin) / weights,
        group_size=weights / scales if scales else None,
    )


def _is_second_copy(tensor: StoredTensor, tensors: dict[str, StoredTensor], config: dict[str, Any]) -> bool:
    """Return whether a tensor is a head that repeats the embeddings: it counts as bytes, not as parameters."""
    tied = config.get("tie_word_embeddings") is True
    return tied and tensor.name == "lm_head.weight" and any("embed_tokens" in name for name in tensors)


def _experts_per_token(config: dict[str, Any]) -> int | None:
    text = config.get("text_config")
    stated = {**config, **(text if isinstance(text, dict) else {})}
    numbers = (stated.get(key) for key in _EXPERTS_PER_TOKEN)
    return next((number for number in numbers if type(number) is int and number > 0), None)
