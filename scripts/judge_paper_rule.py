#!/usr/bin/env python
"""Count wrong answers that LLM-KICK's rule for Factoid-QA accepts: the same responses, judged by it and strictly.

    python scripts/judge_paper_rule.py results/gemma-270m-freebaseqa [--data-root DIR] [--show 10]

A hit of the paper's rule is false if the completion holds no alias of the answer as whole words. Two models that know
nothing are judged beside the stored ones: one that says nothing, one that always says "a".
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kick import Store
from kick.harness.tasks import load_tasks
from kick.metrics.answers import contains_alias, exact_match
from kick.metrics.llm_kick import factoid_hit, factoid_prompt
from kick.suite.catalog import read_catalog

TASKS = ("kick_freebaseqa", "llm_kick_factoid_newline", "llm_kick_factoid_space")
KNOW_NOTHING = ("", "a")
COLUMNS = (
    "task, model",
    "items",
    "exact match",
    "contains an alias",
    "the paper's rule",
    "false hits",
    "gold in the prompt",
    "gold inside other words",
)


@dataclass(frozen=True)
class Judged:
    """One response and what the rules say of it."""

    question: str
    gold: str
    response: str
    exact: bool
    contains: bool
    hit: bool
    in_prompt: bool  # the paper's rule is met by the prompt alone

    @property
    def false_hit(self) -> bool:
        """True if the paper's rule counts a response that does not contain the answer."""
        return self.hit and not self.contains


def judge(doc: dict[str, Any], response: str, separator: str) -> Judged:
    """Judge a response to a question of FreebaseQA; the paper's rule sees its own prompt before the response."""
    question, aliases = doc["question"], doc["answers"]
    prompt = factoid_prompt(question, "\n" if separator == "newline" else " ")
    return Judged(
        question=question,
        gold=aliases[0],
        response=response,
        exact=bool(exact_match(response, aliases)),
        contains=bool(contains_alias(response, aliases)),
        hit=bool(factoid_hit(prompt, response, aliases[0])),
        in_prompt=bool(factoid_hit(prompt, "", aliases[0])),
    )


def row(name: str, judged: Sequence[Judged]) -> str:
    """One line of the table; shares in percent of the items, of false hits in percent of the hits."""
    count, hits = len(judged), sum(one.hit for one in judged)
    false = [one for one in judged if one.false_hit]

    def percent(part: int, of: int = count) -> str:
        return f"{100 * part / of:.1f} %" if of else "-"

    cells = (
        percent(sum(one.exact for one in judged)),
        percent(sum(one.contains for one in judged)),
        percent(hits),
        f"{len(false)} of {hits} ({percent(len(false), hits)})",
        str(sum(one.in_prompt for one in false)),
        str(sum(not one.in_prompt for one in false)),
    )
    return f"| {name} | {count} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print how often the paper's rule and the strict one disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N false hits of each row")
    options = parser.parse_args()
    store = Store(options.results)
    cells = [cell for cell in store.cells() if cell.task.name in TASKS]
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"| {' | '.join(['---', *['---:'] * (len(COLUMNS) - 1)])} |")
    shown: list[str] = []
    for task in load_tasks(
        sorted({cell.task.name for cell in cells}), read_catalog(), data_root=options.data_root
    ):
        docs = list(task.task.eval_docs)
        separator = task.info.name.rpartition("_")[2]
        ids: list[int] = []
        for cell in (cell for cell in cells if cell.task.name == task.info.name):
            items = store.items(cell)
            ids = [int(number) for number in items["doc_id"]]
            judged = [judge(docs[i], text, separator) for i, text in zip(ids, items["response"], strict=True)]
            print(row(f"{task.info.name}, {cell.checkpoint}", judged))
            shown += [
                f"{cell.checkpoint}: {one.question!r} gold {one.gold!r}: {one.response!r}"
                for one in [one for one in judged if one.false_hit][: options.show]
            ]
        for response in KNOW_NOTHING:
            print(
                row(
                    f"{task.info.name}, always {response!r}",
                    [judge(docs[i], response, separator) for i in ids],
                )
            )
    print(*shown, sep="\n")


if __name__ == "__main__":
    main()
