"""Quantizers that work while a dense checkpoint is loaded: names, required packages, and memory afterwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import TYPE_CHECKING, Any

from kick.errors import InputError, nearest
from kick.types import Description

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Quantizer:
    """One quantizer of a library, as transformers is told to use it."""

    # Its name on PyPI.
    distribution: str
    # From the dtype to compute in to transformers' quantization_config.
    config: Callable[["torch.dtype"], Any]
    # The rounding of weights and activations, in words.
    effect: str


def _bnb_int8(dtype: "torch.dtype") -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=True)


def _bnb_nf4(dtype: "torch.dtype") -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _quanto(weights: str) -> Callable[["torch.dtype"], Any]:
    def config(dtype: "torch.dtype") -> Any:
        from transformers import QuantoConfig

        return QuantoConfig(weights=weights)

    return config


def _torchao_int8(dtype: "torch.dtype") -> Any:
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


QUANTIZERS = {
    "bnb-int8": Quantizer(
        "bitsandbytes", _bnb_int8, "weights and activations in 8 bits, outliers in 16 (LLM.int8)"
    ),
    "bnb-nf4": Quantizer("bitsandbytes", _bnb_nf4, "weights in 4 bits (NF4, blocks of 64)"),
    "quanto-int4": Quantizer("optimum-quanto", _quanto("int4"), "weights in 4 bits"),
    "quanto-int8": Quantizer("optimum-quanto", _quanto("int8"), "weights in 8 bits"),
    "torchao-int8": Quantizer("torchao", _torchao_int8, "weights in 8 bits"),
}


def check_name(name: str) -> None:
    """Refuse the name of an unknown quantizer."""
    if name not in QUANTIZERS:
        raise InputError(f"there is no quantizer '{name}'. {nearest(name, list(QUANTIZERS))}")


def release(name: str) -> str:
    """Return the library of a quantizer with its version, which may change the numbers.

    Raises:
        InputError: the quantizer is unknown, or its library is not installed.
    """
    check_name(name)
    distribution = QUANTIZERS[name].distribution
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        raise InputError(
            f"the quantizer '{name}' needs the package '{distribution}', which is not installed: "
            "pip install 'llm-kick[quantizers]'."
        ) from None


def check_rows(model: "PreTrainedModel", name: str, device: str) -> None:
    """Refuse Linears that bitsandbytes cannot compute: on a CPU, those whose inputs are not whole blocks of 64."""
    if name != "bnb-nf4" or device != "cpu":
        return
    from bitsandbytes.nn import Linear4bit

    for path, module in model.named_modules():
        if isinstance(module, Linear4bit) and module.in_features % 64:
            raise InputError(
                f"'{name}' cannot compute '{path}' on a CPU: its rows of {module.in_features} weights are not whole "
                "blocks of 64. Use a GPU, or another quantizer."
            )


@dataclass(frozen=True)
class LinearMemory:
    """The weights of a model's Linears in memory, the head left out."""

    weights: int
    # Bytes of the weights with their scales.
    bytes: int


def as_loaded(description: Description, size: int, linears: LinearMemory, quantizer: str) -> Description:
    """Return the description of a dense checkpoint with the bytes that its quantized weights have in memory.

    Zeros are those of the dense weights. The bits of single Linears are not known, nor are those of all Linears if the
    model's are other matrices than the files' (experts in one tensor, GPT-2's Conv1D).

    Args:
        description: the description of the dense files.
        size: `bytes_in_memory` of the model as it was loaded.
        linears: its `linears_in_memory`.
        quantizer: the quantizer that it was loaded with.
    """
    same = linears.weights == description.linear_parameters
    return description.model_copy(
        update={
            "bytes_on_disk": size,
            "tensor_bytes": size,
            "bits_per_weight": 8 * size / description.parameters,
            "quant_method": quantizer,
            "packed": description.linear_parameters,
            "linear_bytes": linears.bytes if same else 0,
            "linear_bits_per_weight": 8 * linears.bytes / linears.weights if same else None,
            "stored_as": (),
        }
    )


def bytes_in_memory(model: "PreTrainedModel") -> int:
    """Return the bytes of a model's parameters and buffers with their scales; call it before the first forward.

    Some libraries unpack weights in the first forward.
    """
    tensors = [*model.parameters(), *model.buffers()]
    return sum(_bytes(tensor) for tensor in {id(one): one for one in tensors}.values())


def linears_in_memory(model: "PreTrainedModel") -> LinearMemory:
    """Return what a model's Linears hold in memory, the head left out; call it before the first forward.

    A Linear that compressed-tensors packed has no `weight` until then, but `weight_packed`, `weight_scale` and others.
    """
    import torch

    head = model.get_output_embeddings()
    linears = [one for one in model.modules() if isinstance(one, torch.nn.Linear) and one is not head]
    return LinearMemory(
        weights=sum(linear.in_features * linear.out_features for linear in linears),
        bytes=sum(_bytes(tensor) for linear in linears for tensor in _weights(linear)),
    )


def _weights(linear: "nn.Module") -> "Iterator[Tensor]":
    """Yield the weight of a Linear, packed or not, and the tensors that are kept next to it."""
    for name, tensor in chain(linear.named_parameters(recurse=False), linear.named_buffers(recurse=False)):
        if name.startswith("weight"):
            yield tensor


def _bytes(tensor: "Tensor") -> int:
    """Return the bytes of a tensor with the scales that its class keeps next to the values."""
    import torch

    # quanto, torchao
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    size = tensor.numel() * tensor.element_size()
    # bitsandbytes in 8 bits, and in 4 bits
    beside = [getattr(tensor, "SCB", None)]
    state = getattr(tensor, "quant_state", None)
    if state is not None:
        beside += state.as_dict().values()
    return size + sum(one.numel() * one.element_size() for one in beside if isinstance(one, torch.Tensor))
