"""The differences between a model as it is scored and as it would be deployed, read from the checkpoint's files."""

from pathlib import Path
from typing import Any

from kick.checkpoints.checks import quant_method, quantization_config
from kick.checkpoints.description.made import stated_steps
from kick.checkpoints.gguf import FLOATS as GGUF_FLOATS
from kick.checkpoints.gguf import read_converted
from kick.checkpoints.untrusted import section


def simulated(folder: Path, config: dict[str, Any], device: str) -> tuple[str, ...]:
    """Return what differs between the scored model and the deployed one, one phrase per difference.

    Args:
        folder: the checkpoint.
        config: its config.json.
        device: cpu or cuda.
    """
    differences = []
    gguf = read_converted(folder)
    if gguf and (kinds := [kind for kind in gguf.kinds if kind not in GGUF_FLOATS]):
        differences.append(f"weights: dequantized from {', '.join(sorted(kinds))}")
        differences.append(
            "activations: not quantized, which llama.cpp does for its products with quantized weights"
        )
    steps = stated_steps(folder)
    method = quant_method(config)
    bits = [step["bits"] for step in steps if isinstance(step.get("bits"), int | float)]
    if bits and method is None:
        differences.append(f"weights: {bits[-1]}-bit values in a wider dtype")
    if any(step.get("rank") is not None for step in steps):
        differences.append("weights: low-rank factors multiplied out")
    declared = quantization_config(config) or {}
    if method == "compressed-tensors":
        differences.append("weights: dequantized")
        groups = section(declared, "config_groups").values()
        if any(isinstance(group, dict) and group.get("input_activations") for group in groups):
            differences.append("activations: quantized and dequantized in floating point")
        if declared.get("kv_cache_scheme"):
            differences.append("KV cache: quantized and dequantized in floating point")
    elif method in ("fp8", "mxfp8", "mxfp4") and device == "cpu":
        differences.append("weights: dequantized")
        differences.append("activations: not quantized")
    return tuple(differences)
