"""The forwards of a model, watched and limited from outside by a hook of torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kick.checkpoints import Loaded


@contextmanager
def at_most(loaded: Loaded, tokens: int) -> Iterator[list[int]]:
    """Let no more padded tokens than these through a forward, as if the memory held no more.

    Yields:
        The sizes of the forwards that were refused.
    """
    refused: list[int] = []

    def check(_module: object, _arguments: object, inputs: dict[str, Any]) -> None:
        padded = inputs["input_ids"].numel()
        if padded > tokens:
            refused.append(padded)
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    handle = loaded.model.base_model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield refused
    finally:
        handle.remove()
