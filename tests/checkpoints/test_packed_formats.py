"""Packed checkpoints, written by the libraries that pack them, through `kick run` from end to end."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("llmcompressor")
pytest.importorskip("bitsandbytes")
pytest.importorskip("torchao")

from kick.checkpoints import describe, load
from kick.cli import main
from kick.errors import InputError
from kick.store import Store
from tests.checkpoints.packed import SCHEMES, save_dense, writers
from tests.data_root import make_data_root

pytestmark = pytest.mark.slow

# What remains of the dense logits, as a correlation: random weights of two layers show rounding far more than trained
# ones do.
LEAST = {
    "W3A16": 0.4,
    "MXFP4": 0.6,
    "NVFP4": 0.6,
    "INT8": 0.99,
    "W8A16": 0.99,
    "bnb-int8": 0.99,
    "torchao-int8": 0.99,
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The dense model and every packed one, by name."""
    root = tmp_path_factory.mktemp("packed")
    dense = save_dense(root / "dense")
    return {"dense": dense, **{name: write(dense, root / name) for name, write in writers().items()}}


@pytest.mark.parametrize("name", writers())
def test_a_packed_checkpoint_computes_what_it_stores(name: str, packed: dict[str, Path]) -> None:
    tokens = torch.arange(3, 60)[None]
    loaded = load(packed[name], dtype="auto", device="cpu")
    dense = load(packed["dense"], dtype="auto", device="cpu")
    with torch.inference_mode():
        ours, theirs = loaded.model(tokens).logits.float(), dense.model(tokens).logits.float()
    correlation = torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
    assert LEAST.get(name, 0.75) < correlation < 1 - 1e-6
    measured = describe(packed[name])
    assert measured.linear_parameters == describe(packed["dense"]).linear_parameters == loaded.linears.weights
    # bitsandbytes stores a format byte and JSON beside what it holds in memory.
    assert loaded.linears.bytes == pytest.approx(measured.linear_bytes, rel=0.02)
    if name in SCHEMES:
        assert {stored.format for stored in measured.stored_as} == {SCHEMES[name]}


def test_every_packed_format_is_scored_by_run(
    packed: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = {
        "name": "packed",
        "reference": "dense",
        "checkpoints": [{"id": name, "model": str(folder)} for name, folder in packed.items()],
        "tasks": ["kick_squad"],
        "limit": 2,
        "tier": "plain",
        "noise_floor": False,
    }
    (tmp_path / "suite.json").write_text(json.dumps(suite))
    options = [
        "--data-root",
        make_data_root(tmp_path / "data"),
        "--results",
        tmp_path / "results",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr("sys.argv", ["kick", "run", *map(str, [tmp_path / "suite.json", *options])])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    store = Store(tmp_path / "results")
    for name in packed:
        record = store.checkpoint(name)
        assert record is not None
        assert list(record.cells) == ["kick_squad"]
        assert record.description is not None


def test_what_a_library_raises_on_the_first_forward_is_one_message(
    packed: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in packed["W4A16"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight_shape"
    tensors[name] = torch.tensor([128, 120])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="is loaded, but its first forward fails: "):
        load(folder, dtype="auto", device="cpu")
