#!/usr/bin/env python
"""Are the stored scores those of plain lm-eval? The same items and prompts again, by lm-eval's own model class.

    python scripts/compare_with_lm_eval.py RESULTS kick_mmlu kick_squad --checkpoint dense --model MODEL

Prints one line per metric; exit code 1 if a mean differs by more than 1e-9, or if an item of a score does. Responses
are compared without leading white space: kick drops it before it looks for a stop string, and lm-eval does not. A
response that begins with a stop string in white space, which is empty by lm-eval, therefore differs.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pandas as pd
from lm_eval.models.huggingface import HFLM

from kick import Store
from kick.harness.tasks import load_tasks
from kick.suite.catalog import read_catalog

COLUMNS = ("task", "metric", "items", "kick", "lm-eval", "items that differ", "")
# Scores are means of the same numbers: only the order of a sum may differ.
SAME = 1e-9


@dataclass(frozen=True)
class Line:
    """One metric of a task by both."""

    task: str
    metric: str
    items: int
    kick: float
    lm_eval: float
    differing: int
    """Items whose value differs."""

    log_likelihood: float | None
    """The largest difference of a choice, in nats; None if answers are generated."""

    other_texts: int | None
    """Generated answers that differ in a character; None if choices are scored."""

    @property
    def same(self) -> bool:
        """True if both give the same values."""
        return abs(self.kick - self.lm_eval) <= SAME and self.differing == 0

    def __str__(self) -> str:
        detail = (
            f"{self.other_texts} answers differ"
            if self.log_likelihood is None
            else f"log-likelihoods differ by {self.log_likelihood:.1e} at most"
        )
        return (
            f"| {self.task} | {self.metric} | {self.items} | {self.kick:.6f} | {self.lm_eval:.6f} "
            f"| {self.differing} | {detail} |"
        )


def lines(
    items: pd.DataFrame, samples: Sequence[Mapping[str, Any]], means: Mapping[str, float], task: str
) -> Iterator[Line]:
    """Compare a stored cell with lm-eval's samples of the same items."""
    first = samples[0]["filter"]
    theirs = {(sample["filter"], sample["doc_id"]): sample for sample in samples}
    pairs = [(item, theirs[first, item["doc_id"]]) for item in items.to_dict("records")]
    if any(item["prompt"] != sample["arguments"][0][0] for item, sample in pairs):
        raise SystemExit(f"{task}: the prompts differ, so the scores cannot be compared.")
    largest, texts = None, None
    if len(pairs[0][0]["choice_logprobs"]):
        largest = max(
            abs(mine - float(response[0]))
            for item, sample in pairs
            for mine, response in zip(item["choice_logprobs"], sample["filtered_resps"], strict=True)
        )
    else:
        texts = sum(item["response"] != sample["resps"][0][0].lstrip() for item, sample in pairs)
    for metric, mean in means.items():
        # A metric of a filter beyond the first is called `<metric>,<filter>`.
        name, _, further = metric.partition(",")
        values = [float(theirs[further or first, item["doc_id"]][name]) for item, _ in pairs]
        differing = sum(
            abs(float(item[metric]) - value) > SAME for (item, _), value in zip(pairs, values, strict=True)
        )
        reference = float(np.mean(values))
        yield Line(task, metric, len(pairs), mean, reference, differing, largest, texts)


def conversation(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return lm-eval's options for a suite that asks as conversations, by the template of the checkpoint."""
    if suite.get("chat", "off") == "off":
        return {}
    return {
        "apply_chat_template": True,
        "system_instruction": suite.get("system"),
        "fewshot_as_multiturn": suite.get("fewshot_as") == "turns",
    }


def main() -> None:
    """Score the items of stored cells again by plain lm-eval and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--checkpoint", required=True, help="its id in the results, scored in float32")
    parser.add_argument("--model", type=Path, required=True, help="its folder")
    parser.add_argument("--seed", type=int, default=1234, help="of the suite")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--batch-size", type=int, default=1)
    options = parser.parse_args()
    store = Store(options.results)
    cells = {}
    for name in options.tasks:
        cell = store.cell(options.checkpoint, name)
        if cell is None:
            raise SystemExit(f"{options.results} has no score of {options.checkpoint} on {name}.")
        cells[name] = cell
    frames = {name: store.items(cell) for name, cell in cells.items()}
    loaded = load_tasks(options.tasks, read_catalog(), data_root=options.data_root)
    results = lm_eval.simple_evaluate(
        model=HFLM(
            pretrained=str(options.model), dtype="float32", device="cpu", batch_size=options.batch_size
        ),
        tasks=[task.task for task in loaded],
        samples={name: frame["doc_id"].tolist() for name, frame in frames.items()},
        fewshot_random_seed=options.seed,
        bootstrap_iters=0,
        **conversation(store.suite()),
    )
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"| {' | '.join(['---', '---', *['---:'] * 4, '---'])} |")
    same = True
    for name, cell in cells.items():
        for line in lines(frames[name], results["samples"][name], cell.scores, name):
            print(line)
            same &= line.same
    raise SystemExit(0 if same else 1)


if __name__ == "__main__":
    main()
