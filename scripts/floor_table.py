#!/usr/bin/env python
"""The floor table of docs/tasks.md, from what `kick tasks check` prints.

    kick tasks check --json --data-root DIR > checks.json
    python scripts/floor_table.py checks.json                        # print the table
    python scripts/floor_table.py checks.json --write docs/tasks.md  # between the marks `<!-- floors -->`

`kick tasks check` ends with 3 if the data of a task are not there; such tasks are named below the table.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MARKS = re.compile(r"(<!-- floors -->\n).*?(<!-- /floors -->)", re.DOTALL)
# The columns of the table, and the answerers that each holds: the best of them counts.
COLUMNS: Mapping[str, str] = {
    "empty": r"empty",
    "echo": r"the question given back",
    "constant": r"the most frequent answer|one option always|a salad of stop words",
    "list": r"a list of the most frequent answers",
    "options": r"all options named|the (first|last) option named|the (longest|shortest) option",
    "lead": r"the first sentence( of the passage)?|the first \d+ sentences",
    "chance": r"chance",
}


def table(document: Mapping[str, Any]) -> str:
    """Return the table in Markdown, with a line that names the tasks that could not be checked.

    Args:
        document: the JSON of `kick tasks check --json`.

    Raises:
        ValueError: an answerer is in no column.
    """
    lines = [
        f"| task | metric | items | {' | '.join(COLUMNS)} | floor |",
        f"|---|---|---:|{'---:|' * (len(COLUMNS) + 1)}",
    ]
    lines += [_row(check) for check in document["tasks"] if check["floors"]]
    if document["not_checked"]:
        names = ", ".join(f"`{name}`" for name in document["not_checked"])
        lines += ["", f"Not in this table, because their data are not in the mirror: {names}."]
    return "\n".join(lines)


def _row(check: Mapping[str, Any]) -> str:
    floors = check["floors"]
    best = max if floors["higher_is_better"] else min
    scores: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for floor in floors["floors"]:
        scores[_column(floor["answerer"])].append(floor["score"])
    fields = [_percent(best(values)) if values else "-" for values in scores.values()]
    whole = best(floor["score"] for floor in floors["floors"])
    return (
        f"| `{check['task']}` | `{floors['metric']}` | {floors['items']:,} "
        f"| {' | '.join(fields)} | {_percent(whole)} |"
    )


def _column(answerer: str) -> str:
    for name, pattern in COLUMNS.items():
        if re.fullmatch(pattern, answerer):
            return name
    raise ValueError(f"the answerer '{answerer}' is in no column of the table: add it to COLUMNS")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checks", type=Path, help="the JSON of `kick tasks check --json`")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the table in this page")
    options = parser.parse_args(arguments)
    text = table(json.loads(options.checks.read_text(encoding="utf-8")))
    if options.write is None:
        print(text)
        return
    page = options.write.read_text(encoding="utf-8")
    if not MARKS.search(page):
        raise SystemExit(f"{options.write} has no marks <!-- floors --> and <!-- /floors -->.")
    options.write.write_text(
        MARKS.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
