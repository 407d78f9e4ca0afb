"""llama.cpp's C interface, as far as kick needs it: a model, and a context that holds one sequence.

Tokens go in as ids and float32 logits come out: none of llama.cpp's tokenizers, samplers or templates is used.
"""

import ctypes
import weakref
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch

from kick.errors import InputError

# Values of ggml's enum of types: https://github.com/ggml-org/ggml/blob/master/include/ggml.h
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "bf16": 30}
# Logits that one call may give: 128 MiB in float32.
MOST_LOGITS = 2**25
_FLASH = {True: 1, False: 0}
# LLAMA_TOKEN_ATTR_NORMAL
_NORMAL = 1 << 2
_ERROR = 4


@dataclass(frozen=True)
class ContextSettings:
    """The settings of a context that may change the numbers."""

    kv_type: str
    flash_attention: bool
    threads: int
    # Tokens that go through at a time.
    batch: int


class LlamaModel:
    """A GGUF file in memory.

    Args:
        file: the file.
        gpu_layers: the layers to put on the GPU; -1: all of them.

    Raises:
        InputError: llama.cpp cannot load it.
    """

    def __init__(self, file: Path, gpu_layers: int) -> None:
        self.file = file
        _listen()
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        _ERRORS.clear()
        self.pointer = llama_cpp.llama_model_load_from_file(str(file).encode(), parameters)
        if not self.pointer:
            raise InputError(f"{file} cannot be loaded by llama.cpp: {_last_error()}")
        weakref.finalize(self, llama_cpp.llama_model_free, self.pointer)
        self._vocabulary = llama_cpp.llama_model_get_vocab(self.pointer)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self._vocabulary))
        self.size = int(llama_cpp.llama_model_size(self.pointer))
        self.window = int(llama_cpp.llama_model_n_ctx_train(self.pointer))

    @property
    def end(self) -> int:
        """The token that ends a sequence, as the file says; -1: it names none."""
        return int(llama_cpp.llama_vocab_eos(self._vocabulary))

    def vocabulary(self) -> list[str | None]:
        """Return the tokens of the file by id; None: one that texts do not hold, such as a control token."""
        vocabulary = self._vocabulary
        return [
            llama_cpp.llama_vocab_get_text(vocabulary, token).decode(errors="replace")
            if llama_cpp.llama_vocab_get_attr(vocabulary, token) & _NORMAL
            else None
            for token in range(self.vocabulary_size)
        ]


class Context:
    """One sequence of a model: its keys and values are kept, and can be cut back to a beginning.

    Args:
        model: the model.
        settings: what may change the numbers.
        tokens: the longest sequence.

    Raises:
        InputError: llama.cpp cannot make it: the cache does not fit the memory, or the model does not take its type.
    """

    def __init__(self, model: LlamaModel, settings: ContextSettings, tokens: int) -> None:
        self.model, self.settings = model, settings
        self.length = 0
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = -(-tokens // 256) * 256
        parameters.n_batch = parameters.n_ubatch = settings.batch
        parameters.n_seq_max = 1
        parameters.n_threads = parameters.n_threads_batch = settings.threads
        parameters.type_k = parameters.type_v = TYPES[settings.kv_type]
        parameters.flash_attn_type = _FLASH[settings.flash_attention]
        # Without it a sliding window's keys are dropped, and a sequence cannot be cut back.
        parameters.swa_full = True
        _ERRORS.clear()
        self.pointer = llama_cpp.llama_init_from_model(model.pointer, parameters)
        if not self.pointer:
            raise InputError(
                f"{model.file}: llama.cpp makes no context of {tokens} tokens with a KV cache of type "
                f"{settings.kv_type}: {_last_error()}"
            )
        self._memory = llama_cpp.llama_get_memory(self.pointer)
        self._batch = llama_cpp.llama_batch_init(settings.batch, 0, 1)
        self._free = weakref.finalize(self, _free, self.pointer, self._batch)

    def close(self) -> None:
        """Free the memory of the sequence."""
        self._free()

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def clear(self) -> None:
        """Forget the whole sequence."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self.length = 0

    def cut_back(self, length: int) -> None:
        """Forget all tokens of the sequence but the first `length`.

        Raises:
            InputError: the model keeps a state that cannot be cut back (recurrent models), other than to nothing.
        """
        if length == 0:
            self.clear()
        elif length < self.length:
            if not llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1):
                raise InputError(
                    f"{self.model.file}: llama.cpp cannot cut a sequence of this model back to its beginning, which "
                    "scoring needs. Score it on another engine."
                )
            self.length = length

    def extend(
        self, tokens: Sequence[int], outputs: Collection[int] = ()
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Add tokens to the sequence.

        Args:
            tokens: their ids.
            outputs: the positions in the sequence whose logits are wanted.

        Returns:
            Positions and their float32 logits [positions, vocabulary], part by part. The tokens are added while the
            parts are read; if no logits are wanted, at once.

        Raises:
            InputError: llama.cpp fails to compute.
        """
        parts = self._parts(tokens, frozenset(outputs))
        return parts if outputs else iter([*parts])

    def _parts(
        self, tokens: Sequence[int], outputs: frozenset[int]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        vocabulary = self.model.vocabulary_size
        most = max(1, MOST_LOGITS // vocabulary)
        start = 0
        while start < len(tokens):
            end = start
            wanted: list[int] = []
            while end < len(tokens) and end - start < self.settings.batch and len(wanted) < most:
                if self.length + end - start in outputs:
                    wanted.append(self.length + end - start)
                end += 1
            self._decode(tokens[start:end], outputs)
            if wanted:
                given = llama_cpp.llama_get_logits(self.pointer)
                logits = np.ctypeslib.as_array(given, (len(wanted) * vocabulary,)).copy()
                yield wanted, torch.from_numpy(logits).view(len(wanted), vocabulary)
            start = end

    def _decode(self, tokens: Sequence[int], outputs: frozenset[int]) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            position = self.length + index
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = position in outputs
        _ERRORS.clear()
        status = llama_cpp.llama_decode(self.pointer, batch)
        if status:
            raise InputError(
                f"{self.model.file}: llama.cpp cannot compute {len(tokens)} tokens after {self.length} "
                f"(status {status}): {_last_error()}"
            )
        self.length += len(tokens)


# What llama.cpp said went wrong, since the last call.
_ERRORS: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _data: Any) -> None:
    if level == _ERROR:
        _ERRORS.append(text.decode(errors="replace").strip())


def _listen() -> None:
    """Keep llama.cpp's messages off stderr; its errors are part of ours."""
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))


def _last_error() -> str:
    return "; ".join(filter(None, _ERRORS[-2:])) or "it does not say why"


def _free(context: Any, batch: Any) -> None:
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
