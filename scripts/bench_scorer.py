"""The speed of kick's scorer beside lm-eval's HFLM, with which memory, and how alike the answers are.

    python scripts/bench_scorer.py MODEL --data-root DIR [--only letters short ...] [--items short=64 ...] [--json]

Both answer the same requests in one process, by turns: HFLM at its fastest batch size (found on half of the items) and
with a float32 softmax, kick by the tier that its self-test chooses; medians of the repeats. The KL of two models is
compared with its direct computation. The floor is the time of kick's matrix products alone: the linear layers, run
again on as many tokens as in kick's pass and with nothing between them. `--profile` says where kick's time goes.
"""

import argparse
import ctypes
import json
import logging
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from scorer_workloads import ITEMS, Answers, Workload, make_workload
from torch.overrides import TorchFunctionMode

from kick.checkpoints import load
from kick.engines.torch import TorchEngine
from kick.engines.torch.head import Head
from kick.engines.torch.tiers import TIERS, choose_tier
from kick.quiet import quiet_libraries
from kick.types import BatchSize

# Kinds of operators, by what their names begin with.
KINDS = {
    "matrix products": (
        "aten::mm",
        "aten::addmm",
        "aten::bmm",
        "aten::linear",
        "aten::matmul",
        "aten::mkldnn",
    ),
    "attention": ("aten::_scaled_dot_product", "aten::_flash", "aten::_efficient"),
    "softmax and choice": (
        "aten::_log_softmax",
        "aten::logsumexp",
        "aten::argmax",
        "aten::max",
        "aten::amax",
    ),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::slice", "aten::clone", "aten::gather"),
}


@dataclass(frozen=True)
class Run:
    """One pass over a workload."""

    seconds: float
    mebibytes: float
    """Memory at the peak, above what was held before."""

    answers: Answers


@dataclass(frozen=True)
class Comparison:
    """A line of the table."""

    workload: str
    items: int
    tokens: int
    """The tokens of all prompts and continuations, each by itself."""

    plain_batch: int | None
    """The batch size of lm-eval; None for a direct computation."""

    plain_seconds: float
    kick_seconds: float
    ratio: float
    floor_seconds: float
    """The time of kick's matrix products alone."""

    ratio_at_floor: float
    """The ratio that no packing of the same tokens could exceed."""

    plain_tokens_per_second: float
    kick_tokens_per_second: float
    plain_mebibytes: float
    kick_mebibytes: float
    largest_difference: float | None
    """The largest difference of a log-likelihood or a KL, in nats; None for text."""

    equal_answers: float
    """The share of the items (of the tokens, for KL) with equal answers."""

    overhead: float
    """The share of kick's time that is spent outside the model."""

    tried: dict[int, float]
    """Seconds of lm-eval at each batch size, on half of the items."""

    note: str


class Clock:
    """Time spent in a model's forward passes and in its head."""

    def __init__(self) -> None:
        self.inside = 0.0
        self._depth = 0
        self._started = 0.0

    @contextmanager
    def watch(self, models: Sequence[Any]) -> Iterator[None]:
        """Measure the time that some models and their heads take."""
        self.inside = 0.0
        hooks = []
        for model in models:
            for module in (model.base_model, model.get_output_embeddings()):
                hooks.append(module.register_forward_pre_hook(lambda *_: self._start()))
                hooks.append(module.register_forward_hook(lambda *_: self._stop()))
        call = Head.__call__

        def timed(head: Head, states: torch.Tensor) -> torch.Tensor:
            self._start()
            logits = call(head, states)
            self._stop()
            return logits

        Head.__call__ = timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            Head.__call__ = call  # type: ignore[method-assign]
            for hook in hooks:
                hook.remove()

    def _start(self) -> None:
        if self._depth == 0:
            finish()
            self._started = time.perf_counter()
        self._depth += 1

    def _stop(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            finish()
            self.inside += time.perf_counter() - self._started


class Products(TorchFunctionMode):
    """Note every linear layer that runs, with the shape of its input, so they can be run again alone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[torch.Size, torch.Tensor, torch.Tensor | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.linear:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | (kwargs or {})
            self.calls.append((given["input"].shape, given["weight"], given.get("bias")))
        return func(*args, **(kwargs or {}))

    @torch.inference_mode()
    def seconds(self) -> float:
        """Return the time of all of them, one after the other."""
        inputs: dict[torch.Size, torch.Tensor] = {}
        for shape, weight, _ in self.calls:
            if shape not in inputs:
                inputs[shape] = torch.randn(shape, dtype=weight.dtype, device=weight.device)
        finish()
        started = time.perf_counter()
        for shape, weight, bias in self.calls:
            torch.nn.functional.linear(inputs[shape], weight, bias)
        finish()
        return time.perf_counter() - started


def finish() -> None:
    """Wait until the accelerator is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(work: Callable[[], Answers]) -> Run:
    """Return the time, the memory and the answers of one pass."""
    # HFLM always draws progress bars.
    with peak_memory() as mebibytes, redirect_stderr(StringIO()):
        started = time.perf_counter()
        answers = work()
        finish()
        seconds = time.perf_counter() - started
    return Run(seconds, mebibytes[0], answers)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Yield a list that holds the peak, above what was held at the start, once the block is left."""
    peak: list[float] = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        yield peak
        peak.append(torch.cuda.max_memory_allocated() / 2**20 - before)
        return
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    # The high-water mark begins anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = read_kibibytes("/proc/self/status", "VmRSS") / 1024
    yield peak
    peak.append(read_kibibytes("/proc/self/status", "VmHWM") / 1024 - before)


def read_kibibytes(file: str, key: str) -> int:
    """Return a value of a file of /proc."""
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def free_bytes() -> int:
    """Return the memory that is free."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return read_kibibytes("/proc/meminfo", "MemAvailable") * 1024


def try_sizes(workload: Workload, sizes: Sequence[int], vocabulary: int) -> dict[int, float]:
    """Return the seconds of plain lm-eval on the first half of the items, at every batch size that fits the memory."""
    half = max(1, workload.items // 2)
    tried: dict[int, float] = {}
    for size in sizes:
        # Logits and their log-softmax, in float32.
        needed = 2 * 4 * size * workload.longest * vocabulary
        if workload.full_logits and tried and needed > 0.8 * free_bytes():
            say(f"  HFLM at batch size {size}: not tried, its logits would take {needed / 2**30:.0f} GiB")
            continue
        run = measure(lambda size=size: workload.plain(size, half))  # type: ignore[misc]
        tried[size] = run.seconds
        say(f"  HFLM at batch size {size}: {run.seconds:.2f} s for {half} items, {run.mebibytes:,.0f} MiB")
    return tried


def compare(workload: Workload, options: argparse.Namespace, vocabulary: int) -> Comparison:
    """Measure a workload by both, in turns."""
    tried = try_sizes(workload, options.batch_sizes, vocabulary) if workload.batched else {}
    best = min(tried, key=tried.__getitem__) if tried else None
    clock = Clock()
    theirs, ours, inside = [], [], []
    for _ in range(options.repeats):
        theirs.append(measure(lambda: workload.plain(best or 1, workload.items)))
        with clock.watch(workload.models):
            ours.append(measure(workload.kick))
        inside.append(clock.inside / ours[-1].seconds)
        say(
            f"  {'HFLM' if workload.batched else 'direct'} {theirs[-1].seconds:.2f} s, "
            f"{theirs[-1].mebibytes:,.0f} MiB; kick {ours[-1].seconds:.2f} s, {ours[-1].mebibytes:,.0f} MiB"
        )
    products = Products()
    with products:
        workload.kick()
    floor = statistics.median(products.seconds() for _ in range(options.repeats))
    plain_seconds = statistics.median(run.seconds for run in theirs)
    kick_seconds = statistics.median(run.seconds for run in ours)
    chosen = [workload.choice(runs[-1].answers) for runs in (theirs, ours)]
    return Comparison(
        workload=workload.name,
        items=workload.items,
        tokens=workload.tokens,
        plain_batch=best,
        plain_seconds=plain_seconds,
        kick_seconds=kick_seconds,
        ratio=plain_seconds / kick_seconds,
        floor_seconds=floor,
        ratio_at_floor=plain_seconds / floor,
        plain_tokens_per_second=workload.tokens / plain_seconds,
        kick_tokens_per_second=workload.tokens / kick_seconds,
        plain_mebibytes=max(run.mebibytes for run in theirs),
        kick_mebibytes=max(run.mebibytes for run in ours),
        largest_difference=largest_difference(theirs[-1].answers, ours[-1].answers),
        equal_answers=sum(a == b for a, b in zip(*chosen, strict=True)) / len(chosen[0]),
        overhead=1 - statistics.median(inside),
        tried=tried,
        note=workload.note(theirs[-1].answers, ours[-1].answers),
    )


def largest_difference(theirs: Answers, ours: Answers) -> float | None:
    """Return the largest difference of a number, or None if the answers are texts."""
    if isinstance(ours[0], str):
        return None
    return float(max(abs(a[0] - b[0]) for a, b in zip(theirs, ours, strict=True)))


def profile(workload: Workload) -> str:
    """Return the shares of kick's time by kind of operator, and the costliest operators."""
    started = time.perf_counter()
    with torch.profiler.profile() as profiled:
        workload.kick()
    wall = time.perf_counter() - started
    averages = profiled.key_averages()
    seconds: Counter[str] = Counter()
    for operator in averages:
        kinds = [kind for kind, names in KINDS.items() if operator.key.startswith(names)]
        seconds[kinds[0] if kinds else "norms, activations and the rest"] += (
            operator.self_cpu_time_total / 1e6
        )
    seconds["outside of operators"] = wall - sum(seconds.values())
    lines = [f"  {kind}: {spent:.2f} s, {spent / wall:.0%}" for kind, spent in seconds.most_common()]
    table = averages.table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40)
    return "\n".join([f"  kick's pass under the profiler: {wall:.2f} s", *lines, table])


def table(lines: Sequence[Comparison]) -> str:
    """Return the comparisons as a Markdown table, and the notes below it."""
    head = (
        "workload",
        "items",
        "plain s (batch)",
        "kick s",
        "ratio",
        "floor s",
        "at floor",
        "tokens/s plain",
    )
    head += ("kick", "MiB plain", "kick", "difference", "equal", "outside")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in lines:
        difference = "" if line.largest_difference is None else f"{line.largest_difference:.2g}"
        cells = [
            line.workload,
            f"{line.items:,}",
            f"{line.plain_seconds:.2f} ({line.plain_batch or 'direct'})",
            f"{line.kick_seconds:.2f}",
            f"{line.ratio:.1f}",
            f"{line.floor_seconds:.2f}",
            f"{line.ratio_at_floor:.1f}",
            f"{line.plain_tokens_per_second:,.0f}",
            f"{line.kick_tokens_per_second:,.0f}",
            f"{line.plain_mebibytes:,.0f}",
            f"{line.kick_mebibytes:,.0f}",
            difference,
            f"{line.equal_answers:.1%}",
            f"{line.overhead:.1%}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, *[f"\n{line.note}" for line in lines if line.note]])


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def counts(given: Sequence[str]) -> dict[str, int]:
    """Return the items of each workload by `--items`: a number for all workloads, or NAME=NUMBER for some."""
    items = dict(ITEMS)
    for text in given:
        name, _, number = text.rpartition("=")
        if not number.isdigit() or int(number) < 1 or (name and name not in ITEMS):
            sys.exit(f"--items {text}: expected a number or NAME=NUMBER with a name of {', '.join(ITEMS)}.")
        items.update({name: int(number)} if name else dict.fromkeys(ITEMS, int(number)))
    return items


def main() -> None:
    """Measure the workloads and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="a checkpoint's folder")
    parser.add_argument("--data-root", type=Path, required=True, help="a local mirror of the data sets")
    parser.add_argument("--only", nargs="+", default=[*ITEMS], choices=[*ITEMS], help="workloads")
    parser.add_argument(
        "--items", nargs="+", default=[], help=f"N, or NAME=N for some; windows for wikitext and kl: {ITEMS}"
    )
    parser.add_argument("--window", type=int, default=2048, help="tokens of a window of text")
    parser.add_argument("--kl-window", type=int, default=512, help="tokens of a window whose KL is measured")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 4, 8, 16, 32], help="tried for HFLM"
    )
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--rows", type=int, default=16, help="completions that kick decodes together")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: its own choice")
    parser.add_argument("--tier", choices=[*TIERS, "auto"], default="auto")
    parser.add_argument("--profile", action="store_true", help="where kick's time goes, on stderr")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    quiet_libraries()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    if options.threads:
        torch.set_num_threads(options.threads)
    items = counts(options.items)
    loaded = load(options.model, dtype=options.dtype, device=options.device)
    tier = choose_tier(loaded).tier if options.tier == "auto" else options.tier
    where = f"{options.device}, {torch.get_num_threads()} threads"
    say(f"{options.model.name}, {loaded.dtype}, {where}, tier {tier}")
    engine = TorchEngine(loaded, BatchSize(tokens=options.batch_tokens, rows=options.rows), tier)
    lines = []
    for name in options.only:
        say(f"{name}: {items[name]} items")
        workload = make_workload(name, items[name], loaded, engine, options)
        lines.append(compare(workload, options, engine.forward.head.vocabulary))
        say(table(lines[-1:]))
        if options.profile:
            say(profile(workload))
    settings = {name: str(value) for name, value in vars(options).items()}
    settings |= {"tier": tier, "dtype": loaded.dtype, "torch": torch.__version__}
    document = {"settings": settings, "comparisons": [asdict(line) for line in lines]}
    print(json.dumps(document, indent=1) if options.json else table(lines))


if __name__ == "__main__":
    main()
