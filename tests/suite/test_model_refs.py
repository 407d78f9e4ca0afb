"""One grammar for folders, files and hub ids."""

from pathlib import Path

import pytest

from kick.errors import InputError
from kick.suite.model_refs import local_path, parse_folder, parse_model
from kick.types import ModelReference

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "repository", "file"),
    [
        ("owner/name", "owner/name", None),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", None),
        ("owner/name/model-q8_0.gguf", "owner/name", "model-q8_0.gguf"),
        ("owner/name/folder/model.gguf", "owner/name", "folder/model.gguf"),
    ],
)
def test_a_hub_id_is_pinned_in_its_text_or_beside_it(text: str, repository: str, file: str | None) -> None:
    expected = ModelReference(repository=repository, file=file, revision=SHA)
    assert parse_model(f"{text}@{SHA}", "model") == expected
    assert parse_model(text, "model", revision=SHA) == expected
    assert (expected.name, expected.text) == (text, f"{text}@{SHA}")
    with pytest.raises(InputError, match=f"model: .*'{text}' is not pinned. Add `revision:`"):
        parse_model(text, "model")


@pytest.mark.parametrize(
    "text",
    [
        "./nowhere",
        "/no/such/folder",
        "a/b/c",
        "~/nowhere-at-all",
        "~nobody-at-all/model",
        "name",
        "owner/name@",
        "owner/../x.gguf",
        "owner/name/../../x.gguf",
        "../owner/name",
        "owner/name@a b",
        "owner/name.gguf/",
        "\0",
    ],
)
def test_what_is_neither_here_nor_a_hub_id_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="model: .* is not a folder or .gguf file. Give"):
        parse_model(text, "model", revision=SHA)


def test_a_local_model_is_taken_before_a_hub_id_and_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "owner" / "name@main").mkdir(parents=True)
    (tmp_path / "model.gguf").touch()
    (tmp_path / "notes.txt").touch()
    assert parse_model("owner/name@main", "model", folder=tmp_path).path == str(tmp_path / "owner/name@main")
    assert parse_model("model.gguf", "model", folder=tmp_path).path == str(tmp_path / "model.gguf")
    with pytest.raises(InputError, match=r"notes\.txt is a file"):
        parse_model("notes.txt", "model", folder=tmp_path)
    with pytest.raises(InputError, match="has no revision. Remove `revision`"):
        parse_model("model.gguf", "model", folder=tmp_path, revision=SHA)


def test_two_revisions_of_one_model_are_refused() -> None:
    with pytest.raises(InputError, match="names a revision, and `revision` another one"):
        parse_model("owner/name@abc", "model", revision="def")


def test_a_tokenizer_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    assert parse_folder("owner/name@abc", "tokenizer").text == "owner/name@abc"
    for text in ("model.gguf", "owner/name/model.gguf@abc"):
        with pytest.raises(InputError, match="tokenizer: .*gguf is not a folder"):
            parse_folder(text, "tokenizer", folder=tmp_path)


def test_a_path_that_climbs_is_shown_without_its_detour(tmp_path: Path) -> None:
    (tmp_path / "suites" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "snapshot").mkdir(parents=True)
    (tmp_path / "models" / "dense").symlink_to("snapshot")

    path = local_path("../../models/dense", tmp_path / "suites" / "mine")

    # The name that the user gave stays, though it is a symlink.
    assert path == tmp_path.resolve() / "models" / "dense"


def test_a_path_that_climbs_out_of_a_symlink_climbs_from_its_target(tmp_path: Path) -> None:
    (tmp_path / "far" / "suites").mkdir(parents=True)
    (tmp_path / "far" / "dense").mkdir()
    (tmp_path / "suites").symlink_to(tmp_path / "far" / "suites")

    assert local_path("../dense", tmp_path / "suites") == tmp_path.resolve() / "far" / "dense"
