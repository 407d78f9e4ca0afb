"""Apply a PEFT adapter to a loaded model: each of its tensors is placed, or the adapter is refused."""

from pathlib import Path
from typing import TYPE_CHECKING

from kick.checkpoints.checks import check_values
from kick.checkpoints.folder import read_header
from kick.checkpoints.untrusted import check_files, read_json, refusing
from kick.errors import InputError
from kick.files import digest, file_sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def adapter_fingerprint(folder: Path) -> str:
    """Return the SHA-256 (hex) of an adapter's config and weights.

    Raises:
        InputError: the folder holds no adapter in safetensors.
    """
    _check_files(folder)
    return digest(*(file_sha256(folder / name) for name in (CONFIG, WEIGHTS)), length=64)


def attach(model: "PreTrainedModel", folder: Path, *, merge: bool) -> "PreTrainedModel":
    """Return the model with an adapter, of the same class as before.

    Args:
        model: the base.
        folder: the adapter, as PEFT saves it in safetensors.
        merge: add the adapter to the weights; otherwise its layers are kept next to those of the base, as they must be
            if the base's weights are packed.

    Raises:
        InputError: the package peft is not installed; there are no safetensors; the adapter is damaged, untrained (a
            matrix of zeros), does not change weights, or is not for this model.
    """
    _check_files(folder)
    try:
        from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    except ImportError:
        raise InputError(
            f"{folder}: an adapter needs the package 'peft', which is not installed: pip install 'llm-kick[adapters]'."
        ) from None
    stored = read_header(folder / WEIGHTS)
    check_values(folder, stored, "float32", quantized=False)
    with refusing(f"{folder}: the adapter does not fit the model"):
        config = PeftConfig.from_pretrained(folder)
        if config.is_prompt_learning:
            raise InputError(
                f"{folder}: the adapter ({config.peft_type.value}) adds to the prompt and not to the weights, which "
                "kick does not score. Give one that changes weights, LoRA for instance."
            )
        adapted = PeftModel.from_pretrained(model, folder)
    other = {tensor.name for tensor in stored} ^ set(get_peft_model_state_dict(adapted))
    if other:
        raise InputError(
            f"{folder}: the adapter's tensors are not those that its config asks for in this model: {len(other)} "
            f"differ, {min(other)} for one. Give the base that it was trained on."
        )
    whole: PreTrainedModel = adapted.merge_and_unload(safe_merge=True) if merge else adapted.base_model.model
    return whole


def _check_files(folder: Path) -> None:
    check_files(folder)
    read_json(folder / CONFIG, "Give a folder as PEFT's save_pretrained writes it.")
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder} holds no {WEIGHTS}. Save the adapter in safetensors: pickles are not read."
        )
