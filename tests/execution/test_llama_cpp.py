"""Dense weights on torch and a GGUF file on llama.cpp in one suite, with the engine floor between them."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from kick.comparison import compare
from kick.errors import InputError
from tests.engines.llama_cpp.files import save_gguf, save_llama
from tests.execution.bed import Bed


@pytest.fixture
def both(bed: Bed) -> Bed:
    shutil.rmtree(bed.folder / "model")
    save_llama(bed.folder / "model")
    for packing in ("F32", "Q8_0"):
        save_gguf(bed.folder / "model", packing)
    bed.keys["series"] = []
    bed.keys["checkpoints"] = [
        {"id": "dense", "model": "model", "dtype": "float32"},
        on_llama("dense-llama", "F32", weights_of="dense"),
        on_llama("q8", "Q8_0"),
    ]
    return bed


def on_llama(name: str, packing: str, **more: object) -> dict[str, object]:
    file = f"model/gguf/{packing}.gguf"
    return {"id": name, "model": file, "tokenizer": "model", "engine": "llama-cpp", **more}


def test_a_file_is_scored_by_its_own_kernels_next_to_what_the_engine_alone_changes(both: Bed) -> None:
    both.keys.update(divergence=True, perplexity={"datasets": ["world"], "window": 64, "windows": 2})
    summary = both.run()
    store = summary.store
    assert summary.scored == 9
    assert store.verify() == []
    cell = store.cell("q8", "kick_mmlu")
    assert cell is not None
    assert cell.identity.engine is not None
    assert cell.identity.engine.settings["kv_type"] == "f16"
    assert cell.identity.dtype == "as stored"
    record = store.checkpoint("q8")
    assert record is not None
    assert record.simulated == ()
    assert record.description is not None
    itself, packed = (store.cell(name, "perplexity_world") for name in ("dense-llama", "q8"))
    assert itself is not None
    assert packed is not None
    assert itself.divergence is not None
    assert packed.divergence is not None
    assert 0 <= itself.divergence.kl < packed.divergence.kl < 0.1
    floor = compare(store, "dense", "q8", "kick_mmlu").engine_floor
    assert floor is not None
    assert floor.checkpoint == "dense-llama"
    assert both.run().reused == 9


def test_without_the_reference_on_llama_cpp_the_pair_is_refused(both: Bed) -> None:
    both.keys["checkpoints"].pop(1)
    store = both.run(tasks=["kick_mmlu"]).store
    with pytest.raises(InputError, match="add a checkpoint with `engine: llama-cpp`"):
        compare(store, "dense", "q8", "kick_mmlu")


def test_a_quantized_file_does_not_pass_for_the_reference_s_weights(both: Bed) -> None:
    both.keys["checkpoints"][2]["weights_of"] = "dense"
    with pytest.raises(InputError, match=r"checkpoint 'q8': weights_of: .* is quantized \(Q8_0\)"):
        both.run()


def test_other_weights_do_not_pass_for_the_reference_s(both: Bed, tmp_path: Path) -> None:
    other = save_llama(tmp_path / "other", seed=1)
    shutil.copy(save_gguf(other), both.folder / "model" / "gguf" / "F32.gguf")
    with pytest.raises(InputError, match="are not those of .*tensors differ"):
        both.run()


def test_a_folder_is_not_for_llama_cpp(both: Bed) -> None:
    both.keys["checkpoints"].append({"id": "folder", "base": "dense", "engine": "llama-cpp"})
    with pytest.raises(InputError, match="the engine llama-cpp runs a GGUF file, and .* is a folder"):
        both.run()


def test_the_cache_s_type_is_another_cell(both: Bed) -> None:
    both.keys["checkpoints"].append({"id": "q8-kv8", "base": "q8", "engine_args": {"kv_type": "q8_0"}})
    store = both.run(tasks=["kick_mmlu"]).store
    one, other = (store.cell(name, "kick_mmlu") for name in ("q8", "q8-kv8"))
    assert one is not None
    assert other is not None
    assert one.identity.checkpoint == other.identity.checkpoint
    assert one.key != other.key
    caveats = compare(store, "q8", "q8-kv8", "kick_mmlu").caveats
    assert any("The engine had other settings: " in caveat for caveat in caveats)
