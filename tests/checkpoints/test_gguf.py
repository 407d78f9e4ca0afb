import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kick.checkpoints import converted, fingerprint, load, resolve, resolve_tokenizer
from kick.errors import InputError
from kick.types import ModelReference
from tests.checkpoints.edits import edit_json
from tests.checkpoints.gguf_files import write_gguf

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def file(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_llama, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def folder_of_file(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(file, "float32", tmp_path_factory.mktemp("cache"))


def test_a_gguf_file_scores_as_the_model_that_it_was_made_from(
    folder_of_file: Path, tiny_llama: Path
) -> None:
    loaded = load(folder_of_file, dtype="float32", device="cpu", tokenizer_folder=tiny_llama)
    tokens = loaded.tokenizer("the answer to the question", return_tensors="pt")
    dense = AutoModelForCausalLM.from_pretrained(tiny_llama)
    packing = gguf.GGMLQuantizationType.Q8_0
    for parameter in dense.parameters():
        if parameter.ndim == 2:
            packed = gguf.quantize(parameter.detach().numpy(), packing)
            parameter.data = torch.from_numpy(gguf.dequantize(packed, packing))
    torch.testing.assert_close(loaded.model(**tokens).logits, dense(**tokens).logits, atol=1e-4, rtol=0)
    assert loaded.simulated[0] == "weights: dequantized from Q8_0"
    assert loaded.simulated[1].startswith("activations: not quantized")


def test_a_head_that_is_tied_to_the_embeddings_stays_tied(tiny_llama: Path, tmp_path: Path) -> None:
    tied = Path(shutil.copytree(tiny_llama, tmp_path / "tied"))
    edit_json(tied / "config.json", tie_word_embeddings=True)
    folder = converted(write_gguf(tied, tmp_path / "tied.gguf"), "float32", tmp_path / "cache")
    model = load(folder, dtype="float32", device="cpu", tokenizer_folder=tiny_llama).model
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_file_is_converted_once_and_checked_each_time(file: Path, tmp_path: Path) -> None:
    folder = converted(file, "bfloat16", tmp_path)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert converted(file, "bfloat16", tmp_path) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert converted(file, "float32", tmp_path) != folder
    edit_json(folder / "config.json", rms_norm_eps=1.0)
    with pytest.raises(InputError, match="is not what kick converted.*Delete it"):
        converted(file, "bfloat16", tmp_path)


def test_a_conversion_that_fails_leaves_nothing_that_could_be_loaded(
    tiny_llama: Path, tmp_path: Path
) -> None:
    file = write_gguf(tiny_llama, tmp_path / "scaled.gguf", rope_freqs=True)
    with pytest.raises(InputError, match="scales its rotary embedding"):
        converted(file, "float32", tmp_path / "cache")
    assert [path for path in (tmp_path / "cache" / "checkpoints").iterdir() if path.is_dir()] == []


def test_the_fingerprint_is_that_of_the_file(file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path / "other-name.gguf"))
    assert fingerprint(copy) == fingerprint(file)
    copy.write_bytes(copy.read_bytes()[:-1] + b"\x01")
    assert fingerprint(copy) != fingerprint(file)


def test_another_models_tokenizer_is_refused(folder_of_file: Path, tiny_llama: Path, tmp_path: Path) -> None:
    tokenizer = Path(shutil.copytree(tiny_llama, tmp_path / "tokenizer"))
    content = json.loads((tokenizer / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (tokenizer / "tokenizer.json").write_text(json.dumps(content))
    assert AutoTokenizer.from_pretrained(tokenizer).convert_tokens_to_ids("a") == words["a"]
    with pytest.raises(InputError, match="is not that of the GGUF file: 2 of 284 tokens differ"):
        load(folder_of_file, dtype="float32", device="cpu", tokenizer_folder=tokenizer)


def test_a_file_without_a_tokenizer_is_asked_for_one(file: Path, tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=r"tiny\.gguf has no tokenizer that can be trusted.*Set `tokenizer`"):
        resolve_tokenizer(None, file)
    assert resolve_tokenizer(ModelReference(path=str(tiny_llama)), file) == tiny_llama


def test_a_tokenizer_beside_the_file_is_taken(file: Path, tiny_llama: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path))
    for path in tiny_llama.glob("tokenizer*"):
        shutil.copy(path, tmp_path)
    assert resolve_tokenizer(None, copy) == tmp_path


def test_a_file_states_no_dtype_and_is_asked_for_one(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="states no dtype.*Set `dtype`"):
        converted(file, "auto", tmp_path)


@pytest.mark.parametrize("content", [b"no such format", b"GGUF" + bytes(40)])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.gguf is (damaged|truncated)"):
        converted(tmp_path / "broken.gguf", "float32", tmp_path / "cache")


def test_a_truncated_file_is_refused(file: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"short\.gguf is (damaged|truncated)"):
        converted(short, "float32", tmp_path / "cache")


def test_without_the_package_the_way_out_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(InputError, match=r"needs the package 'gguf'.*pip install 'llm-kick\[gguf\]'"):
        converted(file, "float32", tmp_path)


def test_a_folder_with_one_gguf_file_is_that_file(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "a.gguf")
    assert resolve(ModelReference(path=str(tmp_path))) == tmp_path / "a.gguf"
    shutil.copy(file, tmp_path / "b.gguf")
    with pytest.raises(InputError, match=r"2 GGUF files \(a\.gguf, b\.gguf\)\. Name the file itself"):
        resolve(ModelReference(path=str(tmp_path)))


def test_a_file_of_a_hub_repository_is_found_in_the_cache(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--owner--name" / "snapshots" / sha
    cached.mkdir(parents=True)
    shutil.copy(file, cached / "tiny.gguf")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = resolve(ModelReference(repository="owner/name", file="tiny.gguf", revision=sha))
    assert found == cached / "tiny.gguf"
