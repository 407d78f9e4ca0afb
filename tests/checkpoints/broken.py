"""Checkpoint folders broken in every way that kick knows, and the words that refuse them.

`python -m tests.checkpoints.broken` breaks a small model in each of these ways and prints what `kick run` says to it.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer

from kick.cli import main
from tests.checkpoints.edits import Q_PROJ, edit_json, edit_weights, shard
from tests.data_root import make_data_root
from tests.tiny import save_model


def remove(name: str) -> Callable[[Path], None]:
    def edit(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return lambda folder: edit_weights(folder, edit)


def rename_tensor(folder: Path) -> None:
    def rename(tensors: dict[str, Tensor]) -> None:
        tensors[Q_PROJ.replace("q_proj", "query")] = tensors.pop(Q_PROJ)

    edit_weights(folder, rename)


def add_tensor(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({"model.layers.0.adapter.weight": torch.rand(4, 4)}))


def change_shape(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({Q_PROJ: tensors[Q_PROJ][:16].clone()}))


def declare(method: str | None, **more: object) -> Callable[[Path], None]:
    config = {**({"quant_method": method} if method else {"bits": 4}), **more}
    return lambda folder: edit_json(folder / "config.json", quantization_config=config)


def write(value: float, rows: int) -> Callable[[Path], None]:
    def edit(tensors: dict[str, Tensor]) -> None:
        tensors[Q_PROJ][:rows] = value

    return lambda folder: edit_weights(folder, edit)


def pack(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.update({Q_PROJ: tensors[Q_PROJ].mul(100).to(torch.int8)}))


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def garble_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00" + b"no json at all!!" + path.read_bytes()[24:])


def leave_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def lose_a_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def swap_shards(folder: Path) -> None:
    shard(folder)
    shutil.copyfile(folder / "model-00001-of-00002.safetensors", folder / "model-00002-of-00002.safetensors")


def enlarge_tokenizer(words: int, **specials: object) -> Callable[[Path], None]:
    """Fill the tokenizer up to the embedding's 384 rows, and add `words` and special tokens beyond them."""

    def edit(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([f"filler{number}" for number in range(384 - len(tokenizer))])
        tokenizer.add_tokens([f"word{number}" for number in range(words)])
        tokenizer.add_special_tokens(specials)
        tokenizer.save_pretrained(folder)

    return edit


def remove_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def remove_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def garble_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama",')


def forget_model_type(folder: Path) -> None:
    edit_json(folder / "config.json", model_type=None)


def bring_code(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("raise SystemExit('code of the checkpoint ran')")
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    edit_json(folder / "config.json", model_type="own", auto_map=auto_map)


def unknown_architecture(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="lama")


def empty_index(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {}}))


def pack_constantly(folder: Path) -> None:
    """A packed layout as compressed-tensors declares it, one of whose tensors is written over with one value."""
    declare("compressed-tensors", format="pack-quantized")(folder)

    def pack_one(tensors: dict[str, Tensor]) -> None:
        del tensors[Q_PROJ]
        tensors[f"{Q_PROJ}_packed"] = torch.full((32, 4), 7, dtype=torch.int32)
        tensors[f"{Q_PROJ}_scale"] = torch.rand(32, 1)

    edit_weights(folder, pack_one)


def store_bitmasks(folder: Path) -> None:
    """A sparse-bitmask file, as compressed-tensors wrote them before 0.15."""

    def compress(tensors: dict[str, Tensor]) -> None:
        weight = tensors.pop(Q_PROJ)
        kept = weight.abs() > weight.abs().median()
        tensors[f"{Q_PROJ}.compressed"] = weight[kept]
        tensors[f"{Q_PROJ}.bitmask"] = torch.from_numpy(np.packbits(kept.numpy(), axis=-1, bitorder="little"))
        tensors[f"{Q_PROJ}.shape"] = torch.tensor(weight.shape)
        tensors[f"{Q_PROJ}.row_offsets"] = kept.sum(-1).cumsum(0)

    edit_weights(folder, compress)


REFUSALS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a tensor removed": (remove(Q_PROJ), ["missing, and would be random", Q_PROJ]),
    "the head removed": (remove("lm_head.weight"), ["missing, and would be random", "lm_head.weight"]),
    "a tensor renamed": (rename_tensor, ["missing, and would be random", Q_PROJ]),
    "a tensor too many": (add_tensor, ["unknown to the model", "model.layers.0.adapter.weight"]),
    "a shape changed": (change_shape, ["another shape", f"{Q_PROJ} [16, 32] for [32, 32]"]),
    "modelopt": (declare("modelopt"), ["'modelopt'", "as if they were dense", "compressed-tensors"]),
    "an unknown quantizer": (declare("gtpq"), ["'gtpq'", "Did you mean 'gptq'?"]),
    "a quantizer without a name": (declare(None), ["'unnamed'", "does not know"]),
    "pre-quantized nvfp4": (declare("nvfp4"), ["'nvfp4'", "nvfp4-pack"]),
    "a quantizer for GPUs": (declare("spqr"), ["'spqr'", "GPU only"]),
    "a quantizer not installed": (declare("gptq", bits=4), ["package that is not installed", "optimum"]),
    "AWQ without its library": (declare("awq", bits=4), ["package that is not installed", "gptqmodel"]),
    "a legacy sparse file": (store_bitmasks, ["sparse-bitmask", f"{Q_PROJ}.bitmask", "0.15"]),
    "a legacy sparse format": (
        declare("compressed-tensors", sparsity_config={"format": "sparse-bitmask"}),
        ["'sparse-bitmask'", "0.15"],
    ),
    "NaN": (write(float("nan"), rows=1), ["32 values that are NaN or infinite", Q_PROJ]),
    "infinity": (write(float("-inf"), rows=1), ["32 values that are NaN or infinite", Q_PROJ]),
    "a constant matrix": (write(0.5, rows=32), ["every value", Q_PROJ, "0.5"]),
    "a constant packed tensor": (pack_constantly, ["every value", f"{Q_PROJ}_packed", "7"]),
    "packed weights, undeclared": (pack, ["I8", Q_PROJ, "taken for dense"]),
    "a truncated file": (truncate, ["truncated", "model.safetensors", "Copy it again"]),
    "a garbled header": (garble_header, ["header cannot be read"]),
    "a pickle alone": (leave_a_pickle, ["pickle (pytorch_model.bin)", "save_pretrained()"]),
    "no weights": (remove_weights, ["holds no weights"]),
    "a shard lost": (lose_a_shard, ["'model-00002-of-00002.safetensors', which is missing"]),
    "an empty index": (empty_index, ["has no 'weight_map'"]),
    "shards swapped": (swap_shards, ["does not hold it"]),
    "a tokenizer too large": (enlarge_tokenizer(8), ["392", "'word7'", "embedding rows (384)"]),
    "a padding token without a row": (
        enlarge_tokenizer(0, pad_token="[PAD]"),
        ["'[PAD]'", "embedding rows (384)"],
    ),
    "no tokenizer": (remove_tokenizer, ["the tokenizer cannot be loaded"]),
    "no config": (remove_config, ["config.json is missing"]),
    "a config that is no JSON": (garble_config, ["config.json is not valid JSON"]),
    "a config without a model type": (forget_model_type, ["no 'model_type'"]),
    "code of its own": (bring_code, ["runs no code of a checkpoint unasked", "trust_remote_code: true"]),
    "an unknown architecture": (unknown_architecture, ["'lama'", "Did you mean 'llama'?"]),
}


def kick_run(folder: Path, dense: Path, data_root: Path, results: Path) -> int:
    """`kick run` on a suite with a broken candidate, of which it is alone to be scored; returns the exit code."""
    suite = results.parent / "suite.json"
    keys = {
        "name": "broken",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(dense)}, {"id": "broken", "model": str(folder)}],
        "tasks": ["kick_squad"],
        "limit": 2,
        "tier": "plain",
    }
    suite.write_text(json.dumps(keys))
    options = {"--only": "broken", "--results": results, "--data-root": data_root, "--device": "cpu"}
    sys.argv = ["kick", "run", str(suite), *(str(part) for pair in options.items() for part in pair)]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def print_refusals() -> None:
    """Break a small model in every way and let `kick run` say what it finds, on stderr."""
    with tempfile.TemporaryDirectory() as scratch:
        dense = save_model(Path(scratch) / "dense")
        data_root = make_data_root(Path(scratch) / "data")
        for number, (case, (breaks, _)) in enumerate(REFUSALS.items(), start=1):
            folder = Path(shutil.copytree(dense, Path(scratch) / str(number) / "broken"))
            breaks(folder)
            print(f"\n{number}. {case}", file=sys.stderr)
            code = kick_run(folder, dense, data_root, folder.parent / "results")
            scored = len(list(folder.parent.rglob("cell.json")))
            print(f"exit code {code}, {scored} cells scored", file=sys.stderr)


if __name__ == "__main__":
    print_refusals()
