import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from kick.checkpoints import describe
from kick.checkpoints.description.patterns import broken_groups, pattern_sparsity
from kick.cli import main
from kick.errors import InputError
from kick.types import Recipe
from tests.checkpoints.edits import Q_PROJ, edit_json, edit_weights, shard
from tests.tiny import CONFIGS, save_model


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_parameters_are_those_of_the_model(architecture: str, tmp_path: Path) -> None:
    description = describe(save_model(tmp_path, architecture))
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert description.architecture == type(model).__name__
    assert description.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert description.nonzero == sum(int((parameter != 0).sum()) for parameter in model.parameters())
    assert description.stored_dtypes == {"F32": description.parameters}
    assert description.bytes_on_disk == (tmp_path / "model.safetensors").stat().st_size
    assert description.bits_per_weight == pytest.approx(32, rel=0.1)
    assert description.nm_violations is None


def test_sparsity_is_counted_in_the_decoder_linears_alone(folder: Path) -> None:
    def prune(tensors: dict[str, Tensor]) -> None:
        tensors[Q_PROJ][:8] = 0
        tensors["lm_head.weight"][:100] = 0
        tensors["model.embed_tokens.weight"][:100] = 0

    edit_weights(folder, prune)
    description = describe(folder)
    linears = [value for name, value in load_file(folder / "model.safetensors").items() if "_proj" in name]
    assert description.linear_parameters == sum(linear.numel() for linear in linears)
    assert description.linear_zeros == 8 * 32
    assert description.sparsity == 8 * 32 / description.linear_parameters
    assert (description.sparsity_min, description.sparsity_max) == (0, 0.25)
    assert description.parameters - description.nonzero == 8 * 32 + 2 * 100 * 32


def test_negative_zero_is_a_zero(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({Q_PROJ: torch.full((32, 32), -0.0)}))
    assert describe(folder).sparsity_max == 1


def test_shards_are_measured_as_one_file_is(folder: Path) -> None:
    whole = describe(folder)
    shard(folder)
    assert describe(folder).model_copy(update={"bytes_on_disk": 0, "bits_per_weight": 0}) == whole.model_copy(
        update={"bytes_on_disk": 0, "bits_per_weight": 0}
    )


def test_the_pattern_is_measured_along_the_input_dimension(folder: Path) -> None:
    half = torch.tensor([1.0, 0.0, 1.0, 0.0])

    def prune(tensors: dict[str, Tensor]) -> None:
        for name, value in tensors.items():
            if "_proj" in name:
                tensors[name] = (value.abs() + 1) * half.repeat(value.shape[1] // 4)

    edit_weights(folder, prune)
    recipe = Recipe(method="wanda", sparsity=0.5, pattern="2:4")
    assert describe(folder, recipe).nm_violations == 0
    edit_weights(folder, lambda tensors: tensors.update({Q_PROJ: tensors[Q_PROJ].T.contiguous()}))
    broken, groups = 16 * 8, describe(folder).linear_parameters / 4
    assert describe(folder, recipe).nm_violations == pytest.approx(broken / groups)


def test_a_dense_model_breaks_every_group(tiny_llama: Path) -> None:
    assert describe(tiny_llama, Recipe(method="m", sparsity=0.5, pattern="2:4")).nm_violations == 1


@pytest.mark.parametrize(
    ("row", "pattern", "expected"),
    [
        ([1, 1, 0, 0, 1, 1, 1, 0], "2:4", (1, 2)),
        ([1, 1, 1, 1, 0, 0, 0, 0], "4:8", (0, 1)),
        ([1, 1, 1, 1, 0, 0, 0, 0], "2:4", (1, 2)),
        ([0, 1, 0, 1], "1:2", (0, 2)),
        ([0, 1, 1, 1, 1, 1], "2:4", (1, 1)),
    ],
)
def test_a_group_breaks_the_pattern_by_its_non_zeros(
    row: list[float], pattern: str, expected: tuple[int, int]
) -> None:
    assert broken_groups(np.array([row]) != 0, pattern) == expected


@pytest.mark.parametrize("pattern", ["24", "2:2", "4:2", "0:4", "2/4", "-1:4", ""])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="is not N:M"):
        pattern_sparsity(pattern)


def test_the_declared_quantization_is_told(folder: Path) -> None:
    edit_json(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert describe(folder).quant_method == "gptq"


def test_a_folder_without_decoder_blocks_is_refused(folder: Path) -> None:
    edit_weights(
        folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if "layers" in name] and None
    )
    with pytest.raises(InputError, match="no Linears of decoder blocks"):
        describe(folder)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_measuring_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    """Resident memory grows by less than three of the twelve tensors of 16 MB."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    tensors = {f"model.layers.{layer}.mlp.up_proj.weight": torch.ones(2048, 2048) for layer in range(12)}
    save_file(tensors, tmp_path / "model.safetensors")
    script = f"""
import torch, safetensors
from pathlib import Path
from kick.checkpoints import describe
def peak_kilobytes():  # ru_maxrss would start from the parent's
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
torch.count_nonzero(torch.ones(9))
before = peak_kilobytes()
describe(Path({str(tmp_path)!r}))
print(peak_kilobytes() - before)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) * 1024 < 3 * 16 * 2**20


def test_a_pattern_that_is_kept_is_found_unasked(folder: Path) -> None:
    """One weight of each two is kept, so that 1:2, 2:4 and 4:8 hold; a row of 3:4 breaks all of them but its own."""

    def prune(tensors: dict[str, Tensor]) -> None:
        for name, value in tensors.items():
            if "_proj" in name:
                tensors[name] = (value.abs() + 1) * torch.tensor([0.0, 1.0]).repeat(value.shape[1] // 2)

    edit_weights(folder, prune)
    assert describe(folder).patterns == {"1:2": 0, "2:4": 0, "4:8": 0}


def test_a_pattern_of_three_is_measured_when_asked_for(folder: Path) -> None:
    recipe = Recipe(method="m", sparsity=1 / 3, pattern="2:3")
    assert describe(folder, recipe).patterns["2:3"] == describe(folder, recipe).nm_violations == 1


def test_sparsity_is_told_layer_by_layer(folder: Path) -> None:
    def prune(tensors: dict[str, Tensor]) -> None:
        for name, value in tensors.items():
            if "layers.1." in name and "_proj" in name:
                value[: len(value) // 2] = 0

    edit_weights(folder, prune)
    assert describe(folder).layers == (0, 0.5)


@pytest.mark.parametrize("fused", [False, True])
def test_of_a_mixture_of_experts_the_parameters_of_one_token_are_told(fused: bool, tmp_path: Path) -> None:
    """Two layers of four experts of 96 weights, of which a token uses one; beside them 10 that all use."""
    tensors = {"model.embed_tokens.weight": torch.ones(5, 2)}
    for layer in range(2):
        experts = f"model.layers.{layer}.mlp.experts"
        if fused:
            tensors[f"{experts}.gate_up_proj"] = torch.ones(4, 8, 12)
        else:
            tensors |= {f"{experts}.{number}.up_proj.weight": torch.ones(8, 12) for number in range(4)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mixtral", "num_experts_per_tok": 1}))
    description = describe(tmp_path)
    assert (description.parameters, description.active) == (10 + 2 * 4 * 96, 10 + 2 * 96)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mixtral"}))
    assert describe(tmp_path).active is None


def test_every_parameter_of_a_dense_model_is_active(tiny_llama: Path) -> None:
    assert describe(tiny_llama).active == describe(tiny_llama).parameters


def test_a_tied_head_that_is_stored_again_adds_bytes_and_no_parameters(folder: Path) -> None:
    edit_json(folder / "config.json", tie_word_embeddings=True)
    description = describe(folder)
    with_head = sum(value.numel() for value in load_file(folder / "model.safetensors").values())
    assert (description.parameters, description.tensor_bytes) == (with_head - 384 * 32, 4 * with_head)


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_the_tensors_are_what_a_loaded_model_takes_before_its_first_forward(
    architecture: str, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, architecture))
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    assert describe(tmp_path).tensor_bytes == model.get_memory_footprint() - buffers


def test_the_ideal_size_leaves_the_zeros_out_under_a_mask(folder: Path) -> None:
    """Half the weights of 4 bytes go, and one bit for each is added."""
    edit_weights(
        folder,
        lambda tensors: (
            [value[: len(value) // 2].zero_() for name, value in tensors.items() if "_proj" in name] and None
        ),
    )
    found = describe(folder)
    saved = found.linear_parameters // 2 * 4 - found.linear_parameters // 8
    assert found.ideal_bytes == found.bytes_on_disk - saved


def test_the_command_refuses_what_is_no_model_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["kick", "describe", str(tmp_path), "--json"])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    message = f"{tmp_path}/config.json is missing. Give a folder as save_pretrained writes it."
    assert err.strip() == f"error: {message}"
