"""Refuse checkpoint folders that are unfit to be scored, from their files, before a model is built.

transformers loads each of these: it warns, casts, or initialises at random, and the scores would be those of another
model.
"""

from pathlib import Path
from typing import Any

from kick.checkpoints.folder import FLOATS, MATRICES, StoredTensor, read_tensor
from kick.checkpoints.untrusted import section
from kick.errors import InputError, nearest

_GPU_ONLY = ("eetq", "fbgemm_fp8", "higgs", "spqr", "vptq", "fp_quant")


def quantization_config(config: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a config declares about its quantization, in either place that transformers reads, or None."""
    declared = config.get("quantization_config") or config.get("compression_config")
    if declared is None and isinstance(config.get("text_config"), dict):
        declared = config["text_config"].get("quantization_config")
    return declared if isinstance(declared, dict) else None


def quant_method(config: dict[str, Any]) -> str | None:
    """Return the declared method as transformers names it, 'unnamed' for a declaration without a name, or None."""
    declared = quantization_config(config)
    if declared is None:
        return None
    if declared.get("load_in_8bit"):
        return "bitsandbytes_8bit"
    if declared.get("load_in_4bit"):
        return "bitsandbytes_4bit"
    return str(declared.get("quant_method", "unnamed"))


def check_quantizer(folder: Path, config: dict[str, Any], device: str) -> None:
    """Refuse quantization that transformers would ignore, and formats that it no longer reads."""
    method = quant_method(config)
    if method is None:
        return
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    declared = quantization_config(config) or {}
    where = f"{folder}: config.json declares quant_method '{method}'"
    if method == "modelopt":
        raise InputError(
            f"{where}, which transformers does not know: it would load the packed weights as if they were "
            "dense. Convert the checkpoint to compressed-tensors, or export it dequantized."
        )
    if method == "nvfp4":
        raise InputError(
            f"{where}, which transformers cannot load pre-quantized. Export it as compressed-tensors "
            "(nvfp4-pack)."
        )
    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise InputError(
            f"{where}, which transformers does not know: it would load the stored tensors as if they were "
            f"dense. {nearest(method, sorted(AUTO_QUANTIZATION_CONFIG_MAPPING))} Or export it dequantized."
        )
    if method in _GPU_ONLY and device == "cpu":
        raise InputError(f"{where}, which runs on a GPU only. Score it with --device cuda.")
    sparse = section(declared, "sparsity_config").get("format", "dense")
    if sparse != "dense":
        raise InputError(
            f"{folder}: config.json declares the sparse storage format '{sparse}', which compressed-tensors "
            "no longer reads since 0.15. Decompress it with an older one and save it as dense safetensors."
        )


def check_sparse_files(folder: Path, tensors: list[StoredTensor]) -> None:
    """Refuse weights that are stored as bitmasks and non-zeros, whatever the config declares."""
    for tensor in tensors:
        if tensor.name.endswith(".bitmask"):
            raise InputError(
                f"{folder}: '{tensor.name}' belongs to the storage format 'sparse-bitmask', which compressed-tensors "
                "no longer reads since 0.15. Decompress it with an older one and save it as dense safetensors."
            )


def check_code(folder: Path, config: dict[str, Any], trust_remote_code: bool) -> None:
    """Refuse a model whose class transformers lacks, unless the folder brings its code and is trusted."""
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if model_type is None:
        raise InputError(
            f"{folder}: config.json has no 'model_type'. Give a folder as save_pretrained writes it."
        )
    if model_type in CONFIG_MAPPING or trust_remote_code:
        return
    if config.get("auto_map"):
        raise InputError(
            f"{folder} brings its own code (auto_map in config.json, model_type '{model_type}'), and kick "
            "runs no code of a checkpoint unasked. Read it, then set trust_remote_code: true."
        )
    raise InputError(
        f"{folder}: this version of transformers does not know model_type '{model_type}'. "
        f"{nearest(str(model_type), list(CONFIG_MAPPING))}"
    )


def check_values(folder: Path, tensors: list[StoredTensor], dtype: str, *, quantized: bool) -> None:
    """Refuse packed weights without a quantizer, constant matrices, and values not finite in `dtype`.

    Reads every weight once.
    """
    import torch

    for tensor in tensors:
        is_weight = len(tensor.shape) >= 2 and tensor.name.endswith(MATRICES)
        if is_weight and tensor.dtype not in FLOATS and not quantized:
            raise InputError(
                f"{folder}: '{tensor.name}' is stored as {tensor.dtype}, but config.json declares no "
                "quantization: packed weights would be taken for dense ones. Restore quantization_config, or "
                "export the checkpoint dequantized."
            )
        if tensor.numel == 0:
            raise InputError(
                f"{folder}: '{tensor.name}' is empty (shape {list(tensor.shape)}). Export it again."
            )
        values = read_tensor(tensor)
        if values.dtype == torch.bool or values.is_complex():
            continue
        low, high = (bound.item() for bound in torch.aminmax(values))
        if not (float("-inf") < low and high < float("inf")):
            bad = int((~torch.isfinite(values)).sum())
            raise InputError(
                f"{folder}: '{tensor.name}' holds {bad} values that are NaN or infinite, of {tensor.numel}. "
                "The export is broken: make it again."
            )
        if dtype == "float16" and max(-low, high) > torch.finfo(torch.float16).max:
            raise InputError(
                f"{folder}: '{tensor.name}' holds values up to {max(-low, high):g}, which are infinite in "
                "float16. Load the checkpoint as bfloat16 or float32."
            )
        if is_weight and low == high and tensor.numel > 1:
            raise InputError(
                f"{folder}: every value of '{tensor.name}' (shape {list(tensor.shape)}) is {low:g}. "
                "The export is broken: make it again."
            )
