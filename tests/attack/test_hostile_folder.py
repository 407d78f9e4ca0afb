"""Results folders from strangers whose checksums all fit: nothing outside the output changes, nothing is hidden."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kick.reports.leaderboard import write as write_board
from kick.store import Store
from kick.store.records import seal_json, write_suite
from tests.attack.commands import Ended, attacked_results, kick
from tests.reports.test_leaderboard import folder, right
from tests.store.folders import tree

OUTSIDE = ("../../x/README", "/tmp/kick-absolute", "..", "a/../../x/README", "x\0y", "-rf", "con/..", "a\nb")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxt.exe"


def edit_record(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record and let its checksum fit, as the owner of a folder can."""
    document = json.loads(path.read_bytes())
    del document["sha256"]
    change(document)
    path.write_text(seal_json(json.dumps(document, indent=1)))


def edit_suite(results: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = yaml.safe_load((results / "suite.yaml").read_text())
    change(data)
    write_suite(results / "suite.yaml", yaml.safe_dump(data, sort_keys=False))


def _id(results: Path, name: str) -> None:
    edit_record(results / "checkpoints" / "rtn-4.json", lambda record: record["checkpoint"].update(id=name))


def _id_in_the_suite(results: Path, name: str) -> None:
    edit_suite(results, lambda suite: suite["checkpoints"][2].update(id=name))


def _reference(results: Path, name: str) -> None:
    edit_suite(results, lambda suite: suite.update(reference=name))


def _name_of_the_suite(results: Path, name: str) -> None:
    edit_suite(results, lambda suite: suite.update(name=name))


def _fingerprint(results: Path, name: str) -> None:
    edit_record(results / "checkpoints" / "rtn-4.json", lambda record: record.update(fingerprint=name))


def _series(results: Path, name: str) -> None:
    edit_record(
        results / "checkpoints" / "rtn-4.json", lambda record: record["checkpoint"].update(series=name)
    )


def _key(results: Path, name: str) -> None:
    edit_record(results / "checkpoints" / "rtn-4.json", lambda record: record["cells"].update(kick_mmlu=name))


def _task(results: Path, name: str) -> None:
    edit_record(
        results / "checkpoints" / "rtn-4.json", lambda record: record["cells"].update({name: "0" * 16})
    )


def _task_of_a_cell(results: Path, name: str) -> None:
    (path,) = results.glob("cells/rtn-4/kick_mmlu/*/cell.json")
    edit_record(path, lambda cell: cell["task"].update(name=name))


def _metric(results: Path, name: str) -> None:
    for path in results.glob("cells/*/kick_mmlu/*/cell.json"):
        edit_record(path, lambda cell: cell["task"].update(metric=name))


PLACES = (
    _id, _id_in_the_suite, _reference, _name_of_the_suite, _fingerprint, _series, _key, _task, _task_of_a_cell, _metric,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attacked_results(tmp_path_factory.mktemp("whole") / "results")


def _commands(results: Path, good: Path, out: Path, formats: str) -> tuple[tuple[object, ...], ...]:
    return (
        ("report", results, "--format", formats, "--out", out / "report"),
        ("leaderboard", results, good, "--out", out / "board"),
        ("compare", results, "dense", "rtn-4", "--items", "--parquet", out / "flips.parquet"),
        ("gate", results, "--policy", "regression", "--junit", out / "j.xml", "--summary", out / "s.md"),
        ("power", results),
        ("verify", results, "--repair"),
    )


def _attack(
    whole: Path, tmp_path: Path, damage: Callable[[Path], object], formats: str = "csv,model-card"
) -> list[Ended]:
    """Run every reader over a hostile folder next to a good one, and compare everything outside the output."""
    results, good, out = (
        tmp_path / "a" / "b" / "results",
        tmp_path / "a" / "good",
        tmp_path / "a" / "b" / "c" / "out",
    )
    shutil.copytree(whole, results)
    shutil.copytree(whole, good)
    for place in (tmp_path / "x", tmp_path / "a" / "x", tmp_path / "a" / "b" / "x"):
        place.mkdir()
        (place / "README.md").write_text("mine")
    out.mkdir(parents=True)
    damage(results)
    before = tree(tmp_path)
    ended = []
    for words in _commands(results, good, out, formats):
        if words[0] == "verify":
            before = {name: sha for name, sha in before.items() if not name.startswith("a/b/results/")}
        ended.append(kick(*words))
        after = {name: sha for name, sha in tree(tmp_path).items() if not name.startswith("a/b/c/out/")}
        if words[0] == "verify":
            after = {name: sha for name, sha in after.items() if not name.startswith("a/b/results/")}
        assert after == before, words
    assert not list(Path("/tmp").glob("kick-absolute*"))
    return ended


@pytest.mark.parametrize("name", OUTSIDE[:2])
@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_leads_out_changes_nothing_outside(
    place: Callable[[Path, str], None], name: str, whole: Path, tmp_path: Path
) -> None:
    ended = _attack(whole, tmp_path, lambda results: place(results, name))
    assert all(one.code in (0, 1, 2, 3) for one in ended), [one.said for one in ended]
    # The board lists the hostile folder as refused, and the good one is on it.
    assert ended[1].code == 0, ended[1].said


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("place", PLACES)
def test_no_name_in_no_format_changes_anything_outside(
    place: Callable[[Path, str], None], name: str, whole: Path, tmp_path: Path
) -> None:
    formats = "md,html,latex,csv,parquet,model-card"
    ended = _attack(whole, tmp_path, lambda results: place(results, name), formats)
    assert all(one.code in (0, 1, 2, 3) for one in ended), [one.said for one in ended]


def _escape_everywhere(results: Path) -> None:
    """Escape sequences in every text that a record may hold freely, and a message that quotes a name."""

    def change(record: dict[str, Any]) -> None:
        record["checkpoint"].update(model=ESCAPES, revision=ESCAPES)
        record["description"].update(architecture=ESCAPES)

    edit_record(results / "checkpoints" / "rtn-4.json", change)
    for path in results.glob("cells/rtn-4/*/*/cell.json"):
        edit_record(path, lambda cell: cell.update(notes=[ESCAPES]))
    for path in results.glob("cells/rtn-8/*/*/cell.json"):
        edit_record(path, lambda cell: cell.update(not_diverged=ESCAPES, divergence=None))
    (results / f"new\x1b[2J{ESCAPES.replace('/', '')}").write_text("")


def test_no_escape_sequence_reaches_a_terminal(whole: Path, tmp_path: Path) -> None:
    for one in _attack(whole, tmp_path, _escape_everywhere, "md,csv,model-card"):
        assert one.code in (0, 1, 2, 3)
        assert not CONTROLS.search(one.said + one.printed), (one.said, one.printed)
        assert "\u202e" not in one.said + one.printed
    written = [
        path
        for path in (tmp_path / "a/b/c/out").rglob("*")
        if path.suffix in (".md", ".csv", ".html", ".xml")
    ]
    assert written
    for path in written:
        assert not CONTROLS.search(path.read_text()), path


@pytest.mark.parametrize("name", [f"../x{ESCAPES}", ESCAPES])
@pytest.mark.parametrize("place", [_id, _reference, _metric])
def test_a_message_that_quotes_a_name_does_not_control_the_terminal(
    place: Callable[[Path, str], None], name: str, whole: Path, tmp_path: Path
) -> None:
    for one in _attack(whole, tmp_path, lambda results: place(results, name)):
        assert not CONTROLS.search(one.said + one.printed), (one.said, one.printed)


def test_links_in_a_folder_lead_no_writer_out_of_it(whole: Path, tmp_path: Path) -> None:
    def link(results: Path) -> None:
        for name in ("report", "broken", "manifest.json"):
            (results / name).symlink_to(tmp_path / "x")

    ended = _attack(whole, tmp_path, link)
    assert all(one.code in (0, 1, 2, 3) for one in ended)
    results, before = tmp_path / "a" / "b" / "results", tree(tmp_path / "x")
    ended = kick("report", results, "--format", "csv")
    assert (ended.code, "is a link to" in ended.message) == (2, True)
    (results / "tiers").mkdir()
    (results / "tiers" / f"{'0' * 16}.json").write_text("{}")
    ended = kick("verify", results, "--repair")
    assert (ended.code, "is a link to" in ended.message) == (2, True)
    kick("verify", results, "--manifest", "write")
    assert tree(tmp_path / "x") == before


def test_no_entry_takes_the_page_of_another(tmp_path: Path) -> None:
    good = folder(tmp_path / "good", {"dense": {"facts": right(30)}, "a-b": {"facts": right(29)}})
    hostile = folder(tmp_path / "hostile", {"dense": {"facts": right(30)}, "a.b": {"facts": right(2)}})
    mark = good.checkpoint("a-b").fingerprint[:8]
    edit_record(
        hostile.root / "checkpoints" / "a.b.json",
        lambda record: record.update(fingerprint=mark + record["fingerprint"][8:]),
    )
    board = write_board([Store(good.root), Store(hostile.root)], tmp_path / "site")
    pages = {entry.checkpoint: entry.page for entry in board.entries}
    assert len(set(pages.values())) == len(pages) == 2
    page = (tmp_path / "site" / "checkpoints" / f"{pages['a-b']}.html").read_text()
    assert "a-b" in page
    assert "a.b" not in page
