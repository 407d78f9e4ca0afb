#!/usr/bin/env python
"""The agreement of the rules for short answers with a reader: accuracy and Cohen's kappa per rule.

    python scripts/judge_answers.py [--file tests/metrics/judged_answers.jsonl] [--wrong 20]

The file holds one response of a real model per line, with the verdict of one reader of question, aliases and response,
and the reason. Responses were drawn where the rules disagree and at random; `old_contains` is what kick's earlier rule
said, which is not in the code any more. The first table counts all responses; those that were drawn at random had no
disagreement between the rules, and the others are hard cases by design, so neither part alone is the rate of a task.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kick.metrics.answers import contains_alias, exact_match, token_f1
from kick.metrics.llm_kick import icra_hit

DEFAULT = Path(__file__).parents[1] / "tests/metrics/judged_answers.jsonl"
F1_LIMIT = 0.5
Judged = Mapping[str, Any]

RULES: dict[str, Callable[[Judged], bool]] = {
    "exact match": lambda one: bool(exact_match(one["response"], one["aliases"])),
    "F1 > .5": lambda one: token_f1(one["response"], one["aliases"]) > F1_LIMIT,
    "the paper's rule": lambda one: bool(icra_hit(one["response"].strip(), one["aliases"])),
    "old `contains`": lambda one: bool(one["old_contains"]),
    "`contains`": lambda one: bool(contains_alias(one["response"], one["aliases"], one["question"])),
}


def read_judged(file: Path = DEFAULT) -> list[dict[str, Any]]:
    """Return the judged responses of a JSON lines file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def agreement(said: Sequence[bool], judged: Sequence[bool]) -> tuple[float, float]:
    """Return the accuracy of a rule against the reader, and Cohen's kappa (Cohen, 1960); 1.0 if both never differ."""
    count = len(judged)
    accuracy = sum(one == other for one, other in zip(said, judged, strict=True)) / count
    share_said, share_judged = sum(said) / count, sum(judged) / count
    by_chance = share_said * share_judged + (1 - share_said) * (1 - share_judged)
    return accuracy, 1.0 if by_chance == 1 else (accuracy - by_chance) / (1 - by_chance)


def rows(judged: Sequence[Judged]) -> list[str]:
    """Return one line of a Markdown table per rule: accuracy, kappa, false hits, missed answers."""
    verdicts = [bool(one["right"]) for one in judged]
    lines = []
    for name, rule in RULES.items():
        said = [rule(one) for one in judged]
        accuracy, kappa = agreement(said, verdicts)
        false = sum(hit and not right for hit, right in zip(said, verdicts, strict=True))
        missed = sum(right and not hit for hit, right in zip(said, verdicts, strict=True))
        lines.append(f"| {name} | {100 * accuracy:.1f} % | {kappa:.3f} | {false} | {missed} |")
    return lines


def main() -> None:
    """Print the tables, and the responses that `contains` still judges wrongly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--file", type=Path, default=DEFAULT)
    parser.add_argument(
        "--wrong", type=int, default=20, metavar="N", help="print N that `contains` gets wrong"
    )
    options = parser.parse_args()
    judged = read_judged(options.file)
    random = [one for one in judged if one["drawn"] == "at random"]
    for title, part in (
        ("all", judged),
        ("drawn where rules disagree", [one for one in judged if one not in random]),
        ("drawn at random", random),
    ):
        print(f"{title}: {len(part)} responses, {sum(one['right'] for one in part)} right\n")
        print("| rule | accuracy | kappa | false hits | missed |")
        print("|---|---:|---:|---:|---:|")
        print(*rows(part), "", sep="\n")
    wrong = [one for one in judged if RULES["`contains`"](one) != one["right"]]
    print(f"`contains` is wrong on {len(wrong)} of {len(judged)}:")
    for one in wrong[: options.wrong]:
        kind = "missed" if one["right"] else "false hit"
        print(
            f"- {kind}: {one['question']} | {' / '.join(one['aliases'][:3])} | {one['response'][:90]} | {one['reason']}"
        )


if __name__ == "__main__":
    main()
