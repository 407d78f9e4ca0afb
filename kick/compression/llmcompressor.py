"""The calibrated methods, by llm-compressor.

They prune (Wanda, SparseGPT) or quantize (GPTQ, AWQ, AutoRound, SmoothQuant).

The model computes in float32, whatever it is stored as: llm-compressor turns the norms of Gemma and its like from
`1 + w` into `w` and back, which in bfloat16 changes them. Compressed weights are written into a copy of the source's
shards, dense in shape and in their stored dtype, so every loader reads them and nothing else in the checkpoint
changes. SmoothQuant also quantizes activations, which no dense weight can carry: its folder is in the format of
compressed-tensors, and loads with that package.
"""

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kick.checkpoints.description.patterns import parse_pattern
from kick.checkpoints.folder import StoredTensor, stored_tensors, weight_files
from kick.compression.calibration import Samples
from kick.compression.folders import copy_shards, overwrite
from kick.errors import InputError
from kick.progress import Reporter
from kick.types import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import DataLoader
    from transformers import PreTrainedModel

Settings = dict[str, str | int | float | bool]

# Columns of a SparseGPT mask and of a GPTQ update.
BLOCK = 128
# Added to the Hessian's diagonal, as a share of its mean.
DAMPING = 0.01
AWQ_GRID = 20
# Alpha of SmoothQuant.
SMOOTHING = 0.5
AUTOROUND_STEPS = 200
VERSIONS = ("llmcompressor", "compressed-tensors")

_LAYER = re.compile(r"^(.*?(?<![^.])\d+)\.")


def check_extra(method: str) -> None:
    """Refuse a calibrated method if llm-compressor is not installed."""
    if find_spec("llmcompressor") is None:
        raise InputError(
            f"method '{method}' needs llm-compressor, which is not installed. Install it with kick: "
            "pip install 'llm-kick[compress]'"
        )


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep llm-compressor, and what it imports, from printing."""
    from kick.quiet import without_bars

    os.environ["LLM_COMPRESSOR_LOG_DISABLED"] = "true"  # read at import: it would log to stdout
    from loguru import logger

    for package in ("llmcompressor", "compressed_tensors"):
        logger.disable(package)
    try:
        logger.level("METRIC")
    except ValueError:  # llm-compressor logs at this level, and when told not to log does not define it
        logger.level("METRIC", no=38)
    logging.disable(logging.WARNING)
    try:
        with without_bars(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", message="Attempting to save a model with offloaded modules")
            yield
    finally:
        logging.disable(logging.NOTSET)


@_silenced()
def calibrate(
    recipe: Recipe,
    source: Path,
    scratch: Path,
    linears: list[StoredTensor],
    samples: Samples,
    reporter: Reporter,
) -> Settings:
    """Write the weights of `source` as a recipe makes them from the samples; return the method's settings.

    Raises:
        InputError: the source does not load strictly, or llm-compressor cannot work on its architecture.
    """
    from kick.checkpoints import load

    loaded = load(source, dtype="float32", device="cpu")
    names = [linear.name.removesuffix(".weight") for linear in linears]
    _check_modules(source, loaded.model, names)
    modifiers, settings = _METHODS[recipe.method](recipe, loaded.model, names)
    layers = list(dict.fromkeys(match[1] for name in names if (match := _LAYER.match(name))))
    with (
        reporter.stage(f"{recipe.method}: {len(samples.tokens)} samples, layers", len(layers)) as advance,
        _counted(loaded.model, layers, advance),
    ):
        _oneshot(recipe, source, loaded.model, loaded.tokenizer, modifiers, samples)
    if recipe.bits is not None:
        _check_quantized(recipe, source, loaded.model, names)
    if recipe.method == "smoothquant":
        _save_compressed(loaded.model, source, scratch)
        return settings
    copy_shards(weight_files(source), scratch)
    for tensor in _changed(recipe, source, linears, layers):
        values = _values(loaded.model, tensor.name)
        overwrite(scratch, tensor, values.to(_dtype(tensor)).cpu())
    return settings


def _oneshot(
    recipe: Recipe,
    source: Path,
    model: "PreTrainedModel",
    tokenizer: Any,
    modifiers: list[Any],
    samples: Samples,
) -> None:
    import torch
    from llmcompressor import oneshot
    from llmcompressor.pipelines.cache import IntermediatesCache

    torch.manual_seed(recipe.calibration.seed if recipe.calibration else 0)
    pinning = IntermediatesCache.pin_memory
    if not torch.accelerator.is_available():  # AWQ pins memory for one, and fails where there is none
        IntermediatesCache.pin_memory = lambda *_: None
    try:
        oneshot(
            model=model,
            processor=tokenizer,
            dataset=_loader(samples),
            recipe=modifiers,
            num_calibration_samples=len(samples.tokens),
            max_seq_length=len(samples.tokens[0]),
        )
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, AssertionError) as error:
        lines = str(error).strip().splitlines()
        raise InputError(
            f"{source}: llm-compressor cannot apply '{recipe.method}' to {type(model).__name__} "
            f"({lines[0] if lines else type(error).__name__}). Use another method, or another model."
        ) from error
    finally:
        IntermediatesCache.pin_memory = pinning


def _loader(samples: Samples) -> "DataLoader[dict[str, Tensor]]":
    """Return batches of one sample each, in the order in which they were drawn."""
    import torch
    from torch.utils.data import DataLoader

    rows: Any = [{"input_ids": torch.tensor(tokens)} for tokens in samples.tokens]
    return DataLoader(rows, batch_size=1)


@contextmanager
def _counted(model: "nn.Module", layers: list[str], advance: Callable[[int], None]) -> Iterator[None]:
    """Count the decoder layers that calibration reaches."""
    handles: dict[str, Any] = {}

    def reached(layer: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            if handles.pop(layer, None) is not None:
                advance(1)

        return hook

    registered = [model.get_submodule(layer).register_forward_hook(reached(layer)) for layer in layers]
    handles.update(zip(layers, registered, strict=True))
    try:
        yield
    finally:
        for handle in registered:
            handle.remove()


def _check_modules(source: Path, model: "nn.Module", names: list[str]) -> None:
    """Refuse models whose Linears are not modules of their stored names: Conv1D, experts fused when loaded."""
    import torch

    modules = dict(model.named_modules())
    for name in names:
        if not isinstance(modules.get(name), torch.nn.Linear):
            raise InputError(
                f"{source}: '{name}' is not a Linear of {type(model).__name__} as transformers builds it, and "
                "calibrated methods work on Linears alone. Use magnitude, rtn or low-rank."
            )


def _check_quantized(recipe: Recipe, source: Path, model: "nn.Module", names: list[str]) -> None:
    """Refuse a model that is quantized in part: AutoRound skips Linears whose sizes its kernels do not take."""
    left = [
        name
        for name in names
        if getattr(getattr(model.get_submodule(name), "quantization_scheme", None), "weights", None) is None
    ]
    if left:
        raise InputError(
            f"{source}: '{recipe.method}' leaves {len(left)} of {len(names)} Linears as they are, '{left[0]}' first. "
            "Use another method."
        )


# --- settings for llm-compressor ---


def _wanda(recipe: Recipe, model: "nn.Module", names: list[str]) -> tuple[list[Any], Settings]:
    """Sun et al. 2024 (arXiv:2306.11695): the least |W| * ||X||_2 of each output row are zeroed."""
    from llmcompressor.modifiers.pruning.wanda import WandaPruningModifier

    return [
        WandaPruningModifier(sparsity=recipe.sparsity, mask_structure=_structure(recipe), targets=names)
    ], {}


def _sparsegpt(recipe: Recipe, model: "nn.Module", names: list[str]) -> tuple[list[Any], Settings]:
    """Frantar and Alistarh 2023 (arXiv:2301.00774)."""
    from llmcompressor.modifiers.pruning.sparsegpt import SparseGPTModifier

    modifier = SparseGPTModifier(
        sparsity=recipe.sparsity,
        mask_structure=_structure(recipe),
        targets=names,
        block_size=BLOCK,
        dampening_frac=DAMPING,
    )
    return [modifier], {"block_size": BLOCK, "damping": DAMPING}


def _gptq(recipe: Recipe, model: "nn.Module", names: list[str]) -> tuple[list[Any], Settings]:
    """Frantar et al. 2023 (arXiv:2210.17323), with its `--act-order --static-groups`: columns by their activations."""
    from llmcompressor.modifiers.gptq import GPTQModifier

    modifier = GPTQModifier(
        config_groups=_groups(recipe, names), block_size=BLOCK, dampening_frac=DAMPING, actorder="static"
    )
    return [modifier], {"block_size": BLOCK, "damping": DAMPING, "order": "activations, static groups"}


def _awq(recipe: Recipe, model: "nn.Module", names: list[str]) -> tuple[list[Any], Settings]:
    """Lin et al. 2024 (arXiv:2306.00978): scaled by activations, then rounded to nearest; weights are not clipped."""
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    scaled = AWQModifier(n_grid=AWQ_GRID, duo_scaling=True)
    rounded = QuantizationModifier(config_groups=_groups(recipe, names))
    return [scaled, rounded], {"grid": AWQ_GRID, "duo_scaling": True, "clipping": False}


def _autoround(recipe: Recipe, model: "nn.Module", names: list[str]) -> tuple[list[Any], Settings]:
    """Cheng et al. 2024 (arXiv:2309.05516): rounding and clipping tuned by signed gradient descent."""
    import torch
    from llmcompressor.modifiers.autoround import AutoRoundModifier

    others = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)} - set(names)
    modifier = AutoRoundModifier(
        config_groups=_groups(recipe, ["Linear"]),
        ignore=sorted(others),
        iters=AUTOROUND_STEPS,
        enable_torch_compile=False,
    )
    return [modifier], {"steps": AUTOROUND_STEPS}


def _smoothquant(recipe: Recipe, model: "nn.Module", names: list[str]) -> tuple[list[Any], Settings]:
    """Xiao et al. 2023 (arXiv:2211.10438): W8A8, one scale per output row of weights and per token of activations.

    Norms are smoothed into the Linears that read them, as llm-compressor's tables for AWQ say. Its own for SmoothQuant
    are wrong for Gemma 2 and 3: there the norm after attention feeds no Linear.
    """
    from compressed_tensors.quantization import preset_name_to_scheme
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq.dynamic_mappings import get_layer_mappings_from_model
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    mappings = [
        (mapping.balance_layers, mapping.smooth_layer)
        for mapping in get_layer_mappings_from_model(model)
        if "norm" in mapping.smooth_layer
    ]
    smoothed = SmoothQuantModifier(smoothing_strength=SMOOTHING, mappings=mappings)
    rounded = QuantizationModifier(config_groups={"group_0": preset_name_to_scheme("INT8", names)})
    return [smoothed, rounded], {"smoothing_strength": SMOOTHING, "activation_bits": 8}


_METHODS: dict[str, Callable[[Recipe, Any, list[str]], tuple[list[Any], Settings]]] = {
    "wanda": _wanda,
    "sparsegpt": _sparsegpt,
    "gptq": _gptq,
    "awq": _awq,
    "autoround": _autoround,
    "smoothquant": _smoothquant,
}


def _structure(recipe: Recipe) -> str:
    """Return llm-compressor's N:M, which counts the zeros of a group and not the weights that are kept; 0:0: none."""
    if recipe.pattern is None:
        return "0:0"
    kept, size = parse_pattern(recipe.pattern)
    return f"{size - kept}:{size}"


def _groups(recipe: Recipe, targets: list[str]) -> dict[str, Any]:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(
        num_bits=recipe.bits,
        type="int",
        symmetric=recipe.symmetric,
        strategy="group" if recipe.group_size else "channel",
        group_size=recipe.group_size,
    )
    return {"group_0": QuantizationScheme(targets=targets, weights=weights)}


# --- what is written ---


def _changed(
    recipe: Recipe, source: Path, linears: list[StoredTensor], layers: list[str]
) -> list[StoredTensor]:
    """Return the stored tensors that a method changes: the Linears; for AWQ also the norms and biases it scales."""
    if recipe.method != "awq":
        return linears
    inside = tuple(f"{layer}." for layer in layers)
    return [tensor for tensor in stored_tensors(source) if tensor.name.startswith(inside)]


def _values(model: "nn.Module", name: str) -> "Tensor":
    """Return a parameter as the compressed model computes with it, in float32, rounded to its levels if quantized."""
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize

    path, _, kind = name.rpartition(".")
    module: Any = model.get_submodule(path)
    value: Tensor = getattr(module, kind).detach()
    scheme = getattr(module, "quantization_scheme", None)
    if kind != "weight" or scheme is None or scheme.weights is None:
        return value
    zero_point = getattr(module, "weight_zero_point", None)
    quantized: Tensor = fake_quantize(value, module.weight_scale.detach(), zero_point, scheme.weights)
    return quantized


def _dtype(tensor: StoredTensor) -> Any:
    import torch

    return {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[
        tensor.dtype
    ]


def _save_compressed(model: "PreTrainedModel", source: Path, scratch: Path) -> None:
    """Write the compressed-tensors folder, what is not quantized in the dtype that the source stores most of."""
    from collections import Counter

    stored: Counter[str] = Counter()
    for tensor in stored_tensors(source):
        stored[tensor.dtype] += tensor.numel
    example = next(t for t in stored_tensors(source) if t.dtype == stored.most_common(1)[0][0])
    model.to(_dtype(example))
    model.save_pretrained(scratch, save_compressed=True)
    (scratch / "recipe.yaml").unlink(missing_ok=True)
