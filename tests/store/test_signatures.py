"""Signed manifests: who vouches for the files of a results folder, by keys that minisign made."""

import base64
from pathlib import Path

import pytest

from kick.errors import InputError
from kick.store import Store
from kick.store.manifest import write_manifest
from kick.store.signatures import check_signature, find_origin, read_public_key, sign_manifest
from tests.store.folders import make_whole
from tests.store.signing import make_keys

LINE = base64.b64encode(b"Ed" + bytes(range(8)) + bytes(32)).decode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_whole(tmp_path / "results")


def test_a_signature_fits_its_key_and_no_other(store: Store, tmp_path: Path) -> None:
    mine, other = make_keys(tmp_path, "mine"), make_keys(tmp_path, "other")
    sign_manifest(store, mine.secret)
    keys = [read_public_key(str(one.public)) for one in (other, mine)]
    assert check_signature(store, keys)[1] == keys[1]
    assert check_signature(store, keys[:1])[1] is None
    assert store.verify() == []
    assert str(find_origin(store, keys)) == f"signed (by {keys[1].id})"
    assert str(find_origin(store, keys[:1])) == "checksummed (not signed by a key that was given)"
    assert str(find_origin(store, ())) == "checksummed (signed, and no key was given to check it)"


def test_a_manifest_that_a_stranger_wrote_anew_is_not_signed(store: Store, tmp_path: Path) -> None:
    mine = make_keys(tmp_path, "mine")
    sign_manifest(store, mine.secret)
    keys = [read_public_key(str(mine.public))]
    (store.root / "notes.txt").write_text("theirs")
    assert str(find_origin(store, keys)) == "unknown (1 files are not those of its manifest)"
    write_manifest(store)
    assert str(find_origin(store, keys)) == "checksummed (not signed by a key that was given)"
    (store.root / "manifest.json").write_text("{}")
    assert str(find_origin(store, keys)) == "unknown (its manifest is not the one that was written)"


@pytest.mark.parametrize("content", [b"", b"untrusted comment: x\n", bytes(1_000), b"x" * 10**6])
def test_a_file_that_is_no_signature_signs_nothing(content: bytes, store: Store, tmp_path: Path) -> None:
    keys = [read_public_key(str(make_keys(tmp_path, "mine").public))]
    write_manifest(store)
    (store.root / "manifest.json.minisig").write_bytes(content)
    assert find_origin(store, keys).kind in ("checksummed", "unknown")


def test_a_folder_without_signature_needs_no_minisign(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert str(find_origin(store, ())) == "unknown (no manifest)"
    write_manifest(store)
    assert str(find_origin(store, ())) == "checksummed (not signed)"


def test_no_manifest_is_written_if_it_cannot_be_signed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="minisign, which signs and checks manifests, is not installed"):
        sign_manifest(store, tmp_path / "mine.key")
    assert not (store.root / "manifest.json").exists()


def test_minisign_that_does_not_sign_is_one_message(store: Store, tmp_path: Path) -> None:
    public = make_keys(tmp_path, "mine").public
    with pytest.raises(InputError, match=r"did not sign .*manifest\.json with .*mine\.pub"):
        sign_manifest(store, public)
    assert not (store.root / "manifest.json.minisig").exists()


def test_a_public_key_is_read_from_its_line_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.pub"
    file.write_text(f"untrusted comment: minisign public key 0706050403020100\n{LINE}\n")
    assert read_public_key(LINE) == read_public_key(str(file))
    assert read_public_key(LINE).id == "0706050403020100"


@pytest.mark.parametrize("given", ["", "RW", "x" * 5_000, "minisign.pub", LINE[:-4], "\x00", "RW\u00e9"])
def test_whatever_is_no_public_key_is_refused(given: str) -> None:
    with pytest.raises(InputError, match="is not a public key of minisign"):
        read_public_key(given)
