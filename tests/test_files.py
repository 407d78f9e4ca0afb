"""Files: written whole, temporary names that tell whose they are, and reading within bounds."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import Field

from kick import files
from kick.errors import InputError
from kick.files import (
    abandoned,
    clear_abandoned,
    digest,
    file_sha256,
    named_errors,
    read_bytes,
    read_json,
    read_text,
    temporary_path,
    write_atomically,
)
from kick.types import Record


class Point(Record):
    x: int
    more: dict[str, object] = Field(default_factory=dict)


def test_a_file_is_replaced_whole_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, "old")
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_of_a_process_that_is_gone_is_cleared(tmp_path: Path) -> None:
    program = "import sys, pathlib; from kick.files import temporary_path as t; t(pathlib.Path(sys.argv[1])).touch()"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "suite.yaml")], check=True)
    (left,) = tmp_path.iterdir()
    own = temporary_path(tmp_path / "suite.yaml")
    own.touch()
    assert abandoned(left)
    assert not abandoned(own)
    assert clear_abandoned(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == [own]


def test_a_write_removes_what_killed_writes_of_the_same_file_left(tmp_path: Path) -> None:
    program = "import sys, pathlib; from kick.files import temporary_path as t; t(pathlib.Path(sys.argv[1])).touch()"
    for name in ("report[1].md", "report.md"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True)
    write_atomically(tmp_path / "report[1].md", "new")
    left = {path.name for path in tmp_path.iterdir()} - {"report[1].md"}
    assert [name.startswith(".report.md.") for name in left] == [True]


def test_an_error_of_the_disk_names_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="No space left on device: .*report.md"),
        named_errors(tmp_path / "report.md"),
    ):
        raise OSError(28, "No space left on device")


def test_a_process_id_that_was_used_again_is_another_process(tmp_path: Path) -> None:
    path = temporary_path(tmp_path / "a")
    pid = os.getpid()
    earlier = path.with_name(path.name.replace(f"-{pid}-{files._start(pid)}-", f"-{pid}-1-"))
    earlier.touch()
    assert abandoned(earlier)


def test_the_temporary_file_of_another_machine_is_cleared_after_a_day(tmp_path: Path) -> None:
    path = temporary_path(tmp_path / "a")
    theirs = path.with_name(path.name.replace(files._place(), "0" * 8))
    theirs.touch()
    assert not abandoned(theirs)
    yesterday = time.time() - files.ABANDONED_AFTER - 60
    os.utime(theirs, (yesterday, yesterday))
    assert abandoned(theirs)


def test_other_files_are_never_cleared(tmp_path: Path) -> None:
    for name in ("notes.tmp", ".suite.yaml.123.tmp", ".a.tmp", "file"):
        (tmp_path / name).touch()
    assert clear_abandoned(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 4


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a", "b") != digest("b", "a")
    assert len(digest("a")) == 16
    assert digest("a", length=64).startswith(digest("a"))


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert file_sha256(tmp_path / "a").startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'{"x": "many"}',
        b'{"x": 1',
        b'{"x": 1}\xff',
        b"\x00\x00\x00",
        b'{"x": 1, "y": 2}',
        b'{"x": 1, "more": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        b'{"x": 1, "more": ' + b"[" * 100_000,
        b'{"x": 1, "more": {"a": "\\ud800"}}',
        b'{"x": 1e999}',
    ],
)
def test_damaged_json_is_one_message_with_the_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "point.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"point\.json is not a Point that this version of kick reads: "):
        read_json(path, Point)


def test_json_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "point.json"
    path.write_text(json.dumps({"x": 3}))
    assert read_json(path, Point) == Point(x=3)


def test_a_pipe_a_folder_and_a_large_file_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="is missing"):
        read_bytes(tmp_path / "nothing")
    with pytest.raises(InputError, match="not a regular file"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read_bytes(tmp_path)
    with pytest.raises(InputError, match="has 11 bytes; at most 10 are read"):
        read_bytes(tmp_path / "large", limit=10)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"is not UTF-8 text \(byte 3\)"):
        read_text(tmp_path / "latin")
