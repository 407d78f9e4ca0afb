"""A leaderboard ranks what can be compared, refuses what cannot be trusted, and says which is which."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml

from kick.comparison import compare
from kick.errors import InputError
from kick.reports.leaderboard import write
from kick.reports.leaderboard.board import gather
from kick.reports.leaderboard.records import OVERALL, Board, BoardEntry
from kick.reports.leaderboard.site import MANIFEST
from kick.store import Store
from kick.store.manifest import write_manifest
from kick.store.signatures import read_public_key, sign_manifest
from kick.types import TaskInfo
from tests.results import binary_task, checkpoint_record, make_results, write_scores
from tests.store.signing import make_keys

TASKS = ("kick_freebaseqa", "kick_hotpotqa", "kick_mmlu", "perplexity_wikitext2")
RTN = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.1, "rtn-3": 0.6}
MAGNITUDE = {"dense": 0.0, "magnitude-0.1": 0.02, "magnitude-0.5": 0.7}
HOSTILE = "<img src=x onerror=alert(1)>"


def results(path: Path, damage: dict[str, float], *, tasks: Sequence[str] = TASKS, items: int = 120) -> Store:
    return make_results(path, items=items, windows=12, tasks=tasks, damage=damage)


def folder(path: Path, scores: dict[str, dict[str, Sequence[float]]], **identity: object) -> Store:
    """A results folder with these item scores: checkpoint -> task -> one right or wrong an item."""
    tasks = list(next(iter(scores.values())))
    listed = [checkpoint_record(name).checkpoint.model_dump(mode="json") for name in scores]
    suite = {"name": path.name, "reference": next(iter(scores)), "checkpoints": listed, "tasks": tasks}
    store = Store.create(path, yaml.safe_dump(suite))
    for checkpoint, row in scores.items():
        for task, values in row.items():
            frame = pd.DataFrame({"em": np.asarray(values, float)})
            write_scores(store, checkpoint, task_of(task), frame, **identity)
    return store


def task_of(name: str) -> TaskInfo:
    if name == "guess":
        return binary_task(name, family="multiple_choice", chance=0.25)
    return binary_task(name, family="multihop_reasoning" if name.startswith("hop") else "factoid_qa")


def right(count: int, items: int = 40) -> list[float]:
    return [1.0] * count + [0.0] * (items - count)


def standing_of(board: Board, checkpoint: str) -> BoardEntry:
    return next(entry for entry in board.entries if entry.checkpoint == checkpoint)


def damage_items(store: Store, checkpoint: str) -> None:
    path = next((store.root / "cells" / checkpoint).rglob("items.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    root = tmp_path_factory.mktemp("stores")
    return [results(root / "one", RTN), results(root / "two", MAGNITUDE)]


@pytest.fixture(scope="module")
def board(stores: list[Store]) -> Board:
    return gather(stores)


@pytest.fixture(scope="module")
def site(stores: list[Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    write(stores, out)
    return out


# --- ranks ---


def test_checkpoints_of_several_folders_are_ranked_together_best_first(board: Board) -> None:
    kept = [entry.standings[OVERALL].kept.value for entry in board.entries]
    assert len(kept) == 5
    assert kept == sorted(kept, reverse=True)
    assert {entry.checkpoint for entry in board.entries[3:]} == {"rtn-3", "magnitude-0.5"}
    assert all(entry.standings[OVERALL].of == 5 for entry in board.entries)
    assert board.refused == ()


def test_entries_of_two_folders_that_cannot_be_told_apart_share_ranks(board: Board) -> None:
    best, broken = standing_of(board, "rtn-8"), standing_of(board, "rtn-3")
    near = standing_of(board, "magnitude-0.1")
    assert near.page in best.standings[OVERALL].tied
    assert best.standings[OVERALL].best == near.standings[OVERALL].best == 1
    assert broken.standings[OVERALL].best > near.standings[OVERALL].best


def test_the_overall_number_is_the_mean_of_the_families(board: Board) -> None:
    for entry in board.entries:
        families = [entry.standings[family].kept.value for family in board.families]
        assert entry.standings[OVERALL].kept.value == pytest.approx(np.mean(families))
    assert set(board.families) == {"factoid_qa", "multihop_reasoning", "multiple_choice"}


def test_a_family_of_one_task_has_the_recovery_of_its_comparison(board: Board, stores: list[Store]) -> None:
    entry = standing_of(board, "rtn-3")
    single = compare(stores[0], "dense", "rtn-3", "kick_freebaseqa")
    assert entry.standings["factoid_qa"].kept == single.ratio


def test_what_a_base_model_does_not_know_counts_for_nothing(tmp_path: Path) -> None:
    guessing = [float(index % 4 == 0) for index in range(40)]
    scores = {"facts": right(30), "guess": guessing, "hops": [0.0] * 40}
    store = folder(
        tmp_path / "r", {"dense": scores, "small": scores | {"facts": right(15), "hops": right(5)}}
    )
    board = gather([store])
    small = standing_of(board, "small")
    assert board.bases[0].unknown == ("guess", "hops")
    assert small.standings[OVERALL].kept.value == pytest.approx(0.5)
    assert set(small.standings) == {OVERALL, "factoid_qa"}
    assert small.missing == {}


def test_a_checkpoint_without_all_tasks_is_ranked_in_its_families_alone(tmp_path: Path) -> None:
    whole = {"facts": right(30), "hops": right(20)}
    store = folder(tmp_path / "r", {"dense": whole, "done": whole, "part": {"facts": right(25)}})
    board = gather([store])
    part = standing_of(board, "part")
    assert board.incomplete == [part]
    assert set(part.standings) == {"factoid_qa"}
    assert part.missing == {"hops": "not run"}
    assert part.standings["factoid_qa"].of == 2
    assert board.entries[-1] == part


def test_a_task_that_only_another_folder_has_is_missing(tmp_path: Path) -> None:
    one = folder(
        tmp_path / "one", {"dense": {"facts": right(30), "hops": right(20)}, "a": {"facts": right(30)}}
    )
    two = folder(tmp_path / "two", {"dense": {"facts": right(30)}, "b": {"facts": right(20)}})
    assert standing_of(gather([one, two]), "b").missing == {"hops": "not in its suite"}


# --- refusals ---


def test_a_checkpoint_whose_items_were_changed_is_refused_and_the_others_stay(tmp_path: Path) -> None:
    store = results(tmp_path / "r", RTN, tasks=TASKS[:1], items=30)
    damage_items(store, "rtn-4")
    board = gather([store])
    assert [entry.checkpoint for entry in board.entries] != []
    assert "rtn-4" not in [entry.checkpoint for entry in board.entries]
    assert board.refused[0].checkpoints == ("rtn-4",)
    assert board.refused[0].reason.startswith("failed verification: cells/rtn-4/kick_freebaseqa/")
    assert str(tmp_path) not in board.refused[0].reason


def test_nothing_of_a_folder_stands_whose_reference_was_changed(tmp_path: Path) -> None:
    good = results(tmp_path / "good", MAGNITUDE, tasks=TASKS[:1], items=30)
    bad = results(tmp_path / "bad", RTN, tasks=TASKS[:1], items=30)
    damage_items(bad, "dense")
    board = gather([bad, good])
    assert {entry.folder for entry in board.entries} == {"good"}
    assert (board.refused[0].folder, board.refused[0].checkpoints) == ("bad", ())
    assert board.refused[0].reason.startswith("its reference failed verification")


def test_a_folder_that_cannot_be_read_is_refused_as_a_whole(tmp_path: Path) -> None:
    good = results(tmp_path / "good", MAGNITUDE, tasks=TASKS[:1], items=30)
    bad = results(tmp_path / "bad", RTN, tasks=TASKS[:1], items=30)
    (bad.root / "suite.yaml").write_text("- not\n- a mapping\n")
    board = gather([good, bad])
    assert [one.who for one in board.refused] == ["all of the folder"]
    assert "suite.yaml is damaged" in board.refused[0].reason


def test_another_plan_than_the_boards_is_refused_with_what_differs(tmp_path: Path) -> None:
    first = results(tmp_path / "first", MAGNITUDE, tasks=TASKS[:1], items=30)
    other = results(tmp_path / "other", RTN, tasks=TASKS[:1], items=20)
    board = gather([first, other])
    assert board.refused[0].checkpoints == ("rtn-8", "rtn-4", "rtn-3")
    assert "another plan than the board's: kick_freebaseqa" in board.refused[0].reason
    assert "items 30 | 20" in board.refused[0].reason
    assert {entry.folder for entry in gather([other, first]).entries} == {"other"}


@pytest.mark.parametrize(("tokenizer", "admitted"), [("another", True), ("the same", False)])
def test_other_tokens_are_another_plan_unless_the_tokenizer_is_another(
    tmp_path: Path, tokenizer: str, admitted: bool
) -> None:
    scores = {"dense": {"facts": right(30)}, "a": {"facts": right(20)}}
    one = folder(tmp_path / "one", scores, tokenizer="the same")
    renamed = {"dense": scores["dense"], "b": scores["a"]}
    two = folder(tmp_path / "two", renamed, tokenizer=tokenizer, plan={"hash": "other tokens"})
    board = gather([one, two])
    assert ("b" in [entry.checkpoint for entry in board.entries]) is admitted
    assert bool(board.refused) is not admitted


def test_the_same_weights_stand_once(tmp_path: Path) -> None:
    one = results(tmp_path / "one", RTN, tasks=TASKS[:1], items=30)
    two = results(tmp_path / "two", {"dense": 0.0, "rtn-8": 0.0}, tasks=TASKS[:1], items=30)
    board = gather([one, two])
    assert len(board.entries) == 3
    assert board.refused[0].reason == "the board has the same weights already: rtn-8 of one"


def test_a_folder_given_twice_is_an_error(stores: list[Store]) -> None:
    with pytest.raises(InputError, match="given twice"):
        gather([stores[0], stores[0]])


def test_a_board_with_nothing_on_it_is_not_written(tmp_path: Path) -> None:
    store = folder(tmp_path / "r", {"dense": {"facts": right(30)}})
    with pytest.raises(InputError, match="nothing can be on the leaderboard"):
        write([store], tmp_path / "site")
    assert not (tmp_path / "site").exists()


# --- the site ---


class Links(HTMLParser):
    """The addresses on a page, and whether its tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [str(found[name]) for name in ("href", "src") if name in found]
        self.ids += [str(found["id"])] if "id" in found else []
        assert not any(name.startswith("on") or name == "style" for name in found)
        if tag not in ("meta", "input", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_entry_has_a_page_a_badge_json_and_csv(site: Path, board: Board) -> None:
    expected = {"index.html", "index.json", "index.csv", MANIFEST}
    for entry in board.entries:
        expected |= {f"checkpoints/{entry.page}.{kind}" for kind in ("html", "json", "csv")}
        expected.add(f"badges/{entry.page}.svg")
    assert {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()} == expected


def test_who_vouches_for_the_files_of_a_folder_is_shown(tmp_path: Path) -> None:
    unknown, checksummed = results(tmp_path / "one", RTN), results(tmp_path / "two", MAGNITUDE)
    write_manifest(checksummed)
    board = write([unknown, checksummed], tmp_path / "site")
    index = json.loads((tmp_path / "site" / "index.json").read_text())
    assert index["origins"] == {
        "one": {"kind": "unknown", "note": "no manifest"},
        "two": {"kind": "checksummed", "note": "not signed"},
    }
    page = tmp_path / "site" / "checkpoints" / f"{standing_of(board, 'magnitude-0.1').page}.html"
    assert "Its files: checksummed (not signed)." in page.read_text()


def test_a_folder_that_a_trusted_key_signed_is_shown_as_signed(tmp_path: Path) -> None:
    mine, other = make_keys(tmp_path, "mine"), make_keys(tmp_path, "other")
    ours, theirs = results(tmp_path / "one", RTN), results(tmp_path / "two", MAGNITUDE)
    sign_manifest(ours, mine.secret)
    sign_manifest(theirs, other.secret)
    key = read_public_key(str(mine.public))
    write([ours, theirs], tmp_path / "site", [key])
    index = json.loads((tmp_path / "site" / "index.json").read_text())
    assert index["origins"] == {
        "one": {"kind": "signed", "note": f"by {key.id}"},
        "two": {"kind": "checksummed", "note": "not signed by a key that was given"},
    }
    assert f"by {key.id}" in (tmp_path / "site" / "index.html").read_text()


def test_pages_nest_and_lead_nowhere_but_into_the_site(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Links(path.read_text(encoding="utf-8"))
        assert page.open == []
        assert len(page.ids) == len(set(page.ids))
        for address in page.addresses:
            name, _, anchor = address.partition("#")
            if address.startswith("data:image/"):
                continue
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), address
            assert target.is_relative_to(site.resolve())
            assert not anchor or f'id="{anchor}"' in target.read_text(encoding="utf-8")


def test_the_index_states_how_ranks_are_made(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "Overall: the mean over the families" in page
    assert "Holm" in page


def test_a_checkpoints_page_has_its_description_curve_and_provenance(site: Path, board: Board) -> None:
    entry = standing_of(board, "rtn-4")
    page = (site / "checkpoints" / f"{entry.page}.html").read_text(encoding="utf-8")
    for wanted in ("bits per weight", "data:image/svg+xml", entry.fingerprint[:16], "transformers 5.17.0"):
        assert wanted in page


def test_the_data_beside_the_index_say_what_it_says(site: Path, board: Board) -> None:
    data = json.loads((site / "index.json").read_text())
    table = pd.read_csv(site / "index.csv")
    assert [row["checkpoint"] for row in data["entries"]] == [entry.checkpoint for entry in board.entries]
    assert list(table["checkpoint"]) == [entry.checkpoint for entry in board.entries]
    best = board.entries[0].standings[OVERALL]
    assert data["entries"][0]["standings"][OVERALL]["worst"] == table["overall_rank_worst"][0] == best.worst
    assert table["overall"][0] == pytest.approx(best.kept.value, rel=1e-5)
    assert data["tasks"][0]["plan"]["items"] == 120


def test_the_data_beside_a_page_hold_the_comparisons(site: Path, board: Board) -> None:
    entry = board.entries[0]
    data = json.loads((site / "checkpoints" / f"{entry.page}.json").read_text())
    assert set(data["entry"]["comparisons"]) == set(TASKS)
    rows = pd.read_csv(site / "checkpoints" / f"{entry.page}.csv")
    assert set(rows["checkpoint"]) == {"dense", entry.checkpoint}


def test_badges_are_pictures_that_say_what_is_kept(site: Path, board: Board) -> None:
    fills = {}
    for entry in board.entries:
        root = ElementTree.fromstring((site / "badges" / f"{entry.page}.svg").read_text(encoding="utf-8"))
        words = "".join(root.itertext())
        kept = entry.standings[OVERALL].kept
        assert f"{100 * kept.value:.0f}" in words
        assert "knowledge kept" in str(root.get("aria-label"))
        fills[entry.checkpoint] = [
            rect.get("fill") for rect in root.iter("{http://www.w3.org/2000/svg}rect")
        ][-1]
    assert fills["rtn-3"] != fills["rtn-8"]


def test_equal_results_give_an_equal_site(stores: list[Store], site: Path, tmp_path: Path) -> None:
    write(stores, tmp_path)
    for path in site.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(site)).read_bytes() == path.read_bytes(), path.name


def test_a_later_board_removes_pages_that_are_gone_and_no_other_file(tmp_path: Path) -> None:
    two = folder(
        tmp_path / "two",
        {"dense": {"facts": right(30)}, "a": {"facts": right(20)}, "b": {"facts": right(10)}},
    )
    one = folder(tmp_path / "one", {"dense": {"facts": right(30)}, "a": {"facts": right(20)}})
    site = tmp_path / "site"
    before = {entry.checkpoint: entry.page for entry in write([two], site).entries}
    (site / "CNAME").write_text("board.example")
    after = {entry.checkpoint: entry.page for entry in write([one], site).entries}
    assert after == {"a": before["a"]}  # links to it last
    assert sorted(path.name for path in (site / "badges").iterdir()) == [f"{after['a']}.svg"]
    assert (site / "CNAME").read_text() == "board.example"


def test_another_sites_page_is_not_overwritten(tmp_path: Path) -> None:
    store = folder(tmp_path / "r", {"dense": {"facts": right(30)}, "a": {"facts": right(20)}})
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>My home page</h1>")
    with pytest.raises(InputError, match="kick did not write: index.html"):
        write([store], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_text() == "<h1>My home page</h1>"


def test_foreign_names_are_text_everywhere(tmp_path: Path) -> None:
    store = folder(tmp_path / "r", {"dense": {"facts": right(30)}, "small": {"facts": right(20)}})
    for name, model in (("dense", "=HYPERLINK(1)"), ("small", f"</script><b>{HOSTILE}")):
        record = store.checkpoint(name)
        assert record
        renamed = record.checkpoint.model_copy(update={"model": model})
        store.write_checkpoint(record.model_copy(update={"checkpoint": renamed}))
    site = tmp_path / "site"
    (entry,) = write([store], site).entries
    for path in site.rglob("*.html"):
        page = Links(path.read_text(encoding="utf-8"))
        assert page.open == []
        assert not {"x", "alert(1)"} & set(page.addresses)
        assert HOSTILE not in path.read_text(encoding="utf-8")
    ElementTree.fromstring((site / "badges" / f"{entry.page}.svg").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[A-Za-z0-9-]+", entry.page)
    assert "'=HYPERLINK(1)" in (site / "index.csv").read_text(encoding="utf-8")


def test_the_site_says_nothing_of_where_things_lie_on_this_machine(tmp_path: Path) -> None:
    store = folder(
        tmp_path / "r", {"dense": {"facts": right(30)}, "a": {"facts": right(20), "hops": right(9)}}
    )
    for name in ("dense", "a"):
        record = store.checkpoint(name)
        assert record
        local = record.checkpoint.model_copy(update={"model": str(tmp_path / "models" / name)})
        store.write_checkpoint(record.model_copy(update={"checkpoint": local}))
    board = write([store], tmp_path / "site")
    assert board.entries[0].base == "dense"
    for path in (tmp_path / "site").rglob("*.*"):
        if path.is_file():
            assert str(tmp_path) not in path.read_text(encoding="utf-8"), path.name
