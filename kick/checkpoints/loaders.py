"""Loader plug-ins for models that transformers cannot build from a config, such as layers of different widths.

A plug-in is a function under the entry-point group `kick.loaders`:

    [project.entry-points."kick.loaders"]
    my-shapes = "my_package:build"

It only builds the model (`Build`); kick fills it from the checkpoint's safetensors, as strictly as any other. The
loaders `per-layer-llama` and `low-rank` come with kick.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any

from kick.checkpoints.folder import StoredTensor, read_tensor
from kick.errors import InputError, nearest

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

GROUP = "kick.loaders"
Shapes = Mapping[str, tuple[int, ...]]
Build = Callable[["PretrainedConfig", Shapes], "PreTrainedModel"]
"""Takes the folder's config and the shapes of its stored tensors by name; returns a causal language model whose
parameters have those names and shapes. It is called on the meta device: parameters are not allocated, and their values
do not matter. It raises `kick.errors.InputError` for a checkpoint that it does not know."""

_OWN = {
    "per-layer-llama": "kick.checkpoints.per_layer_llama:build",
    "low-rank": "kick.checkpoints.low_rank:build",
}
# Old checkpoints store this buffer, which is computed.
_IGNORED = ".rotary_emb.inv_freq"


def find_loader(name: str) -> tuple[Build, str]:
    """Return a loader and the release that it comes from, which may change the numbers.

    Raises:
        InputError: no installed package brings it, or two do.
    """
    if name in _OWN:
        module, _, function = _OWN[name].partition(":")
        return getattr(import_module(module), function), f"llm-kick {version('llm-kick')}"
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        known = [*_OWN, *(point.name for point in entry_points(group=GROUP))]
        raise InputError(
            f"no installed package brings the loader '{name}' (entry-point group {GROUP}). {nearest(name, known)}"
        )
    if len(points) > 1:
        raise InputError(f"{len(points)} installed packages bring a loader '{name}'. Uninstall all but one.")
    try:
        build = points[0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"the loader '{name}' ({points[0].value}) cannot be imported: {error}") from error
    package = points[0].dist
    return build, f"{package.name} {package.version}" if package else points[0].value


def build_and_fill(
    name: str, config: "PretrainedConfig", tensors: list[StoredTensor], dtype: "torch.dtype"
) -> tuple["PreTrainedModel", dict[str, Any]]:
    """Return a model that a loader builds, and what did not fit, as transformers' loading info lists it.

    Raises:
        InputError: there is no such loader, or it does not know the checkpoint.
    """
    import torch
    from accelerate import init_empty_weights

    build, _ = find_loader(name)
    stored = {tensor.name: tensor for tensor in tensors if not tensor.name.endswith(_IGNORED)}
    with init_empty_weights(include_buffers=False), torch.no_grad():
        model = build(config, {name: tensor.shape for name, tensor in stored.items()})
    model.tie_weights()
    own = model.state_dict()
    needed = {name for name, _ in model.named_parameters()} | {
        name for name, _ in model.named_buffers()
    } & own.keys()
    info: dict[str, Any] = {
        "missing_keys": needed - stored.keys(),
        "unexpected_keys": stored.keys() - own.keys(),
        "mismatched_keys": [
            (name, tensor.shape, own[name].shape)
            for name, tensor in stored.items()
            if name in own and tuple(own[name].shape) != tensor.shape
        ],
        "error_msgs": [],
    }
    if not any(info.values()):
        values = {name: read_tensor(tensor) for name, tensor in stored.items()}
        model.load_state_dict(
            {name: value.to(dtype) if value.is_floating_point() else value for name, value in values.items()},
            # A tied head is not stored.
            strict=False,
            assign=True,
        )
        model.tie_weights()
    return model, info
