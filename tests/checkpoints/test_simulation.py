from pathlib import Path

import pytest

from kick.checkpoints.simulation import simulated

QUANTIZED_ACTIVATIONS = {"group_0": {"targets": ["Linear"], "input_activations": {"num_bits": 8}}}


@pytest.mark.parametrize(
    ("declared", "device", "expected"),
    [
        ({"quant_method": "compressed-tensors"}, "cpu", ["weights: dequantized"]),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": QUANTIZED_ACTIVATIONS,
                "kv_cache_scheme": {"num_bits": 8},
            },
            "cuda",
            ["weights: dequantized", "activations: quantized and deq", "KV cache: quantized and dequantized"],
        ),
        ({"quant_method": "fp8"}, "cpu", ["weights: dequantized", "activations: not quantized"]),
        ({"quant_method": "fp8"}, "cuda", []),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "cpu", []),
    ],
)
def test_what_the_loader_simulates_is_told(
    declared: dict[str, object], device: str, expected: list[str], tmp_path: Path
) -> None:
    phrases = simulated(tmp_path, {"quantization_config": declared}, device)
    assert len(phrases) == len(expected)
    assert all(phrase.startswith(start) for phrase, start in zip(phrases, expected, strict=True))
