"""Measure the cost of a checkpoint: loading time, memory, and tokens per second in prefill and decode.

Speed is that of transformers' `generate` on this machine, greedy, one prompt: enough to compare the checkpoints of a
run with one another. It does not forecast a server.
"""

import math
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kick.checkpoints.description.made import read_stated
from kick.checkpoints.loading import Loaded
from kick.types.measures import Cost, Speed

if TYPE_CHECKING:
    from torch import Tensor


class _MeasuredEngine(Protocol):
    """A loaded engine, as far as its cost is concerned (`kick.engines.base.LoadedEngine`)."""

    @property
    def memory(self) -> int: ...

    @property
    def measure_speed(self) -> Callable[[], Speed | None]: ...


E = TypeVar("E", bound=_MeasuredEngine)

PROMPT_TOKENS = 128
NEW_TOKENS = 16
REPEATS = 3
# Seconds; a checkpoint that takes longer is timed less often than REPEATS.
BUDGET = 30.0
# Bytes in memory: below, the time is that of Python and not of the weights.
SMALLEST = 40_000_000


def measure_cost(
    load: Callable[[], Loaded], folder: Path, device: str, known: Cost | None = None
) -> tuple[Loaded, Cost]:
    """Load a checkpoint and measure what loading and running it takes.

    Args:
        load: the function that loads it.
        folder: the folder that it is loaded from; a kick.json in it tells how long it took to make.
        device: cpu or cuda.
        known: an earlier measurement; on the same kind of device it is not repeated.
    """
    if known is not None and known.device == device:
        return load(), known
    # Imported before the clock starts: the time of the first import is not that of a checkpoint.
    import transformers.generation  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    is_reset = _forget_peak(device)
    started = time.perf_counter()
    loaded = load()
    seconds = time.perf_counter() - started
    speed = measure_speed(loaded) if loaded.memory >= SMALLEST else None
    cost = Cost(
        load_seconds=round(seconds, 3),
        footprint=loaded.memory,
        peak_memory=_peak(device) if is_reset else None,
        device=device,
        made_seconds=_made_seconds(folder),
        speed=speed,
    )
    return loaded, cost


def measure_engine_cost(
    load: Callable[[], E], folder: Path, device: str, known: Cost | None = None
) -> tuple[E, Cost]:
    """Load a checkpoint into an engine other than torch and measure what loading and running it takes.

    Args:
        load: the function that loads it.
        folder: as for `measure_cost`.
        device: as for `measure_cost`.
        known: as for `measure_cost`.
    """
    if known is not None and known.device == device:
        return load(), known
    is_reset = _forget_peak(device)
    started = time.perf_counter()
    loaded = load()
    seconds = time.perf_counter() - started
    cost = Cost(
        load_seconds=round(seconds, 3),
        footprint=loaded.memory,
        speed=loaded.measure_speed() if loaded.memory >= SMALLEST else None,
        peak_memory=_peak(device) if is_reset else None,
        device=device,
        made_seconds=_made_seconds(folder),
    )
    return loaded, cost


def measure_speed(loaded: Loaded) -> Speed | None:
    """Return the tokens per second of a loaded model, after a warm-up; None if it does not generate."""
    import torch

    model, config = loaded.model, loaded.model.config.get_text_config()
    if not model.can_generate():
        return None
    window = getattr(config, "max_position_embeddings", None) or PROMPT_TOKENS + NEW_TOKENS
    length = max(1, min(PROMPT_TOKENS, window - NEW_TOKENS))
    draw = torch.Generator().manual_seed(0)
    prompt = torch.randint(0, config.vocab_size, (1, length), generator=draw).to(model.device)
    _generate(model, prompt)
    taken: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(taken) < REPEATS and (not taken or time.perf_counter() - began < BUDGET):
        taken.append(_generate(model, prompt))
    prefill, decode = (statistics.median(part) for part in zip(*taken, strict=True))
    return Speed(
        prefill=length / prefill,
        decode=(NEW_TOKENS - 1) / decode,
        prompt_tokens=length,
        new_tokens=NEW_TOKENS,
        batch=1,
        repeats=len(taken),
        simulated=any(what.startswith(("weights:", "KV cache:")) for what in loaded.simulated),
        backend=_backend(loaded),
    )


def _generate(model: Any, prompt: "Tensor") -> tuple[float, float]:
    """Return the seconds until the first new token, and from it to the last."""
    import torch
    from transformers import GenerationConfig

    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_new_tokens=NEW_TOKENS,
        max_new_tokens=NEW_TOKENS,
        use_cache=True,
        pad_token_id=0,
    )
    clock = _Clock()
    started = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            prompt, attention_mask=torch.ones_like(prompt), generation_config=settings, streamer=clock
        )
    first, last = clock.times[1], clock.times[-1]
    return first - started, last - first


class _Clock:
    """A streamer that notes when `generate` hands over tokens, the prompt first; they are on the CPU by then."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _tokens: "Tensor") -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def _backend(loaded: Loaded) -> str:
    import torch

    attention = getattr(loaded.model.config, "_attn_implementation", None) or "eager"
    threads = f"cpu, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name() if loaded.device == "cuda" else threads
    return f"transformers {version('transformers')}, {attention}, {loaded.dtype}, {where}"


def _made_seconds(folder: Path) -> float | None:
    seconds = read_stated(folder).get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < math.inf else None


def _forget_peak(device: str) -> bool:
    """Reset the high-water mark of memory; return whether the system can."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak(device: str) -> int:
    """Return the bytes at the high-water mark since `_forget_peak`."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
