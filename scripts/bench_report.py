"""Measure the report of a large grid: its time and memory, the size of its page, and how soon a browser shows it.

    python scripts/bench_report.py [--checkpoints 200] [--tasks 20] [--items 500] [--folder DIR] [--format html]

Makes up a results folder, unless `--folder` holds one already, and reports it in a process of its own. The first paint
is that of a headless Chromium; it needs playwright, and is left out without it.
"""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from kick.reports import write
from kick.store import Store, cell_key
from kick.types import (
    Cell,
    CellIdentity,
    Checkpoint,
    CheckpointRecord,
    Description,
    PlanInfo,
    Recipe,
    TaskInfo,
)

KINDS = (
    TaskInfo(name="facts", kind="generation", family="factoid_qa", metric="em", metrics=("em",)),
    TaskInfo(
        name="choice",
        kind="choice",
        family="multiple_choice",
        metric="acc",
        metrics=("acc",),
        chance=0.25,
        group_by="subject",
    ),
    TaskInfo(
        name="passages",
        kind="generation",
        family="incontext_qa",
        metric="f1",
        metrics=("f1",),
        group_by="title",
    ),
    TaskInfo(name="hops", kind="generation", family="multihop_reasoning", metric="em", metrics=("em",)),
    TaskInfo(
        name="summaries", kind="generation", family="summarization", metric="rougeL", metrics=("rougeL",)
    ),
)
TEXT = TaskInfo(
    name="perplexity_text",
    kind="text",
    family="perplexity",
    metric="nll",
    metrics=("nll", "units"),
    higher_is_better=False,
)
WINDOWS = 140
SPARSITIES = tuple(round(0.05 * step, 2) for step in range(1, 15))
BITS = (8, 6, 5, 4, 3, 2)


def checkpoints(count: int) -> list[Checkpoint]:
    """Return the reference, then series of pruning and of rounding until there are enough."""
    listed = [Checkpoint(id="dense", model="models/dense")]
    while len(listed) < count:
        series = len({checkpoint.series for checkpoint in listed})
        rates: list[dict[str, Any]] = [{"sparsity": rate} for rate in SPARSITIES]
        if series % 2 == 0:
            rates = [{"bits": bits, "group_size": 128} for bits in BITS]
        for rate in rates[: count - len(listed)]:
            recipe = Recipe(method=f"method{series}", **rate)
            listed.append(
                Checkpoint(
                    id=f"{recipe.method}-{recipe.rate:g}",
                    model="models/dense",
                    base="dense",
                    recipe=recipe,
                    series=recipe.method,
                )
            )
    return listed


def damage(checkpoint: Checkpoint) -> float:
    """Return the share of the ability that is lost, 0..1."""
    recipe = checkpoint.recipe
    if recipe is None:
        return 0.0
    return recipe.sparsity**3 if recipe.sparsity is not None else 2.0 ** (1 - (recipe.bits or 8))


def items(task: TaskInfo, index: int, checkpoint: Checkpoint, count: int) -> pd.DataFrame:
    """Return items whose difficulty the checkpoints share."""
    shared = np.random.default_rng(index)
    own = np.random.default_rng([index, int(sha256(checkpoint.id.encode()).hexdigest()[:8], 16)])
    if task.kind == "text":
        count = WINDOWS
    names = [f"{task.name} {number}" for number in range(count)]
    hashes = [sha256(name.encode()).hexdigest()[:16] for name in names]
    ability = shared.normal(0.4, 1, count) - 3 * damage(checkpoint) * shared.uniform(0.4, 1.6, count)
    ability += (0.0 if checkpoint.id == "dense" else 0.1) * own.normal(size=count)
    right = ability > 0
    gold = shared.integers(0, 4, count)
    frame = {
        "doc_id": range(count),
        "doc_hash": hashes,
        "prompt_hash": hashes,
        "target_hash": hashes,
        "group": [f"group {number}" for number in shared.integers(0, 25, count)],
        "prompt": [f"{name}: " + "what is known of it? " * 30 for name in names],
        "target": [f"answer {number}" for number in range(count)],
        "response": [f"answer {n}" if good else f"guess {n % 3}" for n, good in enumerate(right)],
        "choice_logprobs": [np.array([])] * count,
    }
    if task.kind == "text":
        nll = shared.normal(3, 0.2, count) + 2 * damage(checkpoint) + 0.002 * own.normal(size=count)
        frame |= {"nll": nll, "units": np.full(count, 2047.0), "response": [""] * count}
    elif task.family == "multiple_choice":
        logprobs = own.normal(-4, 0.5, (count, 4))
        logprobs[np.arange(count), np.where(right, gold, (gold + 1) % 4)] = -1
        frame |= {"acc": right.astype(float), "choice_logprobs": list(logprobs), "response": [""] * count}
    elif task.metric == "em":
        frame["em"] = right.astype(float)
    else:
        frame[task.metric] = np.round(1 / (1 + np.exp(-ability)), 3)
    return pd.DataFrame(frame)


def make(folder: Path, count: int, tasks: int, per_task: int) -> None:
    """Write a results folder with this many checkpoints, tasks, and items per task."""
    grid = checkpoints(count)
    scored = [
        KINDS[index % len(KINDS)].model_copy(update={"name": f"{KINDS[index % len(KINDS)].name}_{index}"})
        for index in range(tasks)
    ]
    suite = {
        "name": f"{count} checkpoints x {tasks} tasks x {per_task} items",
        "reference": "dense",
        "checkpoints": [checkpoint.model_dump(mode="json", exclude_none=True) for checkpoint in grid],
        "tasks": [task.name for task in scored],
        "perplexity": {"datasets": ["text"]},
    }
    store = Store.create(folder, yaml.safe_dump(suite, sort_keys=False))
    for checkpoint in grid:
        cells = {}
        for index, task in enumerate([*scored, TEXT]):
            frame = items(task, index, checkpoint, per_task)
            cells[task.name] = store.write_cell(cell(task, checkpoint, len(frame)), frame).key
        store.write_checkpoint(record(checkpoint, cells))


def cell(task: TaskInfo, checkpoint: Checkpoint, count: int) -> Cell:
    """Return a plausible cell."""
    identity = CellIdentity(
        checkpoint=sha256(checkpoint.id.encode()).hexdigest(),
        tokenizer="0" * 64,
        task=task.name,
        plan=PlanInfo(
            hash=sha256(task.name.encode()).hexdigest(),
            task_config="0",
            documents="0",
            shots=0,
            limit=count,
            seed=1,
            items=count,
        ),
        dtype="bfloat16",
        device="cpu",
        attention="sdpa",
        tier="fast",
        versions={"kick": "0", "lm_eval": "0", "torch": "0"},
    )
    return Cell(
        checkpoint=checkpoint.id,
        task=task,
        key=cell_key(identity),
        identity=identity,
        scores={},
        items=count,
        seconds=1.0,
        finished="2026-01-01T00:00:00+00:00",
        items_sha256="",
    )


def record(checkpoint: Checkpoint, cells: dict[str, str]) -> CheckpointRecord:
    """Return a plausible record."""
    recipe = checkpoint.recipe
    sparsity = recipe.sparsity or 0.0 if recipe else 0.0
    bits = float(recipe.bits or 16) if recipe else 16.0
    zeros = round(sparsity * 800_000_000)
    return CheckpointRecord(
        checkpoint=checkpoint,
        fingerprint=sha256(checkpoint.id.encode()).hexdigest(),
        tokenizer_fingerprint="0" * 64,
        description=Description(
            architecture="LlamaForCausalLM",
            parameters=1_000_000_000,
            nonzero=1_000_000_000 - zeros,
            linear_parameters=800_000_000,
            linear_zeros=zeros,
            sparsity=sparsity,
            sparsity_min=sparsity,
            sparsity_max=sparsity,
            bytes_on_disk=round(1e9 * bits / 8),
            bits_per_weight=bits,
            stored_dtypes={"bfloat16": 1_000_000_000},
        ),
        cells=cells,
    )


def report(folder: Path, out: Path, formats: list[str]) -> str:
    """Write the report, and return what it took, measured in this process."""
    wall = time.perf_counter()
    paths = write(Store(folder), out, formats)
    took = time.perf_counter() - wall
    usage = resource.getrusage(resource.RUSAGE_SELF)
    lines = [f"{took:.1f} s of wall, {usage.ru_utime + usage.ru_stime:.1f} s of CPU with imports"]
    lines.append(f"peak {usage.ru_maxrss / 1024:,.0f} MiB")
    for path in paths:
        if path.name.startswith("report."):
            lines.append(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    page = out / "report.html"
    if page.exists():
        packed = sum(
            len(line) for line in page.read_text(encoding="utf-8").splitlines() if "application/gzip" in line
        )
        lines.append(f"report.html before items: {(page.stat().st_size - packed) / 1e6:.2f} MB")
    return "\n".join(lines)


def first_paint(page: Path, times: int = 5) -> str:
    """Return how soon a browser shows something of the page, and when all of it is loaded: medians."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "first paint: not measured, playwright is not installed"
    program = shutil.which("chromium") or shutil.which("google-chrome")
    painted, loaded = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(times):
            tab = browser.new_page()
            tab.set_default_timeout(120_000)
            tab.goto(page.as_uri())
            tab.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
            painted.append(
                tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
            loaded.append(tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
            tab.close()
        browser.close()
    return (
        f"first paint after {statistics.median(painted) / 1000:.2f} s, "
        f"loaded after {statistics.median(loaded) / 1000:.2f} s (medians of {times})"
    )


def main() -> None:
    """Read the options and print the measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoints", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument(
        "--folder", type=Path, help="keep the results here; report those that are here already"
    )
    parser.add_argument("--format", default="html")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "results"
        if not (folder / "suite.yaml").exists():
            make(folder, options.checkpoints, options.tasks, options.items)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            out = Path(scratch) / "report"
            print(alone.submit(report, folder, out, options.format.split(",")).result(), flush=True)
        if (out / "report.html").exists():
            print(first_paint(out / "report.html"))


if __name__ == "__main__":
    main()
