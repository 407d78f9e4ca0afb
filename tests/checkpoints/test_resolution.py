from pathlib import Path

import pytest

from kick.checkpoints import locate, resolve
from kick.errors import InputError
from kick.types import Checkpoint

SHA = "0123456789abcdef0123456789abcdef01234567"


def test_a_local_folder_is_taken_as_it_is(tiny_llama: Path) -> None:
    assert resolve(Checkpoint(id="dense", model=str(tiny_llama))) == tiny_llama
    assert locate(str(tiny_llama)) == tiny_llama


def test_a_hub_id_without_a_revision_is_asked_to_be_pinned() -> None:
    with pytest.raises(InputError, match=r"'dense'.*needs a revision.*Pin one"):
        resolve(Checkpoint(id="dense", model="owner/name"))


@pytest.mark.parametrize("model", ["./nowhere", "/no/such/folder", "a/b/c", "~/nowhere-at-all"])
def test_a_path_that_does_not_exist_is_not_looked_up_on_the_hub(model: str) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        resolve(Checkpoint(id="dense", model=model, revision=SHA))


def test_a_file_is_no_folder(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is a file"):
        resolve(Checkpoint(id="dense", model=str(tiny_llama / "config.json")))


def test_without_a_network_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=f"owner/name at revision {SHA} is not whole in the hub's cache.*HF_HUB_OFFLINE"
    ):
        locate(f"owner/name@{SHA}")


def test_a_model_in_the_hubs_cache_is_found_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--owner--name" / "snapshots" / SHA
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert locate(f"owner/name@{SHA}") == cached
