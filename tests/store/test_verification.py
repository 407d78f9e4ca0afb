"""`kick verify` looks at every file of a results folder."""

import json
from pathlib import Path

import pandas as pd
import pytest

from kick.errors import InputError
from kick.files import temporary_path
from kick.store import Store
from kick.store.manifest import differences, read_manifest, write_manifest
from kick.store.records import write_suite
from kick.store.repair import repair
from kick.store.verification import inspect
from tests.results import binary_task, write_scores
from tests.store.folders import KEY, make_whole, tree


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_whole(tmp_path / "results")


def _kinds(store: Store) -> dict[str, str]:
    return {finding.path: finding.kind for finding in inspect(store)}


def test_a_whole_folder_has_no_findings(store: Store) -> None:
    assert inspect(store) == []
    assert store.damage() == []


@pytest.mark.parametrize(
    "pattern",
    [
        "suite.yaml",
        "checkpoints/small.json",
        "cells/dense/facts/*/cell.json",
        "cells/dense/facts/*/items.parquet",
        "tiers/*.json",
        "journal/*.jsonl",
        "states/*.bin",
        "states/*.json",
        "states/*.head.safetensors",
    ],
)
@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "zeros", "text", "nested"])
def test_damage_to_any_file_is_found_and_names_it(store: Store, pattern: str, damage: str) -> None:
    (path,) = store.root.glob(pattern)
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 1
    changed = {
        "bit": bytes(data),
        "cut": bytes(data[: len(data) // 2]),
        "empty": b"",
        "zeros": bytes(len(data)),
        "text": b"\xff\xfe not UTF-8\n",
        "nested": b"{" * 10_000 + b"\n",
    }[damage]
    path.write_bytes(changed)
    # A journal that ends in the middle of a line is what a kill leaves, and an empty one says nothing.
    if path.suffix == ".jsonl" and damage in ("cut", "empty", "zeros"):
        assert all(finding.kind != "missing" for finding in inspect(store))
        return
    broken = [finding for finding in inspect(store) if finding.kind == "broken"]
    assert len(broken) == 1
    name = path.relative_to(store.root).as_posix()
    assert name.startswith(broken[0].path) or broken[0].path.startswith("states/")
    assert broken[0].next_run.startswith("the next run ")
    assert store.verify() == [broken[0].problem]
    # The states are a cache that is checked before each use, and large: readers of results do not wait for them.
    content_of_states = path.suffix in (".bin", ".safetensors")
    assert bool(store.damage()) != content_of_states


def test_an_edited_direction_of_a_metric_is_found_where_results_are_read(store: Store) -> None:
    (path,) = store.root.glob("cells/small/facts/*/cell.json")
    path.write_text(path.read_text().replace('"higher_is_better": true', '"higher_is_better": false'))
    with pytest.raises(
        InputError, match=r"cell\.json is not the file that was written: its checksum does not fit"
    ):
        store.cell("small", "facts")


def test_a_suite_without_its_last_candidate_is_found_where_results_are_read(store: Store) -> None:
    path = store.root / "suite.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "small" not in line))
    with pytest.raises(InputError, match=r"suite\.yaml is damaged: it is not the file that was written"):
        store.suite()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "is damaged: expected a mapping"),
        ("a: 1\na: 2\n", "the key 'a' is given twice"),
        ("a: " + "[" * 5000, "nested more than 20 levels"),
        (
            "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9}]\n" for n in range(9)),
            "more than 50,000",
        ),
    ],
    ids=["list", "repeated key", "deep", "aliases of aliases"],
)
def test_a_suite_with_a_fitting_checksum_is_still_read_within_bounds(
    store: Store, text: str, message: str
) -> None:
    write_suite(store.root / "suite.yaml", text)
    with pytest.raises(InputError, match=rf"suite\.yaml.*{message}"):
        store.suite()


def test_a_record_without_its_checksum_is_refused(store: Store) -> None:
    path = store.root / "checkpoints" / "small.json"
    data = json.loads(path.read_text())
    del data["sha256"]
    path.write_text(json.dumps(data, indent=1))
    with pytest.raises(InputError, match="carries no checksum"):
        store.checkpoint("small")


def test_a_cell_of_fewer_items_than_its_plan_is_found(store: Store) -> None:
    write_scores(store, "small", binary_task(), pd.DataFrame({"em": [1.0]}), plan={"items": 400})
    (problem,) = store.damage("small")
    assert "items.parquet holds 1 items, cell.json counts 1, and its plan has 400" in problem


def test_the_damage_of_one_checkpoint_is_not_that_of_another(store: Store) -> None:
    (path,) = store.root.glob("cells/small/facts/*/items.parquet")
    path.write_bytes(b"")
    assert len(store.damage("small")) == 1
    assert store.damage("dense") == []


def test_unknown_files_and_links_are_named_and_are_no_damage(store: Store) -> None:
    for name in ("notes.txt", "cells/note", "cells/dense/facts/x", "checkpoints/a.txt", "locks/b", "other/c"):
        path = store.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (store.root / "checkpoints" / "link.txt").symlink_to("/etc/hostname")
    names = {path for path, kind in _kinds(store).items() if kind == "unknown"}
    assert names == {
        "notes.txt",
        "cells/note",
        "cells/dense/facts/x",
        "checkpoints/a.txt",
        "checkpoints/link.txt",
        "locks/b",
        "other",
        "other/c",
    }
    assert store.verify() == []


def test_a_temporary_file_of_a_run_that_goes_on_is_left_alone_and_said_nothing_of(store: Store) -> None:
    own = temporary_path(store.root / "checkpoints" / "small.json")
    own.touch()
    gone = own.with_name(own.name.replace(f"-{own.name.split('-')[1]}-", "-999999999-"))
    gone.touch()
    assert _kinds(store) == {f"checkpoints/{gone.name}": "leftover"}
    Store.create(store.root, (store.root / "suite.yaml").read_text())
    assert own.exists()
    assert not gone.exists()


def test_what_is_broken_is_moved_aside_and_nothing_is_lost(store: Store) -> None:
    before = tree(store.root)
    (cell,) = store.root.glob("cells/small/facts/*/cell.json")
    for path in (cell, store.root / "checkpoints" / "dense.json", store.root / "tiers" / f"{KEY}.json"):
        path.write_bytes(b"damaged")
    moved = repair(store)
    assert len(moved) == 3
    assert [one.next_run for one in moved] == [
        "the next run measures dense again, and keeps its cells",
        "the next run scores facts of small again",
        "the next run tests the reference again",
    ]
    assert all((store.root / one.to).exists() and not (store.root / one.path).exists() for one in moved)
    assert store.damage() == []
    after = tree(store.root)
    assert sum(not name.startswith("locks/") for name in after) == len(before) - 1


def test_a_journal_keeps_the_lines_in_front_of_the_broken_one(store: Store) -> None:
    (path,) = store.root.glob("journal/*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + b"null\n" + whole)
    (moved,) = repair(store)
    assert path.read_bytes() == whole
    assert (store.root / moved.to).read_bytes() == whole + b"null\n" + whole
    assert inspect(store) == []


def test_a_suite_that_was_moved_aside_is_written_by_the_next_run(store: Store) -> None:
    text = (store.root / "suite.yaml").read_text()
    (store.root / "suite.yaml").write_bytes(b"")
    repair(store)
    with pytest.raises(InputError, match=r"no suite\.yaml"):
        Store(store.root)
    again = Store.create(store.root, text)
    assert inspect(again) == []
    assert (store.root / "suite.yaml").read_text() == text


def test_nothing_is_moved_under_a_run(store: Store) -> None:
    (store.root / "checkpoints" / "dense.json").write_bytes(b"")
    with store.lock("small"), pytest.raises(InputError, match="another run is scoring 'small'"):
        repair(Store(store.root))


def test_a_manifest_lists_every_file_and_finds_any_change(store: Store) -> None:
    with pytest.raises(InputError, match=r"manifest\.json is missing"):
        read_manifest(store)
    manifest = write_manifest(store)
    assert differences(store, read_manifest(store)) == []
    assert manifest.files.keys() == tree(store.root).keys() - {"manifest.json", "locks/.folder.lock"}
    (store.root / "manifest.json.minisig").write_text("a signature")
    assert differences(store, read_manifest(store)) == []
    (store.root / "notes.txt").write_text("new")
    (store.root / "tiers" / f"{KEY}.json").unlink()
    states = store.states_path(KEY)
    states.write_bytes(states.read_bytes()[:-1] + b"?")
    assert [
        problem.removeprefix(f"{store.root}/") for problem in differences(store, read_manifest(store))
    ] == [
        "notes.txt is in the folder and not in the manifest.",
        f"states/{KEY}.bin is not the file in the manifest: its SHA-256 or size differs.",
        f"tiers/{KEY}.json is in the manifest and not in the folder.",
    ]
    path = store.root / "manifest.json"
    path.write_text(path.read_text().replace("notes", "other").replace('"bytes": 6', '"bytes": 7'))
    with pytest.raises(InputError, match=r"manifest\.json is not the file that was written"):
        read_manifest(store)


def test_no_manifest_is_written_of_a_broken_folder(store: Store) -> None:
    (store.root / "suite.yaml").write_text("")
    with pytest.raises(InputError, match="no manifest is written of results that are not whole"):
        write_manifest(store)
    assert not (store.root / "manifest.json").exists()


def test_cells_whose_record_is_gone_are_told(tmp_path: Path) -> None:
    store = make_whole(tmp_path / "results")
    (store.root / "checkpoints" / "small.json").unlink()
    (problem,) = store.verify()
    assert "small.json is missing, and small has cells" in problem
