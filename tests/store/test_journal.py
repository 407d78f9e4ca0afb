"""The journal of a cell: what was written is read, what was not is dropped."""

import json
import logging
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.errors import InputError
from kick.store import Journal
from kick.store.journal import read_journal

KEY = "0123456789abcdef"


def _journal(folder: Path, lines: int = 3) -> Journal:
    journal = Journal(folder / "cell.responses.jsonl", KEY)
    for row in range(lines):
        journal.append([row], [f"answer {row}"])
    return journal


def _read(path: Path, key: str = KEY) -> dict[int, object]:
    return Journal(path, key).read()


def test_a_journal_reads_back_and_drops_the_line_that_a_kill_cut_short(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "deep" / "er" / "cell.jsonl", KEY)
    assert journal.read() == {}
    journal.append([0, 2], ["a", 'b\n"\u2028'])
    journal.append([1], [math.nan])
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[: len(whole) // 3])
    read = _read(journal.path)
    assert (read[0], read[2]) == ("a", 'b\n"\u2028')
    assert math.isnan(float(str(read[1])))
    assert len(read) == 3
    assert journal.path.read_bytes() == whole
    assert caplog.records == []


def test_every_line_is_one_json_document(tmp_path: Path) -> None:
    lines = _journal(tmp_path).path.read_text().splitlines()
    assert [json.loads(line)["responses"] for line in lines] == [["answer 0"], ["answer 1"], ["answer 2"]]


@pytest.mark.parametrize(
    "damage",
    [
        b"null\n",
        b"5\n",
        b"[]\n",
        b"\x00" * 20 + b"\n",
        b"\xff\n",
        b"\n",
        b'{"rows": [1], "responses": []}\n',
        b'{"rows": [1], "responses": ["wrong"]}\n',
        b'{"rows": [1], "responses": ["\\ud800"]}\n',
        b'{"rows": [1], "responses": [["a", "b", "c"]]}\n',
        b'{"check": "0123456789abcdef", "rows": [1], "responses": ["wrong"]}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_line_that_kick_did_not_write_ends_the_journal_and_is_told_once(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = _journal(tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole + damage + damage)
    assert _read(path) == {row: f"answer {row}" for row in range(3)}
    assert path.read_bytes() == whole
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "line 4 is not the one that was written for cell 0123456789abcdef" in record.getMessage()
    _read(path)
    assert len(caplog.records) == 1


def test_a_changed_answer_is_not_read_and_neither_is_what_follows(tmp_path: Path) -> None:
    path = _journal(tmp_path).path
    path.write_bytes(path.read_bytes().replace(b"answer 1", b"answer 7"))
    assert _read(path) == {0: "answer 0"}


def test_a_line_that_is_gone_moved_or_repeated_ends_the_journal(tmp_path: Path) -> None:
    path = _journal(tmp_path).path
    first, second, third = path.read_bytes().splitlines(keepends=True)
    for lines, rows in (
        ([first, third], 1),
        ([second, first, third], 0),
        ([first, first, second, third], 1),
        ([first, second, third], 3),
    ):
        path.write_bytes(b"".join(lines))
        assert len(_read(path)) == rows


def test_the_journal_of_another_cell_is_not_read(tmp_path: Path) -> None:
    path = _journal(tmp_path).path
    assert _read(path, "f" * 16) == {}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_file_is_told_and_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    make(path)
    assert "is not a regular file" in str(read_journal(path, KEY).problem)
    with pytest.raises(InputError, match="is not a regular file"):
        Journal(path, KEY).append([0], ["answer"])


def test_a_run_goes_on_after_a_damaged_line(tmp_path: Path) -> None:
    path = _journal(tmp_path).path
    path.write_bytes(path.read_bytes() + b"null\n")
    again = Journal(path, KEY)
    again.append([3], ["answer 3"])
    assert _read(path) == {row: f"answer {row}" for row in range(4)}


def test_a_journal_that_was_dropped_begins_anew(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.path.unlink()
    journal.append([5], ["e"])
    assert _read(journal.path) == {5: "e"}


@given(seed=st.integers(0, 2**32 - 1))
def test_no_flipped_byte_changes_an_answer(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = _journal(tmp_path_factory.mktemp("journal"), lines=8).path
    draw, data = random.Random(seed), bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    read = _read(path)
    assert read == {row: f"answer {row}" for row in range(len(read))}
    assert len(read) < 8


def test_a_long_journal_is_read_quickly(tmp_path: Path) -> None:
    path = _journal(tmp_path, lines=0).path
    journal = Journal(path, KEY)
    journal.append([0], [0.0])
    # 100,000 lines, written as `append` does without opening the file each time.
    from kick.store import journal as module

    last = journal._last
    assert last is not None
    with path.open("ab") as file:
        for row in range(1, 100_000):
            rest = json.dumps({"rows": [row], "responses": [float(row)]}).encode()[1:]
            last = module._check(last, rest)
            file.write(module._OPENING + last + b'", ' + rest + b"\n")
    started = time.process_time()
    assert len(_read(path)) == 100_000
    assert time.process_time() - started < 5
