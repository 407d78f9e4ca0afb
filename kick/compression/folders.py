"""Write checkpoint folders whole or not at all, by copying shards and replacing single tensors in them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from kick.checkpoints.folder import INDEX, StoredTensor, tokenizer_files
from kick.errors import InputError
from kick.files import named_errors, sync

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def scratch_for(out: Path, size: int) -> Iterator[Path]:
    """Yield a folder next to `out` for `size` bytes: it is renamed to `out` at the end, or removed if anything fails.

    Raises:
        InputError: `out` exists, cannot be written, has no room, or is being made by another process.
    """
    scratch = out.with_name(f".{out.name}.tmp")
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{out} is being made by another process. Wait for it, or give another folder."
        ) from None
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}). Give a folder that can.") from None
    try:
        if out.exists():
            raise InputError(f"{out} exists and is not overwritten. Delete it, or give another folder.")
        # A process that was killed leaves it behind.
        shutil.rmtree(scratch, ignore_errors=True)
        free = shutil.disk_usage(out.parent).free
        if free < size:
            raise InputError(
                f"{out} needs {size / 1e9:.1f} GB, and its disk has {free / 1e9:.1f}. Make room."
            )
        with named_errors(out):
            scratch.mkdir()
            yield scratch
            scratch.rename(out)
            sync(out.parent)
    except SafetensorError as error:
        raise InputError(f"{out} cannot be made: {error}.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def copy_shards(shards: list[Path], scratch: Path) -> None:
    """Copy weight files into a folder."""
    for shard in shards:
        shutil.copyfile(shard, scratch / shard.name)


def overwrite(scratch: Path, tensor: StoredTensor, values: "Tensor") -> None:
    """Replace one tensor of a copied shard in place; its shape, its dtype and the header stay."""
    import torch

    data = values.contiguous().view(torch.uint8).numpy().ravel()
    target = np.memmap(
        scratch / tensor.shard.name,
        dtype=np.uint8,
        mode="r+",
        offset=tensor.begin,
        shape=(tensor.end - tensor.begin,),
    )
    target[:] = data
    target.flush()


def copy_others(source: Path, scratch: Path) -> None:
    """Copy configs, index, tokenizer and code, except for files that the folder holds already."""
    others = [
        source / "config.json",
        source / "generation_config.json",
        source / INDEX,
        *tokenizer_files(source),
        *source.glob("*.py"),
    ]
    for path in others:
        if path.is_file() and not (scratch / path.name).exists():
            shutil.copyfile(path, scratch / path.name)
