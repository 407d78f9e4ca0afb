"""The calibrated methods against their published formulas, computed here layer by layer in another way."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

pytest.importorskip("llmcompressor")

from kick.checkpoints import describe, load
from kick.checkpoints.folder import decoder_linears, stored_tensors
from kick.compression import Samples, llmcompressor, make, read_made, read_samples, recipe_key
from kick.errors import InputError
from kick.rounding import round_to_nearest
from kick.types import Calibration, Recipe
from tests.tiny import VOCABULARY, save_model, tokenizer

WORDS = ("the", "answer", "to", "question", "is", "in", "text", "of", "a", "ferry", "at", "harbour", "inn")
BLOCK, DAMPING = 128, 0.01  # SparseGPT's own


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    draw = random.Random(0)
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines = [json.dumps({"text": " ".join(draw.choices(WORDS, k=150))}) for _ in range(20)]
    file.write_text("\n".join(lines))
    return Calibration(data=str(file), samples=6, length=96)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama whose down projection has more columns than a block of SparseGPT."""
    torch.manual_seed(0)
    tok = tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
        initializer_range=0.2,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
        pad_token_id=tok.pad_token_id,
    )
    folder = tmp_path_factory.mktemp("models") / "source"
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def samples(calibration: Calibration, source: Path) -> Samples:
    return read_samples(calibration, source, None)


@pytest.fixture
def made(
    calibration: Calibration, source: Path, samples: Samples, tmp_path: Path
) -> Callable[..., tuple[Path, Recipe]]:
    """Make a recipe's folder from `source`, or from another one."""

    def _made(start: Path = source, /, **options: object) -> tuple[Path, Recipe]:
        recipe = Recipe.model_validate({**options, "calibration": calibration})
        out = tmp_path / "-".join(str(value) for value in options.values()).replace(":", "of")
        make(recipe, start, out, samples=samples)
        return out, recipe

    return _made


def weights(folder: Path) -> dict[str, Tensor]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


@contextmanager
def inputs_of(linears: dict[str, nn.Linear]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the inputs of Linears, [tokens, in] in float64, while the model computes."""
    seen: dict[str, list[Tensor]] = {name: [] for name in linears}
    handles = [
        linear.register_forward_hook(
            lambda _, args, __, name=name: seen[name].append(args[0].flatten(0, -2).double())
        )
        for name, linear in linears.items()
    ]
    yield seen
    for handle in handles:
        handle.remove()


def expected(source: Path, samples: Samples, prune: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """Each layer's Linears pruned by `prune(weight, inputs)`, its inputs computed by pruned layers before it."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    found = {}
    for number in range(model.config.num_hidden_layers):
        prefix = f"model.layers.{number}."
        linears = {
            name: module
            for name, module in model.named_modules()
            if name.startswith(prefix) and isinstance(module, nn.Linear)
        }
        with torch.no_grad(), inputs_of(linears) as seen:
            for tokens in samples.tokens:
                model(torch.tensor([tokens]))
        for name, linear in linears.items():
            pruned = prune(linear.weight.detach().double(), torch.cat(seen[name]))
            found[f"{name}.weight"] = pruned
            linear.weight.data = pruned.float()
    return found


def wanda(sparsity: float, pattern: tuple[int, int] | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Sun et al. 2024, equation 1: in every output row the least |W_ij| * ||X_j||_2 go, or in every M of a row."""

    def prune(weight: Tensor, inputs: Tensor) -> Tensor:
        score = weight.abs() * inputs.square().sum(dim=0).sqrt()
        kept, size = pattern or (weight.shape[1] - int(weight.shape[1] * sparsity), weight.shape[1])
        groups = score.reshape(-1, size)
        rank = groups.argsort(dim=1, descending=True).argsort(dim=1)
        return torch.where((rank < kept).reshape(weight.shape), weight, 0.0)

    return prune


def sparsegpt(sparsity: float, pattern: tuple[int, int] | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Frantar and Alistarh 2023: columns from the left; with H_j the Hessian of the columns from j on, the error of
    zeroing w_j is w_j^2 / [H_j^-1]_11, and the columns right of j make up for it by - w_j / [H_j^-1]_11 * [H_j^-1]_1.
    A mask is chosen for 128 columns at once, or for each M of them, by the weights as they are by then.
    """

    def prune(weight: Tensor, inputs: Tensor) -> Tensor:
        weight = weight.clone()
        hessian = 2 * inputs.T @ inputs / len(samples_of(inputs))
        hessian += DAMPING * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=hessian.dtype)
        columns = weight.shape[1]
        inverses = [torch.linalg.inv(hessian[j:, j:])[0] for j in range(columns)]
        costs = torch.stack([inverse[0] for inverse in inverses])
        mask = torch.zeros(weight.shape, dtype=torch.bool)
        for j in range(columns):
            width = pattern[1] if pattern else BLOCK
            if j % width == 0:
                end = min(j + width, columns)
                errors = weight[:, j:end].square() / costs[j:end]
                if pattern:
                    least = errors.argsort(dim=1)[:, : pattern[1] - pattern[0]]
                    mask[:, j:end] = mask[:, j:end].scatter(1, least, True)
                else:
                    least_kept = errors.flatten().sort().values[int(errors.numel() * sparsity)]
                    mask[:, j:end] = errors <= least_kept
            removed = torch.where(mask[:, j], weight[:, j], 0.0)
            weight[:, j:] -= torch.outer(removed / costs[j], inverses[j])
            weight[mask[:, j], j] = 0.0
        return weight

    def samples_of(inputs: Tensor) -> range:
        return range(inputs.shape[0] // 96)

    return prune


# --- pruning ---


@pytest.mark.parametrize(("pattern", "name"), [(None, None), ((2, 4), "2:4")])
@pytest.mark.parametrize(("method", "formula"), [("wanda", wanda), ("sparsegpt", sparsegpt)])
def test_masks_are_those_of_the_published_formula(
    method: str,
    formula: Callable[..., Callable[[Tensor, Tensor], Tensor]],
    pattern: tuple[int, int] | None,
    name: str | None,
    made: Callable[..., tuple[Path, Recipe]],
    source: Path,
    samples: Samples,
) -> None:
    out, recipe = made(method=method, sparsity=0.5, pattern=name)
    after = weights(out)
    linears = expected(source, samples, formula(0.5, pattern))
    assert len(linears) == 14
    for linear, weight in linears.items():
        assert torch.equal(after[linear] == 0, weight == 0), linear
        torch.testing.assert_close(after[linear].double(), weight, rtol=1e-3, atol=1e-4)
    others = {name: value for name, value in weights(source).items() if name not in linears}
    assert all(torch.equal(after[name], value) for name, value in others.items())
    measured = describe(out, recipe)
    assert abs(measured.sparsity - 0.5) < 0.002
    assert measured.nm_violations == (0 if pattern else None)


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
@pytest.mark.parametrize("pattern", ["4:8", "1:2", "1:4"])
def test_patterns_count_the_weights_that_are_kept(
    method: str, pattern: str, made: Callable[..., tuple[Path, Recipe]]
) -> None:
    kept, size = map(int, pattern.split(":"))
    out, recipe = made(method=method, sparsity=1 - kept / size, pattern=pattern)
    measured = describe(out, recipe)
    assert measured.nm_violations == 0
    assert measured.sparsity == 1 - kept / size


def test_the_asked_share_of_zeros_is_measured(made: Callable[..., tuple[Path, Recipe]]) -> None:
    for method in ("wanda", "sparsegpt"):
        out, recipe = made(method=method, sparsity=0.25)
        assert abs(describe(out, recipe).sparsity - 0.25) < 0.002


# --- quantization ---


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 3])
def test_gptq_errs_less_than_rounding_on_the_calibration_inputs(
    bits: int, symmetric: bool, made: Callable[..., tuple[Path, Recipe]], source: Path, samples: Samples
) -> None:
    """In the first layer, whose inputs are the dense model's for both."""
    out, _ = made(method="gptq", bits=bits, group_size=16, symmetric=symmetric)
    after = weights(out)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    linears = {
        name: module
        for name, module in model.named_modules()
        if name.startswith("model.layers.0.") and isinstance(module, nn.Linear)
    }
    with torch.no_grad(), inputs_of(linears) as seen:
        for tokens in samples.tokens:
            model(torch.tensor([tokens]))
    assert len(linears) == 7
    for name, linear in linears.items():
        inputs, weight = torch.cat(seen[name]), linear.weight.detach()
        rounded = round_to_nearest(weight, bits, 16, symmetric)
        errors = [
            float((inputs @ (other - weight).double().T).norm())
            for other in (after[f"{name}.weight"], rounded)
        ]
        assert errors[0] <= errors[1], name
        levels = after[f"{name}.weight"].reshape(-1, 16)
        assert max(len(group.unique()) for group in levels) <= 2**bits


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("method", ["awq", "smoothquant"])
def test_scales_are_folded_so_that_eight_bits_change_little(
    method: str, architecture: str, made: Callable[..., tuple[Path, Recipe]], samples: Samples, tmp_path: Path
) -> None:
    """Scales that were not undone elsewhere would change the answers altogether."""
    start = save_model(tmp_path / architecture, architecture, scale=10)
    out, _ = made(start, method=method, bits=8)
    tokens = torch.tensor(samples.tokens)
    dense, eight = (load(folder, dtype="auto", device="cpu") for folder in (start, out))
    with torch.no_grad():
        reference = dense.model(tokens).logits
        assert float((eight.model(tokens).logits - reference).norm() / reference.norm()) < 0.1
    if method == "smoothquant":
        assert describe(out).quant_method == "compressed-tensors"
        assert "activations: quantized and dequantized in floating point" in eight.simulated
    else:
        assert eight.simulated == ("weights: 8-bit values in a wider dtype",)


def test_autoround_leaves_levels_of_four_bits_that_are_not_the_nearest_ones(
    made: Callable[..., tuple[Path, Recipe]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On rows of whole groups of 32, which its kernels take."""
    pytest.importorskip("auto_round")
    monkeypatch.setattr(llmcompressor, "AUTOROUND_STEPS", 4)
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, num_hidden_layers=2, initializer_range=0.2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
    tokenizer().save_pretrained(tmp_path / "wide")
    out, _ = made(tmp_path / "wide", method="autoround", bits=4, group_size=32, symmetric=True)
    after, before = weights(out), weights(tmp_path / "wide")
    linears = [linear.name for linear in decoder_linears(stored_tensors(out))]
    assert len(linears) == 14
    for name in linears:
        assert max(len(group.unique()) for group in after[name].reshape(-1, 32)) <= 16, name
    assert any(
        not torch.equal(after[name], round_to_nearest(before[name], 4, 32, symmetric=True))
        for name in linears
    )


def test_a_model_is_quantized_whole_or_not_at_all(
    made: Callable[..., tuple[Path, Recipe]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("auto_round")
    monkeypatch.setattr(llmcompressor, "AUTOROUND_STEPS", 1)
    with pytest.raises(
        InputError, match=r"'autoround' leaves 4 of 14 Linears as they are, 'model\.layers\.0"
    ):
        made(method="autoround", bits=4, group_size=16)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


# --- what is recorded, and what is refused ---


def test_kick_json_says_what_was_seen_set_and_installed(
    made: Callable[..., tuple[Path, Recipe]], source: Path, samples: Samples
) -> None:
    out, recipe = made(method="sparsegpt", sparsity=0.5)
    record = read_made(out)
    assert record.recipe == recipe
    assert record.how.samples == samples.sha256
    assert record.how.settings == {"block_size": 128, "damping": 0.01}
    assert {"llmcompressor", "compressed-tensors", "torch"} <= record.versions.keys()
    assert record.key == recipe_key(recipe, record.source, samples.sha256)
    assert load(out, dtype="auto", device="cpu").simulated == ()


def test_the_same_samples_give_the_same_bytes_and_others_do_not(
    calibration: Calibration, source: Path, samples: Samples, tmp_path: Path
) -> None:
    other = calibration.model_copy(update={"seed": 1})
    drawn = read_samples(other, source, None)
    for name, using, given in (
        ("a", calibration, samples),
        ("b", calibration, samples),
        ("c", other, drawn),
    ):
        recipe = Recipe(method="wanda", sparsity=0.5, calibration=using)
        make(recipe, source, tmp_path / name, samples=given)
    prints = [read_made(tmp_path / name).fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]
    assert read_made(tmp_path / "a").key != read_made(tmp_path / "c").key


def test_nothing_is_printed_but_progress(
    made: Callable[..., tuple[Path, Recipe]], capfd: pytest.CaptureFixture[str]
) -> None:
    made(method="wanda", sparsity=0.5)
    out, err = capfd.readouterr()
    assert out == ""
    assert "wanda: 6 samples, layers  2" in err


def test_bfloat16_stays_bfloat16_and_only_linears_change(
    made: Callable[..., tuple[Path, Recipe]], tmp_path: Path
) -> None:
    start = save_model(tmp_path / "gemma", "gemma3", scale=10)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.bfloat16)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.normal_(0, 0.3)
    model.save_pretrained(start)
    out, _ = made(start, method="wanda", sparsity=0.5)
    before, after = weights(start), weights(out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {tensor.name for tensor in decoder_linears(stored_tensors(start))}
    assert {weight.dtype for weight in after.values()} == {torch.bfloat16}


@pytest.mark.parametrize("architecture", ["gpt2", "mixtral"])
def test_models_without_plain_linears_are_refused(
    architecture: str, made: Callable[..., tuple[Path, Recipe]], tmp_path: Path
) -> None:
    start = save_model(tmp_path / architecture, architecture)
    with pytest.raises(InputError, match="is not a Linear of"):
        made(start, method="wanda", sparsity=0.5)


def test_groups_that_do_not_divide_the_inputs_are_refused(made: Callable[..., tuple[Path, Recipe]]) -> None:
    with pytest.raises(InputError, match="not divisible into groups of 24"):
        made(method="gptq", bits=4, group_size=24)


def test_a_missing_extra_is_named(
    made: Callable[..., tuple[Path, Recipe]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llmcompressor, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'llm-kick\[compress\]'"):
        made(method="wanda", sparsity=0.5)
