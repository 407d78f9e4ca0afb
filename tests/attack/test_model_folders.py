"""Model folders from people whom one should not trust: an `InputError` or a result, and never anything else."""

import json
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kick.checkpoints import (
    converted,
    describe,
    fingerprint,
    load,
    read_tokenizer,
)
from kick.checkpoints.description.inspection import inspect
from kick.errors import InputError
from kick.types import LoadingOptions
from tests.attack.fuzz import MUTATIONS, READERS, Count, bounded, fuzz, fuzz_gguf, load_it, make_model
from tests.checkpoints.edits import edit_json, shard
from tests.checkpoints.gguf_files import write_gguf

SHORT = 60


def attempt(case: str, *readers: Callable[[], object]) -> None:
    """Fail if a reader answers with anything but a result or an `InputError`."""
    count = Count(case)
    count.attempt(case, readers)
    assert count.faults == []


@pytest.fixture(scope="module")
def model(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("made") / "model", tiny_llama)


@pytest.fixture(scope="module")
def gguf(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gguf")
    return write_gguf(model, tmp_path_factory.mktemp("gguf") / "model.gguf")


def check(count: Count) -> None:
    assert count.faults == []
    # Otherwise the mutations do not get past the first check.
    assert count.refused > 0
    assert count.accepted > 0 or count.kind == "model.safetensors"


@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_are_refused_in_words(kind: str, model: Path, tmp_path: Path) -> None:
    check(fuzz(kind, model, tmp_path, SHORT if kind != "model.safetensors" else 2 * SHORT))


def test_damaged_gguf_files_are_refused_in_words(gguf: Path, tmp_path: Path) -> None:
    check(fuzz_gguf(gguf, tmp_path, SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_a_thousand_damaged_files_are_refused_in_words(kind: str, model: Path, tmp_path: Path) -> None:
    check(fuzz(kind, model, tmp_path, MUTATIONS))


@pytest.mark.slow
def test_a_thousand_damaged_gguf_files_are_refused_in_words(gguf: Path, tmp_path: Path) -> None:
    check(fuzz_gguf(gguf, tmp_path, MUTATIONS))


# --- what was found by hand ---


CONFIGS: dict[str, tuple[dict[str, object], str]] = {
    "a hidden size in letters": ({"hidden_size": "x"}, "hidden_size is 'x'; expected an integer"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads is 0"),
    "negative layers": ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
    "a million layers": ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
    "more layers than are stored": ({"num_hidden_layers": 9}, "states 9 layers .* and 2 are stored"),
    "a vocabulary of a hundred million": (
        {"vocab_size": 10**8},
        r"6,\d+,\d+,\d+ parameters, and [\d,]+ values",
    ),
    "a list of architectures that is a number": ({"architectures": 3}, "architectures is 3"),
    "a model type that is a list": ({"model_type": ["llama"]}, "model_type is"),
    "an evil dtype": (
        {"dtype": "__import__('os').system('false')"},
        "dtype is .* expected the name of a dtype",
    ),
    "a quantization that is a text": ({"quantization_config": "gptq"}, "quantization_config is 'gptq'"),
    "labels without end": ({"num_labels": 10**12}, "num_labels is"),
    "a million labels": ({"num_labels": 10**6}, "num_labels is"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_no_model_has_is_refused_before_a_model_is_built(case: str, folder: Path) -> None:
    changes, words = CONFIGS[case]
    edit_json(folder / "config.json", **changes)
    started = time.monotonic()
    with bounded(case), pytest.raises(InputError, match=words):
        load_it(folder)
    assert time.monotonic() - started < 10


NAMES = ("config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "kick.json")


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_with_the_name_of_a_file_does_not_hang(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    for reader in (inspect, load_it, fingerprint):
        with bounded(name), pytest.raises(InputError, match=f"{name} is not a regular file"):
            reader(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_out_of_the_folder_is_not_followed(name: str, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    with pytest.raises(InputError, match=f"{name} is a link to {outside}, outside the folder"):
        load_it(folder)
    with pytest.raises(InputError, match="outside the folder"):
        describe(folder)


@pytest.mark.parametrize("shared", [False, True])
def test_the_links_of_a_hub_cache_are_followed(shared: bool, tiny_llama: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / "0123abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(tiny_llama.iterdir())):
        blob = blobs / str(number)
        if shared:
            store = tmp_path / "blobs" / "ab"
            store.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, store / str(number))
            blob.symlink_to(store / str(number))
        else:
            shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    load_it(snapshot)
    assert fingerprint(snapshot) == fingerprint(tiny_llama)


BOMBS: dict[str, tuple[dict[str, object], str]] = {
    "ten replacements after each other": (
        {
            "normalizer": {
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}] * 10,
            }
        },
        r"1e\+10 times longer",
    ),
    "a replacement of nothing": (
        {"normalizer": {"type": "Replace", "pattern": {"Regex": ""}, "content": "b" * 1_000}},
        "1e.03 times longer",
    ),
    "a template of a million tokens": (
        {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                ],
                "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0] * 10**6, "tokens": ["<s>"] * 10**6}},
            }
        },
        "adds 1,000,000 tokens",
    ),
    "padding without end": (
        {"padding": {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_id": 0}},
        "pads texts to more",
    ),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_tokenizer_that_makes_texts_huge_is_refused(case: str, folder: Path) -> None:
    changes, words = BOMBS[case]
    edit_json(folder / "tokenizer.json", **changes)
    with bounded(case), pytest.raises(InputError, match=words):
        read_tokenizer(folder)


def test_a_gguf_header_cannot_ask_for_more_memory_than_its_file(tmp_path: Path) -> None:
    pytest.importorskip("gguf")

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def tensor(shape: tuple[int, ...]) -> bytes:
        dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        return text("blk.0.ffn_up_exps.weight") + dims + struct.pack("<IQ", 0, 0)

    start = b"GGUF" + struct.pack("<IQQ", 3, 1, 0)
    headers = {
        "a billion experts": start + tensor((0, 10**9)),
        "a billion experts of nothing": start + tensor((1, 1, 10**9)),
        "dimensions without end": start + text("blk.0.ffn_up.weight") + struct.pack("<I", 2**32 - 1),
        "a text without end": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**40),
        "an array without end": b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + text("k")
        + struct.pack("<IIQ", 9, 4, 2**60),
    }
    for case, header in headers.items():
        file = tmp_path / "hostile.gguf"
        file.write_bytes(header + bytes(53_000))
        with bounded(case), pytest.raises(InputError, match="damaged|truncated"):
            inspect(file)


@pytest.mark.parametrize(
    ("key", "value"), [("block_count", 10**6), ("embedding_length", 2**31), ("attention.head_count", 2**31)]
)
def test_a_gguf_header_cannot_describe_a_larger_model_than_its_tensors(
    key: str, value: int, gguf: Path, tmp_path: Path
) -> None:
    data, name = gguf.read_bytes(), struct.pack("<Q", len(f"llama.{key}")) + f"llama.{key}".encode()
    at = data.index(name) + len(name) + 4
    file = tmp_path / "hostile.gguf"
    file.write_bytes(data[:at] + struct.pack("<I", value) + data[at + 4 :])
    with bounded(key), pytest.raises(InputError, match=rf"llama\.{key} = {value:,}, and its tensors allow"):
        converted(file, "float32", tmp_path / "cache")


@pytest.mark.parametrize("key", ["block_count", "embedding_length"])
def test_a_gguf_header_without_the_size_of_its_model_is_refused(key: str, gguf: Path, tmp_path: Path) -> None:
    name = f"llama.{key}".encode()
    file = tmp_path / "hostile.gguf"
    file.write_bytes(gguf.read_bytes().replace(name, name[:-1] + b"X"))
    with bounded(key), pytest.raises(InputError, match=rf"its header does not state llama\.{key}"):
        converted(file, "float32", tmp_path / "cache")


def test_a_gguf_file_whose_tokens_are_not_all_of_a_kind_is_refused(gguf: Path, tmp_path: Path) -> None:
    data, name = gguf.read_bytes(), b"tokenizer.ggml.token_type"
    # The key, the type of the field (an array) and that of its elements; the count of elements follows.
    at = data.index(name) + len(name) + 8
    (count,) = struct.unpack_from("<Q", data, at)
    file = tmp_path / "hostile.gguf"
    file.write_bytes(
        data[:at]
        + struct.pack("<Q", count - 8)
        + data[at + 8 : at + 8 + 4 * (count - 8)]
        + data[at + 8 + 4 * count :]
    )
    with pytest.raises(InputError, match="tokens|damaged|truncated"):
        converted(file, "float32", tmp_path / "cache")


@pytest.mark.parametrize("before", [5, "x", {"method": "rtn"}, [5, None], None])
def test_steps_that_are_no_list_of_steps_are_not_read(before: object, folder: Path) -> None:
    (folder / "kick.json").write_text(json.dumps({"recipe": {"method": "rtn", "bits": 4, "before": before}}))
    attempt("before", lambda: inspect(folder), lambda: load_it(folder))


@pytest.mark.parametrize(
    "name", ["model.safetensors.index.json", "tokenizer_config.json", "adapter_config.json"]
)
def test_json_nested_without_end_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    if name.endswith("index.json"):
        shard(folder)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    options = LoadingOptions(adapter=str(adapter) if name.startswith("adapter") else None)
    ((adapter if options.adapter else folder) / name).write_text(
        '{"weight_map": ' + "[" * 100_000 + "]" * 100_000 + "}"
    )
    with bounded(name), pytest.raises(InputError, match=f"{name} is nested more than 64 levels"):
        load(folder, options, dtype="float32", device="cpu")


def test_an_adapter_in_the_folder_of_a_model_is_not_applied_unasked(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "/somewhere/else", "peft_type": "LORA"}'
    )
    with pytest.raises(InputError, match="would apply to the model unasked"):
        load_it(folder)


def test_no_code_of_a_folder_runs(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').write('ran')"
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py", "setup.py", "__init__.py"):
        (folder / name).write_text(code)
    auto = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    edit_json(folder / "config.json", auto_map=auto)
    edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_own.Own", None]})
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.system('touch %s') }}"
    (folder / "chat_template.jinja").write_text(template % ran)
    attempt("auto_map", lambda: inspect(folder), lambda: fingerprint(folder), lambda: load_it(folder))
    words = read_tokenizer(folder)
    with pytest.raises(Exception, match="unsafe|not safe|undefined"):
        words.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert not ran.exists()


def test_a_shard_that_is_not_a_text_is_refused(folder: Path) -> None:
    shard(folder)
    index = folder / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    edit_json(index, weight_map={name: [shard] for name, shard in weight_map.items()})
    with pytest.raises(InputError, match="names a shard that is not a text"):
        describe(folder)
