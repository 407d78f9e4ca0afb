import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kick.checkpoints import describe
from kick.checkpoints.description.packed import layout, module_of, scale_count, weight_count, zero_is_zero
from kick.checkpoints.folder import StoredTensor, stored_tensors
from tests.checkpoints.edits import Q_PROJ, edit_json, edit_weights

OUT, IN, GROUPS = 512, 256, 2


Shapes = dict[str, tuple[str, tuple[int, ...]]]


def module(shapes: Shapes) -> dict[str, StoredTensor]:
    """The tensors of one module, given as name -> (dtype, shape)."""
    tensors = {}
    for key, (dtype, shape) in shapes.items():
        name = f"model.layers.0.mlp.up_proj.{key}"
        tensors[name] = StoredTensor(name, Path("model.safetensors"), dtype, shape, 0, 0)
    return tensors


def counts(**shapes: tuple[str, tuple[int, ...]]) -> list[int]:
    """The weights counted in each tensor of one module."""
    tensors = module(shapes)
    return [weight_count(tensor, tensors) for tensor in tensors.values()]


@pytest.mark.parametrize(
    ("expected", "group", "shapes"),
    [
        ("dense", None, {"weight": ("BF16", (OUT, IN))}),
        (
            "gptq",
            128,
            {
                "qweight": ("I32", (IN // 8, OUT)),
                "qzeros": ("I32", (GROUPS, OUT // 8)),
                "scales": ("F16", (GROUPS, OUT)),
                "g_idx": ("I32", (IN,)),
            },
        ),
        (
            "awq",
            128,
            {
                "qweight": ("I32", (IN, OUT // 8)),
                "qzeros": ("I32", (GROUPS, OUT // 8)),
                "scales": ("F16", (GROUPS, OUT)),
            },
        ),
        (
            "nvfp4-pack-quantized",
            16,
            {
                "weight_packed": ("U8", (OUT, IN // 2)),
                "weight_scale": ("F8_E4M3", (OUT, IN // 16)),
                "weight_global_scale": ("F32", (1,)),
            },
        ),
        (
            "bitsandbytes nf4",
            64,
            {
                "weight": ("U8", (OUT * IN // 2, 1)),
                "weight.absmax": ("F32", (OUT * IN // 64,)),
                "weight.quant_map": ("F32", (16,)),
                "weight.quant_state.bitsandbytes__nf4": ("U8", (80,)),
            },
        ),
        ("bitsandbytes int8", IN, {"weight": ("I8", (OUT, IN)), "SCB": ("F32", (OUT,))}),
        (
            "torchao",
            IN,
            {
                "_weight_qdata": ("I8", (OUT, IN)),
                "_weight_scale": ("F32", (OUT, 1)),
                "_weight_zero_point": ("I8", (OUT, 1)),
            },
        ),
        ("int-quantized", IN, {"weight": ("I8", (OUT, IN)), "weight_scale": ("BF16", (OUT, 1))}),
        ("float-quantized", IN, {"weight": ("F8_E4M3", (OUT, IN)), "weight_scale": ("BF16", (OUT, 1))}),
    ],
)
def test_a_layout_is_told_by_what_lies_beside_the_weight(
    expected: str, group: int | None, shapes: Shapes
) -> None:
    tensors = module(shapes)
    weight = next(iter(tensors.values()))
    assert layout(weight, tensors) == expected
    scales = scale_count(weight, tensors)
    assert (weight_count(weight, tensors) / scales if scales else None) == group
    assert weight_count(weight, tensors) == OUT * IN
    assert {module_of(name) for name in tensors} == {"model.layers.0.mlp.up_proj"}


def test_a_stored_zero_beside_a_zero_point_is_no_zero_weight() -> None:
    shapes: Shapes = {"weight": ("I8", (OUT, IN)), "weight_scale": ("BF16", (OUT, 1))}
    tensors = module(shapes)
    assert zero_is_zero(next(iter(tensors.values())), tensors)
    asymmetric = module({**shapes, "weight_zero_point": ("I8", (OUT, 1))})
    assert not zero_is_zero(next(iter(asymmetric.values())), asymmetric)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_packs_along_the_inputs(bits: int) -> None:
    assert counts(
        qweight=("I32", (IN * bits // 32, OUT)),
        qzeros=("I32", (GROUPS, OUT * bits // 32)),
        scales=("F16", (GROUPS, OUT)),
        g_idx=("I32", (IN,)),
    ) == [OUT * IN, 0, 0, 0]


def test_awq_packs_along_the_outputs() -> None:
    assert counts(
        qweight=("I32", (IN, OUT // 8)), qzeros=("I32", (GROUPS, OUT // 8)), scales=("F16", (GROUPS, OUT))
    ) == [OUT * IN, 0, 0]


def test_bitsandbytes_packs_two_to_a_byte() -> None:
    assert counts(
        **{
            "weight": ("U8", (OUT * IN // 2, 1)),
            "weight.absmax": ("F32", (OUT * IN // 64,)),
            "weight.quant_map": ("F32", (16,)),
            "weight.quant_state.bitsandbytes__nf4": ("U8", (80,)),
        }
    ) == [OUT * IN, 0, 0, 0]


def test_eight_bit_weights_are_not_packed() -> None:
    int8 = {"weight": ("I8", (OUT, IN)), "SCB": ("F32", (OUT,)), "weight_format": ("U8", ())}
    fp8 = {
        "weight": ("F8_E4M3", (OUT, IN)),
        "weight_scale_inv": ("F32", (4, 2)),
        "input_scale": ("F32", (1,)),
    }
    assert counts(**int8) == counts(**fp8) == [OUT * IN, 0, 0]


def test_mxfp4_experts_pack_two_to_a_byte() -> None:
    assert counts(
        gate_up_proj_blocks=("U8", (4, 64, 2, 16)),
        gate_up_proj_scales=("U8", (4, 64, 2)),
        gate_up_proj_bias=("BF16", (4, 64)),
    ) == [4 * 64 * 64, 0, 4 * 64]


@pytest.mark.parametrize(("bits", "columns"), [(3, 24), (4, 32), (8, 64)])
def test_compressed_tensors_store_the_shape(bits: int, columns: int, tmp_path: Path) -> None:
    module = "model.layers.0.mlp.up_proj"
    tensors = {
        f"{module}.weight_packed": torch.zeros(OUT, columns, dtype=torch.int32),
        f"{module}.weight_scale": torch.ones(OUT, GROUPS, dtype=torch.bfloat16),
        f"{module}.weight_shape": torch.tensor([OUT, IN]),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    config = {"model_type": "llama", "quantization_config": {"quant_method": "compressed-tensors"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    stored = {tensor.name: tensor for tensor in stored_tensors(tmp_path)}
    assert weight_count(stored[f"{module}.weight_packed"], stored) == OUT * IN
    description = describe(tmp_path)
    assert (description.parameters, description.packed) == (OUT * IN, OUT * IN)
    assert description.linear_parameters == OUT * IN
    assert description.bits_per_weight == pytest.approx(bits + 16 * GROUPS / IN, rel=0.02)


def test_eight_bit_floats_are_measured(folder: Path) -> None:
    def to_float8(tensors: dict[str, Tensor]) -> None:
        weight = tensors[Q_PROJ] * 10
        weight[0] = 0
        tensors[Q_PROJ] = weight.to(torch.float8_e4m3fn)
        tensors[Q_PROJ + "_scale_inv"] = torch.ones(1, 1)

    before = describe(folder)
    edit_weights(folder, to_float8)
    edit_json(folder / "config.json", quantization_config={"quant_method": "fp8"})
    after = describe(folder)
    assert after.stored_dtypes["F8_E4M3"] == 32 * 32
    assert after.parameters == before.parameters
    assert after.sparsity_max >= 1 / 32
    assert after.packed == 0


def test_nothing_is_packed_where_no_quantization_is_declared(tiny_llama: Path) -> None:
    assert describe(tiny_llama).packed == 0
