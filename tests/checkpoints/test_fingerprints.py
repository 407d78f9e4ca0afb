import os
import shutil
from pathlib import Path

import pytest
from torch import Tensor

from kick.checkpoints import fingerprint, tokenizer_fingerprint
from kick.errors import InputError
from tests.checkpoints.edits import Q_PROJ, edit_json, edit_weights


def test_the_folders_name_and_the_files_dates_do_not_matter(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    for path in copy.iterdir():
        os.utime(path, (0, 0))
    assert fingerprint(copy) == fingerprint(folder)
    assert tokenizer_fingerprint(copy) == tokenizer_fingerprint(folder)


def test_one_changed_weight_is_another_model_with_the_same_tokenizer(folder: Path) -> None:
    before = fingerprint(folder), tokenizer_fingerprint(folder)

    def nudge(tensors: dict[str, Tensor]) -> None:
        tensors[Q_PROJ][3, 5] *= 1.001

    edit_weights(folder, nudge)
    assert fingerprint(folder) != before[0]
    assert tokenizer_fingerprint(folder) == before[1]


def test_fields_that_record_versions_and_paths_do_not_matter(folder: Path) -> None:
    before = fingerprint(folder)
    edit_json(folder / "config.json", transformers_version="9.9", _name_or_path="/somewhere")
    edit_json(folder / "tokenizer_config.json", name_or_path="/somewhere", is_local=True)
    assert fingerprint(folder) == before


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_any_other_field_matters(name: str, folder: Path) -> None:
    before = fingerprint(folder)
    edit_json(folder / name, eos_token_id=7)
    assert fingerprint(folder) != before


def test_a_chat_template_is_part_of_the_tokenizer(folder: Path) -> None:
    before = fingerprint(folder), tokenizer_fingerprint(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert fingerprint(folder) != before[0]
    assert tokenizer_fingerprint(folder) != before[1]


def test_the_same_bytes_under_another_name_are_another_tokenizer(folder: Path) -> None:
    (folder / "draft.jinja").write_text("{{ messages }}")
    before = tokenizer_fingerprint(folder)
    (folder / "draft.jinja").rename(folder / "chat_template.jinja")
    assert tokenizer_fingerprint(folder) != before


def test_files_that_nothing_loads_do_not_matter(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "README.md").write_text("a model")
    (folder / "training_args.bin").write_bytes(b"1")
    (folder / "kick.json").write_text("{}")
    assert fingerprint(folder) == before


def test_a_folder_without_a_checkpoint_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is missing"):
        fingerprint(tmp_path)
    with pytest.raises(InputError, match="holds no tokenizer"):
        tokenizer_fingerprint(tmp_path)
