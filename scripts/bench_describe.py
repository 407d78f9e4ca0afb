"""Measure wall time and peak memory of describing and pruning a checkpoint of 1 GB.

    python scripts/bench_describe.py [--gigabytes G] [--runs K] [--json]

Writes a random Llama (bfloat16) into a temporary folder, runs `kick describe` and `kick compress --method magnitude
--sparsity 0.5` on it, each K times in processes of their own, and prints the median times and the highest peak.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

KICK = [sys.executable, "-c", "from kick.cli import main; main()"]
HIDDEN, INTERMEDIATE, VOCABULARY = 2048, 5632, 32_000


@dataclass(frozen=True)
class Took:
    """The cost of one command."""

    command: str
    # Wall time, median of the runs.
    seconds: float
    # Median of the runs.
    cpu_seconds: float
    # Resident memory, libraries included, the highest of the runs.
    peak_mib: float
    runs: int


def make_llama(folder: Path, gigabytes: float) -> int:
    """Save a random Llama of about `gigabytes` in bfloat16; return the bytes of its weight files."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    outside = 2 * VOCABULARY * HIDDEN
    block = HIDDEN * (2 * HIDDEN + 2 * HIDDEN // 4 + 3 * INTERMEDIATE)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=max(1, round((gigabytes * 1e9 / 2 - outside) / block)),
        num_attention_heads=16,
        num_key_value_heads=4,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    LlamaForCausalLM(config).save_pretrained(folder)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def run_once(command: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak MiB (`ru_maxrss`) of a command that has to succeed."""
    started = time.perf_counter()
    child = subprocess.Popen([*KICK, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"kick {' '.join(command)} ended with {child.returncode}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(command: list[str], runs: int, remove: Path | None = None) -> Took:
    """Run a command `runs` times; the folder `remove`, which it writes, is deleted after each run."""
    taken = []
    for _ in range(runs):
        taken.append(run_once(command))
        if remove is not None:
            shutil.rmtree(remove)
    walls, cpu, peaks = zip(*taken, strict=True)
    median = statistics.median
    return Took(f"kick {command[0]}", round(median(walls), 2), round(median(cpu), 2), round(max(peaks)), runs)


def main() -> None:
    """Print the table, or one JSON document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model, out = Path(scratch) / "llama", Path(scratch) / "pruned"
        # Another process makes it: the peak of a child is never below that of the process that starts it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            size = alone.submit(make_llama, model, options.gigabytes).result()
        prune = ["compress", str(model), "--method", "magnitude", "--sparsity", "0.5", "--out", str(out)]
        rows = [
            measure(["describe", str(model)], options.runs),
            measure(prune, options.runs, remove=out),
        ]
    if options.json:
        print(json.dumps({"bytes": size, "commands": [asdict(row) for row in rows]}))
        return
    print(f"{size / 1e9:.2f} GB of weights, median of {options.runs}\n")
    print("| command | wall, s | CPU, s | peak memory, MiB |\n|---|---|---|---|")
    for row in rows:
        print(f"| `{row.command}` | {row.seconds:.1f} | {row.cpu_seconds:.1f} | {row.peak_mib:,.0f} |")


if __name__ == "__main__":
    main()
