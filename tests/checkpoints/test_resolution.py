"""References to models become files: local ones as they are, those on the hub from its cache or by download."""

from pathlib import Path

import pytest

from kick.checkpoints import resolve
from kick.errors import InputError
from kick.types import ModelReference

SHA = "0123456789abcdef0123456789abcdef01234567"
ON_HUB = ModelReference(repository="owner/name", revision=SHA)


def test_a_local_folder_is_taken_as_it_is(tiny_llama: Path) -> None:
    assert resolve(ModelReference(path=str(tiny_llama))) == tiny_llama


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder or file .*gone"):
        resolve(ModelReference(path=str(tmp_path / "gone")))


def test_without_a_network_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError,
        match=f"owner/name at revision {SHA} could not be fetched.* not whole in the hub's cache.*HF_HUB_OFFLINE",
    ):
        resolve(ON_HUB)


def test_a_model_in_the_hubs_cache_is_found_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--owner--name" / "snapshots" / SHA
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve(ON_HUB) == cached
