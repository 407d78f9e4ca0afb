from pathlib import Path

import numpy as np
import pytest

from kick.checkpoints import describe
from kick.checkpoints.description.gguf_file import read_gguf
from kick.checkpoints.description.inspection import inspect
from kick.errors import InputError

gguf = pytest.importorskip("gguf")

QUANTIZED = {"Q8_0": 8.5, "Q4_0": 4.5, "Q5_0": 5.5}  # bits a weight: blocks of 32 with a scale of 16 bits


def save_gguf(path: Path, kind: str = "Q4_0", file_type: str = "MOSTLY_Q4_0", experts: int = 0) -> Path:
    """Two layers of a Linear of 96 x 64, quantized to `kind`, with float norms and embeddings."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(gguf.LlamaFileType[file_type])
    writer.add_token_list([f"token {number}" for number in range(50)])
    writer.add_token_scores([0.5] * 50)
    if experts:
        writer.add_expert_used_count(1)
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(50, 64)).astype(np.float16)
    embeddings[:3] = -0.0
    writer.add_tensor("token_embd.weight", embeddings)
    quantized = gguf.GGMLQuantizationType[kind]
    for layer in range(2):
        shape = (experts, 96, 64) if experts else (96, 64)
        values = gguf.quants.quantize(generator.normal(size=shape).astype(np.float32), quantized)
        name = "ffn_up_exps" if experts else "ffn_up"
        writer.add_tensor(f"blk.{layer}.{name}.weight", values, raw_dtype=quantized)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(64, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_header_is_read_as_the_gguf_package_reads_it(tmp_path: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf")
    expected = [
        (tensor.name, tensor.tensor_type.name, tensor.shape.tolist(), tensor.data_offset, tensor.n_bytes)
        for tensor in gguf.GGUFReader(path).tensors
    ]
    found = read_gguf(path)
    assert [(one.name, one.type, [*one.shape], one.begin, one.bytes) for one in found.tensors] == expected
    assert (found.architecture, found.file_type) == ("llama", "Q4_0")


@pytest.mark.parametrize("kind", sorted(QUANTIZED))
def test_bits_are_those_of_the_stored_blocks(kind: str, tmp_path: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf", kind)
    found = describe(path)
    assert found.linear_parameters == 2 * 96 * 64
    assert found.linear_bits_per_weight == QUANTIZED[kind]
    assert found.parameters == 2 * 96 * 64 + 2 * 64 + 50 * 64
    assert found.packed == found.linear_parameters
    assert found.bytes_on_disk == path.stat().st_size
    assert [(stored.dtype, stored.linears) for stored in found.stored_as] == [(kind, 2)]


def test_zeros_of_either_sign_are_counted_where_weights_are_floats(tmp_path: Path) -> None:
    found = describe(save_gguf(tmp_path / "model.gguf"))
    assert found.parameters - found.nonzero == 3 * 64


def test_patterns_are_measured_where_weights_are_floats(tmp_path: Path) -> None:
    assert describe(save_gguf(tmp_path / "model.gguf")).patterns == {}
    writer = gguf.GGUFWriter(tmp_path / "float.gguf", "llama")
    half = np.tile(np.array([1, 0, 0, 1], np.float16), (8, 16))
    writer.add_tensor("blk.0.ffn_up.weight", half)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = inspect(tmp_path / "float.gguf", "1:4")
    assert found.description.sparsity == 0.5
    assert found.description.patterns == {"1:2": 0, "2:4": 0, "4:8": 0, "1:4": 1}


def test_a_type_that_most_weights_are_not_of_is_told(tmp_path: Path) -> None:
    assert inspect(save_gguf(tmp_path / "model.gguf")).warnings == ()
    assert inspect(save_gguf(tmp_path / "other.gguf", "Q8_0", "MOSTLY_Q4_K_M")).warnings == (
        "other.gguf declares Q4_K_M, but 0% of the weights in decoder Linears are Q4_K.",
    )


def test_one_of_four_experts_is_active(tmp_path: Path) -> None:
    found = describe(save_gguf(tmp_path / "model.gguf", experts=4))
    assert found.active == found.parameters - 2 * 3 * 96 * 64


@pytest.mark.parametrize(
    ("keep", "message"), [(40, "header cannot be read"), (-100, "is truncated"), (0, "header cannot be read")]
)
def test_a_damaged_file_is_refused(keep: int, message: str, tmp_path: Path) -> None:
    path = save_gguf(tmp_path / "model.gguf")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=message):
        describe(path)
