import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kick.checkpoints import describe
from kick.checkpoints.description.inspection import inspect, tightest_pattern
from kick.cli import app
from kick.compression import make
from kick.reports.tables.sizes import size
from kick.types import Checkpoint, CheckpointRecord, Recipe
from tests.checkpoints.edits import edit_json, edit_weights

SYMMETRIC_4 = {"weights": {"num_bits": 4, "group_size": 128, "symmetric": True}, "targets": ["Linear"]}
PACKED_4 = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {"group_0": SYMMETRIC_4},
    "ignore": ["lm_head"],
}
OUT, IN = 512, 256


def save_packed(folder: Path, bits: int = 4, group: int = 128, layers: int = 2) -> Path:
    """A pack-quantized file as compressed-tensors writes it, with embeddings of 1,000 x 256 in bfloat16."""
    tensors = {"model.embed_tokens.weight": torch.ones(1000, IN, dtype=torch.bfloat16)}
    for layer in range(layers):
        module = f"model.layers.{layer}.mlp.up_proj"
        tensors[f"{module}.weight_packed"] = torch.zeros(OUT, IN * bits // 32, dtype=torch.int32)
        tensors[f"{module}.weight_scale"] = torch.ones(OUT, IN // group, dtype=torch.bfloat16)
        tensors[f"{module}.weight_shape"] = torch.tensor([OUT, IN])
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "llama", "quantization_config": PACKED_4}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_effective_bits_of_four_bit_weights_in_groups_of_128_are_those_computed_by_hand(
    tmp_path: Path,
) -> None:
    found = inspect(save_packed(tmp_path)).description
    # A Linear of 512 x 256: 131,072 weights of 4 bits         65,536 bytes
    #   1,024 groups of 128, a scale of 16 bits each             2,048 bytes
    #   its shape, two integers of 64 bits                          16 bytes
    assert found.linear_bytes == 2 * (65_536 + 2_048 + 16)
    assert found.linear_bits_per_weight == 8 * 67_600 / 131_072  # 4 + 16/128 + 128/131,072 = 4.1259765625
    # With 256,000 embeddings of 2 bytes: 135,200 + 512,000 bytes for 262,144 + 256,000 parameters,
    # and in the file a header of some hundred bytes.
    assert found.tensor_bytes == 647_200
    assert found.bits_per_weight == pytest.approx(8 * 647_200 / 518_144, rel=0.002)
    assert found.bits_per_weight == 8 * (tmp_path / "model.safetensors").stat().st_size / 518_144


def test_effective_bits_of_what_llm_compressor_writes_are_those_computed_by_hand(w4a16: Path) -> None:
    found = inspect(w4a16)
    # q and o 256 x 256, k and v 128 x 256, gate and up 512 x 256, down 256 x 512: 7 Linears, 589,824 weights
    # at 4 bits (294,912 bytes), 4,608 groups of 128 with a scale of 16 bits (9,216 bytes), 7 shapes of 16 bytes.
    assert found.description.linear_parameters == 589_824
    assert found.description.linear_bytes == 294_912 + 9_216 + 7 * 16
    assert found.description.linear_bits_per_weight == 8 * 304_240 / 589_824
    assert [(one.format, one.value_bits, one.group_size) for one in found.description.stored_as] == [
        ("pack-quantized", 4, 128)
    ]
    assert found.warnings == ()


@pytest.mark.parametrize("sparsity", [0.1, 0.33, 0.5, 0.7])
def test_measured_sparsity_is_what_was_asked_for(sparsity: float, tiny_llama: Path, tmp_path: Path) -> None:
    make(Recipe(method="magnitude", sparsity=sparsity), tiny_llama, tmp_path / "pruned")
    found = inspect(tmp_path / "pruned")
    assert found.description.sparsity == pytest.approx(sparsity, abs=0.002)
    assert found.warnings == ()


@pytest.mark.parametrize("pattern", ["2:4", "4:8", "1:2"])
def test_no_group_of_a_pruned_checkpoint_breaks_its_pattern(
    pattern: str, tiny_llama: Path, tmp_path: Path
) -> None:
    make(Recipe(method="magnitude", sparsity=0.5, pattern=pattern), tiny_llama, tmp_path / "pruned")
    found = inspect(tmp_path / "pruned")
    assert (found.description.sparsity, found.description.nm_violations) == (0.5, 0)
    assert tightest_pattern(found.description) == pattern
    assert found.warnings == ()


def test_a_dense_model_keeps_no_pattern_and_declares_nothing(tiny_llama: Path) -> None:
    found = inspect(tiny_llama)
    assert (tightest_pattern(found.description), found.declared, found.warnings) == (None, (), ())
    assert found.ideal_bytes == found.description.bytes_on_disk


def test_declared_zeros_that_are_not_there_are_told(folder: Path) -> None:
    def prune(tensors: dict[str, torch.Tensor]) -> None:
        for name, value in tensors.items():
            if "_proj" in name:
                value[: len(value) // 8] = 0

    edit_weights(folder, prune)
    recipe = {"method": "wanda", "sparsity": 0.5, "pattern": "2:4"}
    (folder / "kick.json").write_text(json.dumps({"recipe": recipe}))
    _, zeros, pattern = inspect(folder).warnings
    assert zeros == "kick.json declares 50.0% zeros, but 12.5% were measured."
    assert pattern == "kick.json declares the pattern 2:4, but 87.50% of the groups break it."


def test_a_made_checkpoint_has_the_size_and_the_making_of_the_point_of_a_series(
    tiny_llama: Path, tmp_path: Path
) -> None:
    """A folder that `kick compress` made and a suite lists, beside the same recipe as a suite's own series."""
    recipe = Recipe(method="rtn", bits=4, group_size=16)
    make(recipe, tiny_llama, tmp_path / "made")
    found = inspect(tmp_path / "made", reference=tiny_llama)
    record = CheckpointRecord(
        checkpoint=Checkpoint(id="rtn-4", model=str(tiny_llama), recipe=recipe),
        fingerprint="",
        tokenizer_fingerprint="",
        description=describe(tmp_path / "made", recipe),
    )
    point = size(record)
    assert point is not None
    assert found.ideal_bytes == point.smallest < 0.7 * found.description.bytes_on_disk
    assert found.ideal_bits == point.bits
    assert found.ratio is not None
    assert found.ratio.ideal == pytest.approx(describe(tiny_llama).bytes_on_disk / point.smallest)
    assert found.made_by == "rtn, 4 bits, groups of 16, symmetric"


def test_a_pattern_is_known_from_kick_json(tiny_llama: Path, tmp_path: Path) -> None:
    make(Recipe(method="magnitude", sparsity=0.5, pattern="2:4"), tiny_llama, tmp_path / "pruned")
    assert describe(tmp_path / "pruned").nm_violations == 0
    assert describe(tiny_llama).nm_violations is None


def test_a_kick_json_about_other_weights_is_not_believed(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    make(Recipe(method="magnitude", sparsity=0.5), tiny_llama, folder)
    edit_weights(folder, lambda tensors: tensors.update({"lm_head.weight": torch.rand(384, 32)}))
    found = inspect(folder)
    assert found.made_by is None
    assert found.warnings == (
        "kick.json is about other files than these: one has changed since kick wrote them, so it is not believed.",
    )


def test_rounded_weights_in_a_wide_type_are_told(tiny_llama: Path, tmp_path: Path) -> None:
    make(Recipe(method="rtn", bits=4, group_size=16), tiny_llama, tmp_path / "rounded")
    assert inspect(tmp_path / "rounded").warnings == (
        "kick.json declares 4 bit, but every Linear is stored in 32 bit (F32).",
    )


def test_a_declared_quantizer_over_dense_weights_is_told(folder: Path) -> None:
    edit_json(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert inspect(folder).warnings == (
        "config.json declares 4 bit, but every Linear is stored in 32 bit (F32).",
    )


def test_other_bits_and_groups_than_declared_are_told(tmp_path: Path) -> None:
    found = inspect(save_packed(tmp_path, bits=8, group=32))
    assert found.warnings == (
        "config.json declares 4 bit, but 2 Linears are stored in 8 bit.",
        "config.json declares groups of 128, but 2 Linears have a scale for 32.",
    )


def test_packed_weights_that_nothing_declares_are_told(tmp_path: Path) -> None:
    save_packed(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    found = inspect(tmp_path)
    assert found.description.linear_parameters == 2 * OUT * IN
    assert found.warnings == (
        "config.json declares no quantization, but Linears are stored as pack-quantized.",
    )


def test_linears_that_were_left_dense_are_told_unless_the_config_says_so(tmp_path: Path) -> None:
    save_packed(tmp_path)
    edit_weights(
        tmp_path,
        lambda tensors: tensors.update(
            {"model.layers.0.mlp.down_proj.weight": torch.ones(IN, OUT, dtype=torch.bfloat16)}
        ),
    )
    assert inspect(tmp_path).warnings == (
        "config.json declares 4 bit, but 33.3% of the weights in decoder Linears are stored unquantized.",
    )
    ignore = ["lm_head", "model.layers.0.mlp.down_proj"]
    edit_json(tmp_path / "config.json", quantization_config={**PACKED_4, "ignore": ignore})
    assert inspect(tmp_path).warnings == ()


def test_the_ratio_is_of_bytes_on_disk_and_of_the_linears(tmp_path: Path) -> None:
    (tmp_path / "dense").mkdir()
    tensors = {
        f"model.layers.{layer}.mlp.up_proj.weight": torch.ones(OUT, IN, dtype=torch.bfloat16)
        for layer in range(2)
    }
    tensors["model.embed_tokens.weight"] = torch.ones(1000, IN, dtype=torch.bfloat16)
    save_file(tensors, tmp_path / "dense" / "model.safetensors")
    (tmp_path / "dense" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    ratio = inspect(save_packed(tmp_path), reference=tmp_path / "dense").ratio
    assert ratio is not None
    assert ratio.linears == pytest.approx(16 / 4.1259765625)
    assert ratio.stored == ratio.ideal == pytest.approx(1_036_288 / 647_200, rel=0.002)


def test_the_command_prints_one_json_document(tiny_llama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["describe", str(tiny_llama), "--pattern", "2:4", "--json"], standalone_mode=False)
    expected = inspect(tiny_llama, "2:4")
    assert json.loads(capsys.readouterr().out) == expected.model_dump(mode="json")


def test_the_command_prints_a_table_and_its_warnings_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    app(["describe", str(save_packed(tmp_path, bits=8)), "--linears"], standalone_mode=False)
    printed = capsys.readouterr()
    assert "model.layers.1.mlp.up_proj" in printed.out
    assert "518,144" in printed.out
    assert "warning: config.json declares 4 bit" in printed.err
