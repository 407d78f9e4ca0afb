"""The corruption table: file kind x damage x command -> exit code and message.

python -m tests.attack.table [KIND ...] > corruption.md        (all kinds of file by default)
"""

import csv
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attack.commands import Ended, kick
from tests.attack.mutations import is_torn_journal
from tests.store.folders import make_whole, tree

Damage = Callable[[Path], None]


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _flip(path: Path) -> None:
    """Flip the lowest bit of a digit or letter in the middle, so that text stays text."""
    data = bytearray(path.read_bytes())
    at = next(i for i in range(len(data) // 2, len(data)) if chr(data[i]).isalnum())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def _zeros(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes(64) + data[84:])


def _latin(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\xff\xfe\xe9")


def _nested(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def _another_type(path: Path) -> None:
    path.write_bytes(b"[1, null]\n")


def _twice(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def _removed(path: Path) -> None:
    path.unlink()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Damage] = {
    "emptied": _empty,
    "cut in half": _cut,
    "one bit flipped": _flip,
    "64 NUL bytes": _zeros,
    "not UTF-8": _latin,
    "100,000 levels": _nested,
    "a list": _another_type,
    "written twice": _twice,
    "removed": _removed,
    "a pipe": _pipe,
    "a folder": _folder,
}
# The kinds of file of a results folder, each with one that is damaged.
KINDS = {
    "suite.yaml": "suite.yaml",
    "record": "checkpoints/small.json",
    "record of the reference": "checkpoints/dense.json",
    "cell.json": "cells/small/facts/*/cell.json",
    "items.parquet": "cells/small/facts/*/items.parquet",
    "tier": "tiers/*.json",
    "journal": "journal/*.jsonl",
    "header of states": "states/*.json",
    "states": "states/*.bin",
    "head of states": "states/*.safetensors",
    "manifest.json": "manifest.json",
}
# What a run keeps for itself: no command that reads results depends on it.
OWN = ("tier", "journal", "header of states", "states", "head of states", "manifest.json")
COMMANDS = {
    "verify": ("verify", "{results}"),
    "verify --manifest": ("verify", "{results}", "--manifest", "check"),
    "compare": ("compare", "{results}", "dense", "small", "--json"),
    "gate": ("gate", "{results}", "--policy", "regression", "--json"),
    "power": ("power", "{results}", "--json"),
    "report": ("report", "{results}", "--format", "csv,model-card", "--out", "{out}/report"),
    "leaderboard": ("leaderboard", "{results}", "--out", "{out}/board"),
}


NUMBERS = ("n", "score", "score_low", "score_high", "recovery", "delta", "lost", "gained", "knowledge_loss")


@dataclass(frozen=True)
class Line:
    """What a command says of a damaged file."""

    kind: str
    damage: str
    command: str
    code: int
    message: str
    # Why this is a fault; empty if it is none.
    fault: str


@dataclass(frozen=True)
class Answer:
    """What a command answers: its exit code, what it prints, and what it writes."""

    ended: Ended
    written: dict[str, str]
    # The text of report.csv; empty for other commands.
    table: str
    # index.json of the leaderboard; empty for other commands.
    board: dict[str, Any]


def _answer(command: str, results: Path, out: Path) -> Answer:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    ended = kick(*(word.format(results=results, out=out) for word in COMMANDS[command]))
    table, board = out / "report" / "report.csv", out / "board" / "index.json"
    return Answer(
        ended,
        tree(out),
        table.read_text() if table.exists() else "",
        json.loads(board.read_text()) if board.exists() else {},
    )


def lines(kind: str, scratch: Path) -> Iterator[Line]:
    """Damage a kind of file in every way, and yield what every command says of it.

    Args:
        kind: a key of `KINDS`.
        scratch: an empty folder; the results have the same path in it each time.
    """
    whole, results, out = scratch / "whole", scratch / "results", scratch / "out"
    make_whole(whole)
    kick("verify", whole, "--manifest", "write")
    shutil.copytree(whole, results)
    expected = {command: _answer(command, results, out) for command in COMMANDS}
    for name, damage in DAMAGES.items():
        shutil.rmtree(results)
        shutil.copytree(whole, results)
        (path,) = results.glob(KINDS[kind])
        before = path.read_bytes()
        damage(path)
        # A file that is gone as if it had never been, or a journal whose last line is torn, is no damage.
        harmless = (name == "removed" and kind in OWN) or (
            kind == "journal" and path.is_file() and is_torn_journal(before, path.read_bytes())
        )
        for command in COMMANDS:
            answer = _answer(command, results, out)
            ended = answer.ended
            said = ended.said.strip() or ended.printed.strip()
            message = said.split("\n")[0].replace(str(scratch), "...") if ended.code else ""
            yield Line(
                kind,
                name,
                command,
                ended.code,
                message[:200],
                _fault(kind, command, answer, expected[command], harmless),
            )


def _fault(kind: str, command: str, answer: Answer, expected: Answer, harmless: bool) -> str:
    ended = answer.ended
    if ended.code not in (0, 1, 2, 3) or "Traceback" in ended.said:
        return "a traceback or an internal error"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", ended.said + ended.printed):
        return "control characters"
    same = (ended.code, ended.printed, answer.written) == (
        expected.ended.code,
        expected.ended.printed,
        expected.written,
    )
    if command.startswith("verify"):
        if ended.code == 0 and not harmless and kind != "manifest.json":
            return "the damage is not found"
        return ""
    if kind in OWN:
        return "" if same or _vouched_for_no_more(answer.board, expected.board) else "another answer"
    if same or ended.code == 2 or (command == "report" and _said(answer.table, expected.table)):
        return ""
    return "another answer"


def _vouched_for_no_more(board: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether a board says that nobody vouches for the folder any more, and nothing else that is new."""
    if not board or {**board, "origins": None} != {**expected, "origins": None}:
        return False
    return all(origin["kind"] == "unknown" for origin in board["origins"].values())


def _said(table: str, expected: str) -> bool:
    """Return whether a report names the reason for every number that it lacks, and has no other one."""
    before = _rows(expected)
    return all(
        key in before
        and row["score"] in ("", before[key]["score"])
        and (row["problem"] or all(row[name] == before[key][name] for name in NUMBERS))
        for key, row in _rows(table).items()
    )


def _rows(table: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["checkpoint"], row["task"]): row for row in csv.DictReader(io.StringIO(table))}


def main() -> None:
    """Print the table as Markdown; exit code 1 if there is a fault."""
    faults = 0
    print("| file | damage | command | exit code | first line of the message | fault |")
    print("|---|---|---|---|---|---|")
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            for line in lines(kind, Path(scratch)):
                faults += bool(line.fault)
                message = line.message.replace("|", "\\|")
                print(
                    f"| {line.kind} | {line.damage} | {line.command} | {line.code} | {message} | {line.fault} |",
                    flush=True,
                )
    print(f"\n{faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
