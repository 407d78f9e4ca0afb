"""How much faster kick scores than lm-eval's HFLM, with which memory, and how alike the answers are.

    python scripts/bench_scorer.py MODEL --data-root DIR [--items N] [--workloads letters options ...] [--json]

Both score the same requests in one process, one after the other: HFLM at the fastest of its batch sizes and with a
float32 softmax, kick by the tier that its self-test chooses. Times are medians of the repeats; items are neighbours, as
in a run over a whole task. `--profile` shows where kick's time goes.
"""

import argparse
import ctypes
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from kick.catalog import read_catalog
from kick.checkpoints import Loaded, load
from kick.harness.corpora import load_corpus
from kick.harness.model import KickLM
from kick.harness.perplexity import window_nll
from kick.harness.plan import Generate, build_requests, encode_requests
from kick.harness.tasks import load_tasks
from kick.harness.tiers import TIERS, choose_tier
from kick.quiet import quiet_libraries
from kick.types import BatchSize

TASKS = {
    "letters": "kick_mmlu",
    "options": "kick_mmlu_text",
    "short": "kick_freebaseqa",
    "squad": "kick_squad",
}
Answers = list[Any]


@dataclass(frozen=True)
class Run:
    """One pass over a workload."""

    seconds: float
    mebibytes: float  # at the peak, above what was held before
    answers: Answers


@dataclass(frozen=True)
class Comparison:
    """A line of the table."""

    workload: str
    items: int
    tokens: int  # of all prompts and continuations, as HFLM runs them
    hflm_batch: int
    hflm_seconds: float
    kick_seconds: float
    ratio: float
    kick_tokens_per_second: float
    hflm_mebibytes: float
    kick_mebibytes: float
    largest_difference: float | None  # nats, of a log-likelihood; None for text
    equal_answers: float  # share of the items
    overhead: float  # share of kick's time that is spent outside the model


@dataclass(frozen=True)
class Workload:
    """Requests, and how either side answers them; `choice` turns the answers into one for each item."""

    name: str
    items: int
    tokens: int
    hflm: Callable[[int], Answers]
    kick: Callable[[], Answers]
    choice: Callable[[Answers], list[Any]]
    sizes: Sequence[int]


class Clock:
    """Time spent in the forward passes of a model and of its head."""

    def __init__(self, model: Any) -> None:
        self.inside = 0.0
        self._started = 0.0
        for module in (model.base_model, model.get_output_embeddings()):
            module.register_forward_pre_hook(self._start)
            module.register_forward_hook(self._stop)

    def _start(self, *_: object) -> None:
        self._started = time.perf_counter()

    def _stop(self, *_: object) -> None:
        self.inside += time.perf_counter() - self._started


def measure(work: Callable[[], Answers]) -> Run:
    with peak_memory() as mebibytes:
        started = time.perf_counter()
        answers = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    return Run(seconds, mebibytes[0], answers)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Yields a list that holds the peak, above what was held at the start, once the block is left."""
    found: list[float] = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        yield found
        found.append(torch.cuda.max_memory_allocated() / 2**20 - before)
        return
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status("VmRSS")
    yield found
    found.append(_status("VmHWM") - before)


def _status(key: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def compare(workload: Workload, repeats: int, clock: Clock) -> Comparison:
    tried = {size: measure(lambda size=size: workload.hflm(size)) for size in workload.sizes}
    best = min(tried, key=lambda size: tried[size].seconds)
    for size, run in tried.items():
        say(f"  HFLM at batch size {size}: {run.seconds:.2f} s, {run.mebibytes:,.0f} MiB")
    theirs, ours, inside = [tried[best]], [], []
    for repeat in range(repeats):
        clock.inside = 0.0
        ours.append(measure(workload.kick))
        inside.append(clock.inside / ours[-1].seconds)
        if repeat < repeats - 1:
            theirs.append(measure(lambda: workload.hflm(best)))
        say(f"  kick: {ours[-1].seconds:.2f} s, {ours[-1].mebibytes:,.0f} MiB")
    hflm_seconds = statistics.median(run.seconds for run in theirs)
    kick_seconds = statistics.median(run.seconds for run in ours)
    chosen = [workload.choice(runs[-1].answers) for runs in (theirs, ours)]
    equal = sum(a == b for a, b in zip(*chosen, strict=True)) / len(chosen[0])
    return Comparison(
        workload=workload.name,
        items=workload.items,
        tokens=workload.tokens,
        hflm_batch=best,
        hflm_seconds=hflm_seconds,
        kick_seconds=kick_seconds,
        ratio=hflm_seconds / kick_seconds,
        kick_tokens_per_second=workload.tokens / kick_seconds,
        hflm_mebibytes=max(run.mebibytes for run in theirs),
        kick_mebibytes=max(run.mebibytes for run in ours),
        largest_difference=largest_difference(theirs[-1].answers, ours[-1].answers),
        equal_answers=equal,
        overhead=1 - statistics.median(inside),
    )


def largest_difference(theirs: Answers, ours: Answers) -> float | None:
    if isinstance(ours[0], str):
        return None
    return max(abs(a[0] - b[0]) for a, b in zip(theirs, ours, strict=True))


def task_workload(name: str, loaded: Loaded, lm: KickLM, options: argparse.Namespace) -> Workload:
    (task,) = load_tasks([TASKS[name]], read_catalog(), data_root=options.data_root)
    documents = range(min(options.items, len(task.task.eval_docs)))  # neighbours, as in a whole run
    instances = build_requests(task, documents, seed=1234)
    requests = encode_requests(instances, lm.encoder)
    if isinstance(requests[0], Generate):
        return Workload(
            name,
            len(documents),
            sum(request.length for request in requests),
            lambda size: hflm(loaded, size).generate_until(instances, disable_tqdm=True),
            lambda: lm.generate_until(instances),
            lambda answers: answers,
            options.batch_sizes,
        )
    return Workload(
        name,
        len(documents),
        sum(request.length for request in requests),
        lambda size: hflm(loaded, size).loglikelihood(instances, disable_tqdm=True),
        lambda: lm.loglikelihood(instances),
        lambda answers: best_choices(instances, answers),
        options.batch_sizes,
    )


def best_choices(instances: Sequence[Instance], answers: Answers) -> list[int]:
    by_item: dict[int, list[float]] = {}
    for instance, (value, _) in zip(instances, answers, strict=True):
        by_item.setdefault(instance.doc_id, []).append(value)
    return [max(range(len(values)), key=values.__getitem__) for values in by_item.values()]


def perplexity_workload(loaded: Loaded, options: argparse.Namespace) -> Workload:
    ids = loaded.tokenizer(load_corpus("wikitext2", options.data_root).text, verbose=False)["input_ids"]
    length = options.window
    windows = [
        tuple(ids[n * length : (n + 1) * length]) for n in range(min(options.windows, len(ids) // length))
    ]
    asked = [(("", str(n)), [window[0]], list(window[1:])) for n, window in enumerate(windows)]
    return Workload(
        "wikitext",
        len(windows),
        sum(map(len, windows)),
        lambda size: hflm(loaded, size)._loglikelihood_tokens(asked, disable_tqdm=True),
        lambda: [(-window_nll(loaded, window) * (len(window) - 1), False) for window in windows],
        lambda answers: [round(value / (length - 1), 2) for value, _ in answers],
        [size for size in options.batch_sizes if size <= max(1, 8192 // length)],
    )


def hflm(loaded: Loaded, batch_size: int) -> HFLM:
    return HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=batch_size,
        softmax_dtype=torch.float32,
    )


def table(lines: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    head = ("workload", "items", "HFLM s (batch)", "kick s", "ratio", "tokens/s", "HFLM MiB", "kick MiB")
    head += ("difference", "equal", "outside")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in lines:
        difference = "" if line.largest_difference is None else f"{line.largest_difference:.2g}"
        cells = [
            line.workload,
            f"{line.items:,}",
            f"{line.hflm_seconds:.2f} ({line.hflm_batch})",
            f"{line.kick_seconds:.2f}",
            f"{line.ratio:.1f}",
            f"{line.kick_tokens_per_second:,.0f}",
            f"{line.hflm_mebibytes:,.0f}",
            f"{line.kick_mebibytes:,.0f}",
            difference,
            f"{line.equal_answers:.1%}",
            f"{line.overhead:.1%}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="a checkpoint's folder")
    parser.add_argument("--data-root", type=Path, required=True, help="a local mirror of the data sets")
    parser.add_argument("--workloads", nargs="+", default=[*TASKS, "wikitext"], choices=[*TASKS, "wikitext"])
    parser.add_argument("--items", type=int, default=64, help="items of a task")
    parser.add_argument("--window", type=int, default=2048, help="tokens of a window of text")
    parser.add_argument("--windows", type=int, default=4)
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
    parser.add_argument(
        "--profile", action="store_true", help="the costliest operators of kick's pass, on stderr"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args()
    quiet_libraries()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    if options.threads:
        torch.set_num_threads(options.threads)
    loaded = load(options.model, dtype=options.dtype, device=options.device)
    tier = choose_tier(loaded).tier if options.tier == "auto" else options.tier
    say(
        f"{options.model.name}, {loaded.dtype}, {options.device}, {torch.get_num_threads()} threads, tier {tier}"
    )
    lm = KickLM(loaded, BatchSize(tokens=options.batch_tokens, rows=options.rows), tier)
    clock = Clock(loaded.model)
    lines = []
    for name in options.workloads:
        say(name)
        workload = (
            perplexity_workload(loaded, options)
            if name == "wikitext"
            else task_workload(name, loaded, lm, options)
        )
        lines.append(compare(workload, options.repeats, clock))
        if options.profile:
            with torch.profiler.profile() as profiled:
                workload.kick()
            say(
                profiled.key_averages().table(
                    sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40
                )
            )
    settings = {name: str(value) for name, value in vars(options).items()} | {"tier": tier}
    found = {"settings": settings, "comparisons": [asdict(line) for line in lines]}
    print(json.dumps(found, indent=1) if options.json else table(lines))


if __name__ == "__main__":
    main()
