"""Reports and leaderboards write inside their folder, whole files only, and remove nothing that is not theirs."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kick.errors import InputError
from kick.reports import write
from kick.reports.leaderboard import write as write_board
from kick.reports.leaderboard.site import MANIFEST
from kick.reports.output import OutputFolder, file_name
from kick.store import Store
from tests.reports.small import small_results
from tests.reports.test_leaderboard import folder, right

OUTSIDE = ("../../x/README", "../../../x/README", "/tmp/kick-absolute", "..", "a/../../../x/README", "x\0y")


def tree(path: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one.relative_to(path)): sha256(one.read_bytes()).hexdigest() for one in files}


def board_of(path: Path, *candidates: str) -> Store:
    scores = {"dense": {"facts": right(30)}}
    scores |= {name: {"facts": right(20 - index)} for index, name in enumerate(candidates)}
    return folder(path, scores)


# --- a leaderboard and files of others ---


def test_a_leaderboard_never_deletes_files_of_others(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "checkpoints").mkdir(parents=True)
    (project / "checkpoints" / "llama-70b.gguf").touch()
    before = tree(project)
    with pytest.raises(InputError, match=r"kick did not write: checkpoints/llama-70b\.gguf"):
        write_board([board_of(tmp_path / "r", "a")], project)
    assert tree(project) == before


def test_a_results_folder_is_not_a_place_for_a_leaderboard(tmp_path: Path) -> None:
    store = board_of(tmp_path / "r", "a")
    before = tree(store.root)
    with pytest.raises(InputError, match="is a results folder"):
        write_board([store], store.root)
    assert tree(store.root) == before


def test_files_that_were_put_among_the_pages_stay(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_board([board_of(tmp_path / "two", "a", "b")], site)
    (site / "badges" / "mine.svg").write_text("mine")
    write_board([board_of(tmp_path / "one", "a")], site)
    assert (site / "badges" / "mine.svg").read_text() == "mine"
    assert len(list((site / "badges").iterdir())) == 2


def test_a_page_that_was_changed_by_hand_is_not_removed(tmp_path: Path) -> None:
    site = tmp_path / "site"
    gone = write_board([board_of(tmp_path / "two", "a", "b")], site).entries[1].page
    (site / "checkpoints" / f"{gone}.html").write_text("changed by hand")
    write_board([board_of(tmp_path / "one", "a")], site)
    assert (site / "checkpoints" / f"{gone}.html").read_text() == "changed by hand"
    assert not (site / "checkpoints" / f"{gone}.csv").exists()


def test_a_file_in_the_place_of_a_new_page_is_not_overwritten(tmp_path: Path) -> None:
    site, two = tmp_path / "site", board_of(tmp_path / "two", "a", "b")
    page = write_board([two], tmp_path / "elsewhere").entries[1].page
    write_board([board_of(tmp_path / "one", "a")], site)
    (site / "checkpoints" / f"{page}.json").write_text("mine")
    before = tree(site)
    with pytest.raises(InputError, match="kick did not write it"):
        write_board([two], site)
    assert tree(site) == before


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "{}", '{"files": 3}', '{"files": {"../README.md": []}}', '{"files": {"index.html": ["x"]}}'],
)
def test_a_manifest_that_proves_nothing_lets_kick_remove_nothing(tmp_path: Path, manifest: str) -> None:
    site, readme = tmp_path / "site", tmp_path / "README.md"
    readme.write_text("mine")
    write_board([board_of(tmp_path / "two", "a", "b")], site)
    (site / MANIFEST).write_text(manifest)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="not a manifest that kick wrote"):
        write_board([board_of(tmp_path / "one", "a")], site)
    assert {name: before[name] for name in tree(tmp_path) if name in before} == before


def test_an_empty_index_that_a_killed_write_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").touch()
    write_board([board_of(tmp_path / "r", "a")], site)
    assert "Knowledge kept" in (site / "index.html").read_text(encoding="utf-8")


def test_a_board_goes_into_the_checkout_of_a_repository(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / ".git").mkdir(parents=True)
    (site / ".git" / "HEAD").write_text("ref: refs/heads/main")
    write_board([board_of(tmp_path / "r", "a")], site)
    assert (site / ".git" / "HEAD").read_text() == "ref: refs/heads/main"


# --- folders of people whom one need not trust ---


def rename(store: Store, checkpoint: str, to: str) -> None:
    """Let a folder claim another id for a checkpoint, as its owner can."""
    for path in (store.root / "suite.yaml", store.root / "checkpoints" / f"{checkpoint}.json"):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        for one in data["checkpoints"] if "checkpoints" in data else [data["checkpoint"]]:
            one["id"] = to if one["id"] == checkpoint else one["id"]
        path.write_text(json.dumps(data) if path.suffix == ".json" else yaml.safe_dump(data))


def claim_fingerprint(store: Store, checkpoint: str, fingerprint: str) -> None:
    path = store.root / "checkpoints" / f"{checkpoint}.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"fingerprint": fingerprint}))


@pytest.mark.parametrize("hostile", OUTSIDE)
def test_a_hostile_id_reaches_no_file_outside_the_report(tmp_path: Path, hostile: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "README.md").write_text("mine")
    store = board_of(tmp_path / "r", "a")
    rename(store, "a", hostile)
    before = tree(tmp_path)
    out = tmp_path / "deep" / "out"
    try:
        paths = write(store, out, ["md", "html", "latex", "csv", "model-card"])
    except InputError:
        paths = []
    assert all(path.resolve().is_relative_to(out.resolve()) for path in paths)
    after = {name: value for name, value in tree(tmp_path).items() if not name.startswith("deep/out/")}
    assert after == before
    assert not Path("/tmp/kick-absolute.md").exists()


def break_suite(store: Store) -> None:
    (store.root / "suite.yaml").write_bytes(b"\xff\xfe\x00name: [")


def nest_suite(store: Store) -> None:
    (store.root / "suite.yaml").write_text("reference: dense\ncheckpoints: " + "[" * 3000 + "]" * 3000)


def mistype_suite(store: Store) -> None:
    (store.root / "suite.yaml").write_text("reference: dense\ncheckpoints: 5\ntasks: {}\n")


def mistype_record(store: Store) -> None:
    (store.root / "checkpoints" / "a.json").write_bytes(b"\xff[")


def claim_id(store: Store) -> None:
    rename(store, "a", "../../../x/README")


def claim_reference(store: Store) -> None:
    rename(store, "dense", "/etc/dense")


def claim_weights(store: Store) -> None:
    claim_fingerprint(store, "a", "../../../evil")


@pytest.mark.parametrize(
    "damage",
    [break_suite, nest_suite, mistype_suite, mistype_record, claim_id, claim_reference, claim_weights],
)
def test_one_hostile_folder_takes_no_board_down(tmp_path: Path, damage: Callable[[Store], None]) -> None:
    hostile, good = board_of(tmp_path / "hostile", "a"), board_of(tmp_path / "good", "b", "c")
    damage(hostile)
    before = tree(tmp_path)
    site = tmp_path / "deep" / "site"
    board = write_board([hostile, good], site)
    assert {entry.checkpoint for entry in board.entries} >= {"b", "c"}
    if damage is not claim_weights:
        assert [one.folder for one in board.refused] == ["hostile"]
    after = {name: value for name, value in tree(tmp_path).items() if not name.startswith("deep/site/")}
    assert after == before


def test_no_path_leads_out_of_the_folder_by_name_or_by_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "elsewhere")
    out = OutputFolder(tmp_path / "out", "the report")
    for name in ("../x.md", "/tmp/x.md", "a/../../x.md", "", "figures/x.png"):
        with pytest.raises(InputError, match="leads out of"):
            out.write(name, "text")
    assert tree(tmp_path) == {}


@given(st.text(max_size=300))
def test_every_name_becomes_a_plain_file_name(text: str) -> None:
    name = file_name(text)
    assert len(name) <= 110
    assert all(character.isascii() and (character.isalnum() or character in "_.-") for character in name)
    assert not name.startswith(".")


# --- whole files ---


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let every write beyond this many bytes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", ["html", "md", "csv", "latex", "parquet"])
def test_a_write_that_fails_leaves_the_old_report_whole(tmp_path: Path, kind: str) -> None:
    store = small_results(tmp_path / "r")
    out = tmp_path / "out"
    write(store, out, [kind])
    before = tree(out)
    with files_of_at_most(500), pytest.raises(InputError, match="cannot be written"):
        write(store, out, [kind])
    assert tree(out) == before


def test_a_board_whose_writing_failed_is_written_by_the_same_command(tmp_path: Path) -> None:
    store, site = board_of(tmp_path / "r", "a", "b"), tmp_path / "site"
    with files_of_at_most(2_000), pytest.raises(InputError, match="cannot be written"):
        write_board([store], site)
    assert all(path.stat().st_size for path in site.rglob("*") if path.is_file())
    write_board([store], site)
    write_board([store], tmp_path / "other")
    assert tree(site) == tree(tmp_path / "other")


@pytest.mark.slow
def test_a_board_that_is_killed_at_any_moment_is_old_or_new_and_goes_on(tmp_path: Path) -> None:
    store, site = board_of(tmp_path / "r", "a", "b", "c"), tmp_path / "site"
    write_board([store], tmp_path / "whole")
    whole = tree(tmp_path / "whole")
    code = (
        "import sys; from pathlib import Path; from kick.store import Store;"
        "from kick.reports.leaderboard.board import gather; from kick.reports.leaderboard import pages;"
        "from kick.reports.leaderboard.site import Site;"
        "files = pages.site(gather([Store(sys.argv[1])])); print('ready', flush=True);"
        "[Site(Path(sys.argv[2])).replace(files) for _ in range(10_000)]"
    )
    for delay in (0.0, 0.002, 0.01, 0.05, 0.2):
        command = [sys.executable, "-c", code, str(store.root), str(site)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        left = {name: value for name, value in tree(site).items() if not Path(name).name.startswith(".")}
        left.pop(MANIFEST, None)
        assert left.items() <= whole.items()
    write_board([store], site)
    assert {name: value for name, value in tree(site).items() if name in whole} == whole
