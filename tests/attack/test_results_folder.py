"""A results folder that a disk, a kill or a stranger changed: one message and an exit code, and no other number."""

import contextlib
import io
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kick.cli import main
from kick.store.records import seal_json, write_suite
from tests.attack.mutations import is_torn_journal
from tests.store.folders import make_whole, tree

COMMANDS = (
    ("verify", "{folder}", "--json"),
    ("compare", "{folder}", "dense", "small", "--json"),
    ("gate", "{folder}", "--policy", "regression", "--json"),
)
REPORTS = (
    ("report", "{folder}", "--format", "md,csv,latex,model-card", "--out", "{out}/report"),
    ("leaderboard", "{folder}", "--out", "{out}/site"),
    ("power", "{folder}", "--json"),
)
CODES = {0, 1, 2, 3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole") / "results").root


def _run(
    command: tuple[str, ...], folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Exit code and stdout of a command; whatever it raises beside an exit is a traceback for a user."""
    words = [word.format(folder=folder, out=out) for word in command]
    monkeypatch.setattr("sys.argv", ["kick", *words])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, printed.getvalue().replace(str(folder), "FOLDER")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks")


def _mutate(data: bytes, draw: random.Random) -> bytes:
    """One thing that disks, kills and editors do to a file."""
    at, length = draw.randrange(len(data) + 1), draw.randint(1, 64)
    kind = draw.randrange(7)
    if kind == 0:
        changed = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        return data[:at] + draw.randbytes(length) + data[at:]
    if kind == 4:
        return data[:at] + bytes(length) + data[at + length :]
    if kind == 5:
        return data + data[-length:]
    return draw.choice(
        [b"", b"\x00", b"null", b"[]", b"{}", b"5", b"[" * 50_000, b'{"a":' * 50_000, b"\xff\xfe"]
    )


def _damage(whole: Path, folder: Path, seed: int, commands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    shutil.copytree(whole, folder / "results")
    results = folder / "results"
    path = draw.choice(_files(results))
    before = path.read_bytes()
    after = _mutate(before, draw)
    path.write_bytes(after)
    name = path.relative_to(results).as_posix()
    for command in commands:
        code, printed = _run(command, results, folder / "out", monkeypatch)
        assert code in CODES, (seed, name, command)
        # The same answer as from the whole folder, or none: never another number.
        if code != 2 and command[0] in ("compare", "gate"):
            assert (code, printed) == _run(command, whole, folder / "out", monkeypatch), (seed, name)
    torn = name.startswith("journal/") and is_torn_journal(before, after)
    if after != before and not torn:
        assert _run(COMMANDS[0], results, folder, monkeypatch)[0] == 1, (seed, name)
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_a_message_and_never_another_number(
    whole: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _damage(whole, tmp_path / "x", seed, COMMANDS, monkeypatch)


@pytest.mark.slow
def test_a_thousand_kinds_of_damage(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1000, 2000):
        _damage(whole, tmp_path / str(seed), seed, COMMANDS, monkeypatch)


@pytest.mark.slow
def test_damage_to_reports_and_boards(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3000, 3050):
        _damage(whole, tmp_path / str(seed), seed, REPORTS, monkeypatch)


# --- folders from strangers: every checksum fits ---

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1e308, "NaN", "Infinity", "", "x" * 5000, "\x1b[2J", "\u202e", [], {}, [[]],
    "../../x/README", "/etc/passwd", "..", ".hidden", "a/b", "a\x00b",
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _replace(document: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        document = document[key]
    document[place[-1]] = value


def _forge(results: Path, draw: random.Random) -> str:
    """Change one value of a record and let its checksum fit."""
    path = draw.choice(sorted([*results.glob("checkpoints/*.json"), *results.glob("cells/*/*/*/cell.json")]))
    document = json.loads(path.read_bytes())
    del document["sha256"]
    place, value = draw.choice(list(_places(document))), draw.choice(VALUES)
    _replace(document, place, value)
    path.write_text(seal_json(json.dumps(document, indent=1)))
    return f"{path.relative_to(results)} {place} = {str(value)[:40]!r}"


@pytest.mark.parametrize("seed", range(40))
def test_a_forged_record_is_a_message_and_writes_nothing_outside(
    whole: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "a" / "b" / "results")
    results = tmp_path / "a" / "b" / "results"
    what = _forge(results, random.Random(seed))
    before = tree(tmp_path)
    for command in COMMANDS:
        code, _ = _run(command, results, tmp_path / "out", monkeypatch)
        assert code in CODES, (what, command)
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_a_thousand_forged_records(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4000, 5000):
        results = tmp_path / "a" / "b" / "results"
        shutil.copytree(whole, results)
        what = _forge(results, random.Random(seed))
        outside = tree(tmp_path)
        for command in (*COMMANDS, *REPORTS) if seed % 20 == 0 else COMMANDS:
            code, _ = _run(command, results, tmp_path / "a" / "out", monkeypatch)
            assert code in CODES, (seed, what, command)
        written = {name for name in tree(tmp_path) if not name.startswith("a/out/")}
        assert written == outside.keys(), what
        shutil.rmtree(tmp_path / "a")


@pytest.mark.parametrize("name", ["../../x/README", "/tmp/kick-was-here", "..", "a/b", "a\n", "-rf", ""])
@pytest.mark.parametrize("where", ["record", "suite", "task", "series"])
def test_a_name_that_leads_out_of_the_folder_is_refused_by_every_reader(
    whole: Path, tmp_path: Path, name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    shutil.copytree(whole, results)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "README.md").write_text("mine")
    suite = (results / "suite.yaml").read_text()
    quoted = json.dumps(name)
    if where == "suite":
        write_suite(results / "suite.yaml", suite.replace("id: small", f"id: {quoted}"))
    elif where == "task":
        write_suite(results / "suite.yaml", suite.replace("- facts", f"- {quoted}"))
    elif where == "series":
        write_suite(results / "suite.yaml", suite.replace("id: small", f"series: {quoted}\n  id: small"))
    else:
        path = results / "checkpoints" / "small.json"
        document = json.loads(path.read_bytes())
        del document["sha256"]
        document["checkpoint"]["id"] = name
        path.write_text(seal_json(json.dumps(document, indent=1)))
    before = tree(tmp_path)
    for command in (*COMMANDS, REPORTS[0]):
        code, _ = _run(command, results, tmp_path / "out", monkeypatch)
        assert code == (1 if command[0] == "verify" else 2), command
    assert {path: sha for path, sha in tree(tmp_path).items() if not path.startswith("out/")} == before
