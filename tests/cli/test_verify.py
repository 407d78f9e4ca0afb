import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kick.store import Store
from tests.store.folders import make_whole
from tests.store.signing import make_keys

Kick = Callable[..., int]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_whole(tmp_path / "results")


def test_a_whole_folder_is_said_to_be_whole(
    kick: Kick, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("verify", store.root) == 0
    assert capsys.readouterr().out == "3 cells, and every other file, are what was written\n"


def test_a_damaged_suite_is_found_moved_aside_and_its_way_back_is_named(
    kick: Kick, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.root / "suite.yaml"
    path.write_bytes(b"\xff" + path.read_bytes())
    assert kick("verify", store.root) == 1
    assert "suite.yaml is damaged: it is not UTF-8 text (byte 0)" in capsys.readouterr().out
    assert kick("verify", store.root, "--repair", "--json") == 0
    (moved,) = json.loads(capsys.readouterr().out)["moved"]
    assert moved["path"] == "suite.yaml"
    assert moved["next_run"] == "the next run writes it again"
    assert (store.root / moved["to"]).is_file()


def test_what_the_next_run_scores_again_is_said(
    kick: Kick, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    next(store.root.glob("cells/small/facts/*/items.parquet")).write_bytes(b"")
    assert kick("verify", store.root, "--repair") == 0
    printed = capsys.readouterr().out
    assert "moved to " in printed
    assert "the next run scores facts of small again" in printed
    assert "small on facts: not scored yet" in printed
    assert kick("verify", store.root) == 1


def test_a_manifest_is_written_and_compared(
    kick: Kick, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("verify", store.root, "--manifest", "check") == 2
    assert "`kick verify --manifest write` makes it" in capsys.readouterr().err
    assert kick("verify", store.root, "--manifest", "write") == 0
    assert kick("verify", store.root, "--manifest", "check") == 0
    (store.root / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert kick("verify", store.root) == 0
    assert "notes.txt is not a file of kick; nothing reads it" in capsys.readouterr().out
    assert kick("verify", store.root, "--manifest", "check") == 1
    assert "notes.txt is in the folder and not in the manifest" in capsys.readouterr().out


def test_a_manifest_is_signed_and_its_signature_is_checked(
    kick: Kick, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = make_keys(tmp_path, "mine"), make_keys(tmp_path, "other")
    assert kick("verify", store.root, "--signed-by", mine.public) == 2
    assert "manifest.json is missing" in capsys.readouterr().err
    assert kick("verify", store.root, "--sign", mine.secret) == 0
    capsys.readouterr()
    assert kick("verify", store.root, "--signed-by", other.public, "--signed-by", mine.public) == 0
    assert "are what was written, and signed by " in capsys.readouterr().out
    assert kick("verify", store.root, "--signed-by", other.public, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["signed_by"] is None
    assert document["problems"] == [f"{store.root}/manifest.json is not signed by a key that was given."]
    (store.root / "notes.txt").write_text("mine")
    assert kick("verify", store.root, "--signed-by", mine.public) == 1
    assert "notes.txt is in the folder and not in the manifest" in capsys.readouterr().out


def test_a_damaged_manifest_is_found_and_moved_aside(
    kick: Kick, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("verify", store.root, "--manifest", "write") == 0
    manifest = store.root / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-10])
    assert kick("verify", store.root) == 1
    assert kick("verify", store.root, "--repair") == 0
    assert "`kick verify --manifest write` makes it again" in capsys.readouterr().out
    assert kick("verify", store.root) == 0
    assert not manifest.exists()


def test_what_is_no_public_key_is_refused(
    kick: Kick, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kick("verify", store.root, "--signed-by", "nobody.pub") == 2
    assert "'nobody.pub' is not a public key of minisign" in capsys.readouterr().err
