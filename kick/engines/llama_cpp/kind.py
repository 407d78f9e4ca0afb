"""The engine `llama-cpp` as a suite names it: its arguments, and how it loads a file."""

import os
import time
from collections.abc import Iterable
from statistics import median
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from kick.engines.base import (
    EngineOrder,
    EnginePlan,
    Format,
    LoadedEngine,
    ModelFiles,
    read_arguments,
    require,
)
from kick.types.measures import Speed

if TYPE_CHECKING:
    from kick.engines.llama_cpp.engine import LlamaCppEngine

NAME = "llama-cpp"
# Padded tokens of a batch of torch for each token that llama.cpp takes at a time: 512 by default, as llama.cpp's own.
BATCH_SHARE = 16
SMALLEST_BATCH, LARGEST_BATCH = 32, 512
PROMPT_TOKENS, NEW_TOKENS, REPEATS = 128, 16, 3


class Arguments(BaseModel):
    """`engine_args` of a checkpoint on llama.cpp."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The type of the keys and values in the cache.
    kv_type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] = "f16"
    # llama.cpp computes with a quantized cache of values only so.
    flash_attention: bool = True
    # Default: one per core. A sum may be cut at other places for another number.
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    # Layers on the GPU; default: all on the device cuda, none on the CPU.
    gpu_layers: int | None = Field(default=None, ge=-1)


class LlamaCppKind:
    """The engine `llama-cpp`."""

    formats: frozenset[Format] = frozenset({"gguf"})

    def plan(self, order: EngineOrder) -> EnginePlan:
        """Check the arguments of a checkpoint; see `kick.engines.base.EngineKind`."""
        arguments = read_arguments(NAME, order.arguments, Arguments)
        return EnginePlan(
            version=require(NAME, "llama-cpp-python", "llama_cpp"),
            settings={
                "kv_type": arguments.kv_type,
                "flash_attention": "on" if arguments.flash_attention else "off",
                "threads": str(arguments.threads),
                "gpu_layers": str(_gpu_layers(arguments, order)),
            },
            batching=f"{NAME}/{_batch(order)}",
            capabilities=frozenset({"score", "generate", "divergence"}),
            dtype="as stored",
        )

    def load(self, files: ModelFiles, order: EngineOrder) -> LoadedEngine:
        """Load a GGUF file; see `kick.engines.base.EngineKind`."""
        from kick.checkpoints import read_tokenizer
        from kick.checkpoints.gguf import check_vocabulary
        from kick.engines.llama_cpp.engine import LlamaCppEngine
        from kick.engines.llama_cpp.library import ContextSettings, LlamaModel

        arguments = read_arguments(NAME, order.arguments, Arguments)
        tokenizer = read_tokenizer(files.tokenizer, files.trust_remote_code)
        model = LlamaModel(files.model, _gpu_layers(arguments, order))
        check_vocabulary(model.vocabulary(), tokenizer)
        settings = ContextSettings(
            arguments.kv_type, arguments.flash_attention, arguments.threads, _batch(order)
        )
        engine = LlamaCppEngine(model, tokenizer, settings, self.plan(order))
        return LoadedEngine(engine, memory=model.size, measure_speed=lambda: _speed(engine, arguments))


ENGINE = LlamaCppKind()


def _gpu_layers(arguments: Arguments, order: EngineOrder) -> int:
    if arguments.gpu_layers is not None:
        return arguments.gpu_layers
    return -1 if order.device.startswith("cuda") else 0


def _batch(order: EngineOrder) -> int:
    """Return the number of tokens that llama.cpp takes at a time."""
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, order.batch.tokens // BATCH_SHARE))


def _read(parts: Iterable[object]) -> None:
    for _ in parts:
        pass


def _speed(engine: "LlamaCppEngine", arguments: Arguments) -> Speed:
    """Return the tokens per second of one prompt, after a warm-up."""
    prompt = [index % engine.model.vocabulary_size for index in range(PROMPT_TOKENS)]
    prefills, decodes = [], []
    with engine.context(PROMPT_TOKENS + NEW_TOKENS) as context:
        for _ in range(REPEATS + 1):
            context.clear()
            started = time.perf_counter()
            _read(context.extend(prompt, [PROMPT_TOKENS - 1]))
            first = time.perf_counter()
            for token in range(NEW_TOKENS):
                _read(context.extend([token], [PROMPT_TOKENS + token]))
            prefills.append(first - started)
            decodes.append(time.perf_counter() - first)
    return Speed(
        prefill=PROMPT_TOKENS / median(prefills[1:]),
        decode=NEW_TOKENS / median(decodes[1:]),
        prompt_tokens=PROMPT_TOKENS,
        new_tokens=NEW_TOKENS,
        batch=1,
        repeats=REPEATS,
        simulated=False,
        backend=f"llama-cpp-python {engine.version}, KV cache {arguments.kv_type}, {arguments.threads} threads",
    )
