"""Load a checkpoint folder strictly: a model and its tokenizer, or a refusal that says why."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kick.checkpoints.adapters import CONFIG as ADAPTER
from kick.checkpoints.adapters import attach
from kick.checkpoints.checks import (
    check_code,
    check_quantizer,
    check_sparse_files,
    check_values,
    quant_method,
)
from kick.checkpoints.configs import check_layers, check_size
from kick.checkpoints.folder import StoredTensor, config_json, stored_tensors
from kick.checkpoints.gguf import check_tokenizer, read_converted
from kick.checkpoints.kv_cache import round_cache, rounding_phrase
from kick.checkpoints.loaders import build_and_fill, find_loader
from kick.checkpoints.model_checks import check_keys, check_tying, check_vocabulary, run_once
from kick.checkpoints.quantizers import (
    QUANTIZERS,
    LinearMemory,
    bytes_in_memory,
    check_rows,
    linears_in_memory,
    release,
)
from kick.checkpoints.simulation import simulated
from kick.checkpoints.tokenizers import check_tokenizer_files
from kick.checkpoints.untrusted import check_files, read_json, refusing
from kick.errors import InputError, nearest
from kick.types import LoadingOptions

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# No options: the weights as they are stored.
AS_STORED = LoadingOptions()
DTYPES = ("auto", "float32", "bfloat16", "float16")
_FLOAT_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
GENERATION = "generation_config.json"
# A text that a tokenizer must take without an error.
_PROBE = "The answer of 1984 is: yes, it was."


@dataclass(frozen=True)
class Loaded:
    """A model ready to score: in eval mode, without gradients, on its device."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    # float32, bfloat16 or float16
    dtype: str
    # cpu or cuda
    device: str
    # The changes to the stored weights on loading, one phrase per change.
    loading: tuple[str, ...]
    # The differences from the model as it would be deployed, one phrase per difference.
    simulated: tuple[str, ...]
    # Bytes of parameters and buffers, scales included, before the first forward.
    memory: int
    linears: LinearMemory
    # The attention implementation: sdpa or eager.
    attention: str


def load(
    folder: Path,
    options: LoadingOptions = AS_STORED,
    *,
    dtype: str,
    device: str,
    trust_remote_code: bool = False,
    tokenizer_folder: Path | None = None,
) -> Loaded:
    """Load a folder strictly.

    Args:
        folder: a Hugging Face folder with safetensors.
        options: what is changed on loading. An adapter is a local folder; it is merged into dense weights, and
            attached next to quantized ones. A quantizer (`kick.checkpoints.quantizers.QUANTIZERS`) takes dense
            weights. A loader is a plug-in that builds the model (`kick.checkpoints.loaders`). Keys and values are
            rounded to `kv_bits` (`kick.checkpoints.kv_cache`).
        dtype: auto (what the config states, or else what most weights are stored as), float32, bfloat16 or
            float16.
        device: cpu or cuda.
        trust_remote_code: run the Python files that the folder brings.
        tokenizer_folder: the folder of the tokenizer, if it is not that of the model.

    Raises:
        InputError: files are missing or damaged; the quantizer is unknown; keys are missing, unexpected or of
            another shape than the model's; a tensor is not finite or constant; the tokenizer does not fit the
            embeddings; the folder needs code that was not trusted, a package that is not installed, or a GPU
            that is not there; or `kv_bits` cannot reach the model's attention.
    """
    quantizer, loader = options.quantizer, options.loader
    config = config_json(folder)
    if (folder / ADAPTER).exists():
        raise InputError(
            f"{folder} holds {ADAPTER}, which transformers would apply to the model unasked. Give the base as the "
            "model and the adapter's folder as `adapter`, or remove the file if the adapter is merged."
        )
    if (folder / GENERATION).exists():
        read_json(folder / GENERATION, "Restore the file that belongs to the model, or remove it.")
    tensors = stored_tensors(folder)
    if loader is None:
        check_layers(folder, config, tensors)
    _check_device(device)
    # Importing a loader may make its model known to transformers.
    _check_ways(folder, config, quantizer, loader)
    check_code(folder, config, trust_remote_code)
    check_quantizer(folder, config, device)
    check_sparse_files(folder, tensors)
    dtype = _resolve_dtype(folder, config, tensors, dtype)
    check_values(folder, tensors, dtype, quantized=quant_method(config) is not None)
    tokenizer = read_tokenizer(tokenizer_folder or folder, trust_remote_code)
    if read_converted(folder):
        check_tokenizer(folder, tokenizer)
    if loader is not None:
        model = _build_model(folder, tensors, dtype, device, loader)
    else:
        if not trust_remote_code:
            check_size(folder, read_config(folder), tensors, quantized=quant_method(config) is not None)
        model = _load_model(folder, dtype, device, trust_remote_code, quantizer)
    if quantizer is not None:
        check_rows(model, quantizer, device)
    check_tying(folder, model)
    loading = []
    if loader is not None:
        loading.append(f"built by the loader {loader} ({find_loader(loader)[1]})")
    if quantizer is not None:
        loading.append(f"quantized by {quantizer} ({release(quantizer)}): {QUANTIZERS[quantizer].effect}")
    if options.adapter is not None:
        dense = quantizer is None and quant_method(config) is None
        model = attach(model, Path(options.adapter), merge=dense)
        loading.append(
            f"adapter merged into the weights, in {dtype}" if dense else "adapter beside the weights"
        )
    check_vocabulary(folder, model, tokenizer)
    model.eval()
    model.requires_grad_(False)
    remarks = simulated(folder, config, device)
    memory, linears = bytes_in_memory(model), linears_in_memory(model)
    attention = model.config._attn_implementation or "eager"
    run_once(folder, model)
    if options.kv_bits is not None:
        round_cache(model, options.kv_bits)
        remarks += (f"KV cache: {rounding_phrase(options.kv_bits)}",)
    return Loaded(model, tokenizer, dtype, device, tuple(loading), remarks, memory, linears, attention)


def read_tokenizer(folder: Path, trust_remote_code: bool = False) -> "PreTrainedTokenizerBase":
    """Return the folder's tokenizer, without its model.

    Raises:
        InputError: its files are missing or damaged, or it needs code that was not trusted.
    """
    from transformers import AutoTokenizer

    check_files(folder)
    check_tokenizer_files(folder)
    with refusing(
        f"{folder}: the tokenizer cannot be loaded (copy the tokenizer files of the original model)"
    ):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
        tokenizer.decode(tokenizer(_PROBE)["input_ids"])
    return tokenizer


def read_config(folder: Path, trust_remote_code: bool = False) -> "PretrainedConfig":
    """Return the folder's config as transformers reads it.

    Its `dtype` is what `load` resolves 'auto' to, and its attention implementation the one that `load` uses.

    Raises:
        InputError: it is missing or damaged, or its model is unknown or needs code that was not trusted.
    """
    import torch
    from transformers import AutoConfig

    config = config_json(folder)
    check_code(folder, config, trust_remote_code)
    with refusing(f"{folder}: config.json cannot be used"):
        own = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code, local_files_only=True)
        # Neither is a property of a checkpoint: a candidate must be scored as its reference is.
        own.output_attentions = False
        own._experts_implementation = None
        own._attn_implementation = attention_implementation(own)
    own.dtype = getattr(torch, _resolve_dtype(folder, config, stored_tensors(folder), "auto"))
    return own


def attention_implementation(config: "PretrainedConfig") -> str:
    """Return the attention implementation that a model is loaded with, whatever its config asks for.

    It is torch's `scaled_dot_product_attention` ("sdpa") if the architecture supports it, else "eager". The cell
    identity names it, because the two round differently.

    Args:
        config: a config as `read_config` gives it.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    own = getattr(config, "auto_map", None) or {}
    if model_class is None and "AutoModelForCausalLM" in own:
        # The code of the checkpoint is trusted: without that its config would not have been read.
        model_class = get_class_from_dynamic_module(own["AutoModelForCausalLM"], config._name_or_path)
    return "sdpa" if getattr(model_class, "_supports_sdpa", False) else "eager"


def _check_ways(folder: Path, config: dict[str, Any], quantizer: str | None, loader: str | None) -> None:
    if quantizer is not None:
        release(quantizer)
        method = quant_method(config)
        if method is not None or loader is not None:
            by = (
                f"config.json declares quant_method '{method}'"
                if method
                else f"it is built by the loader '{loader}'"
            )
            raise InputError(
                f"{folder}: '{quantizer}' quantizes dense checkpoints, and {by}. Remove `quantizer`."
            )
    if loader is not None:
        find_loader(loader)


def _check_device(device: str) -> None:
    import torch

    if device not in ("cpu", "cuda"):
        raise InputError(f"device '{device}' is neither 'cpu' nor 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device 'cuda' was requested, and torch finds no GPU. Use 'cpu', or install a CUDA build."
        )


def _resolve_dtype(folder: Path, config: dict[str, Any], tensors: list[StoredTensor], dtype: str) -> str:
    if dtype not in DTYPES:
        raise InputError(f"dtype '{dtype}' is unknown. {nearest(dtype, DTYPES)}")
    if dtype != "auto":
        return dtype
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    stated = [part.get(key) for part in (config, text or {}) for key in ("dtype", "torch_dtype")]
    for name in stated:
        if name is not None:
            name = str(name).removeprefix("torch.")
            if name not in DTYPES[1:]:
                raise InputError(
                    f"{folder}: config.json states dtype '{name}'. Give one: {', '.join(DTYPES[1:])}."
                )
            return name
    stored: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.dtype in _FLOAT_DTYPES:
            stored[_FLOAT_DTYPES[tensor.dtype]] += tensor.numel
    if not stored:
        raise InputError(f"{folder}: neither config.json nor the weights say which dtype to load. Give one.")
    return stored.most_common(1)[0][0]


def _build_model(
    folder: Path, tensors: list[StoredTensor], dtype: str, device: str, loader: str
) -> "PreTrainedModel":
    import torch

    config = read_config(folder)
    config.dtype = getattr(torch, dtype)
    with refusing(f"{folder} cannot be built by the loader '{loader}'"):
        try:
            model, info = build_and_fill(loader, config, tensors, config.dtype)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
    check_keys(folder, info)
    return model.to(device)


def _load_model(
    folder: Path, dtype: str, device: str, trust_remote_code: bool, quantizer: str | None
) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    # Passed only if one is requested: a None would hide what the folder's own config declares.
    requested = (
        {"quantization_config": QUANTIZERS[quantizer].config(getattr(torch, dtype))} if quantizer else {}
    )
    config = read_config(folder, trust_remote_code)
    with refusing(f"{folder} cannot be loaded by transformers"):
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=getattr(torch, dtype),
            device_map=device if device == "cuda" else None,
            **requested,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            use_safetensors=True,
            # They are listed, and refused below.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    check_keys(folder, info)
    return model
