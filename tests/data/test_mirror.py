"""A mirror filled from a hub on this machine: complete, unchanged, and never half written."""

import gzip
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import huggingface_hub
import pandas as pd
import pyarrow.parquet as pq
import pytest

from kick.data import datasets, mirror
from kick.data.corpora import load_corpus
from kick.data.mirror import FileState, check, pull, split_files
from kick.errors import InputError
from kick.execution.data_sets import needs
from kick.files import file_sha256
from kick.suite import Suite
from kick.suite.catalog import read_catalog
from tests.data_root import make_data_root
from tests.hub import Hub, serve

SQUAD = "rajpurkar__squad/plain_text/validation.parquet"
POPQA = "akariasai__PopQA/default/test.parquet"
MUSIQUE = "dgslibisey__MuSiQue/default/validation.parquet"
C4 = "allenai__c4/en/validation.parquet"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root that the hub's files are made of."""
    return make_data_root(tmp_path_factory.mktemp("source"))


@pytest.fixture
def hub(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the files of three data sets and of C4, each named as on the real one."""
    root = tmp_path / "hub"
    for file, name in (
        (SQUAD, "rajpurkar/squad/plain_text/validation-00000-of-00001.parquet"),
        (SQUAD, "rajpurkar/squad/plain_text/train-00000-of-00001.parquet"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, root / name)
    (root / "akariasai/PopQA").mkdir(parents=True)
    pd.read_parquet(source / POPQA).to_csv(root / "akariasai/PopQA/test.tsv", sep="\t", index=False)
    (root / "dgslibisey/MuSiQue").mkdir(parents=True)
    rows = pq.read_table(source / MUSIQUE).to_pylist()
    for split in ("dev", "train"):
        lines = "\n".join(json.dumps(row) for row in rows)
        (root / f"dgslibisey/MuSiQue/musique_ans_v1.0_{split}.jsonl").write_text(lines + "\n")
    (root / "allenai/c4/en").mkdir(parents=True)
    with gzip.open(root / "allenai/c4/en/c4-validation.00000-of-00008.json.gz", "wt") as shard:
        for at in range(1200):
            shard.write(json.dumps({"text": f"document {at}", "timestamp": "2019", "url": "u"}) + "\n")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(mirror, "PUBLISHED", {})  # the real files' checksums
    with serve(root) as served:
        monkeypatch.setattr(mirror, "HfApi", partial(huggingface_hub.HfApi, endpoint=served.url))
        yield served


def suite(folder: Path, *tasks: str, datasets: tuple[str, ...] = ()) -> Suite:
    (folder / "model").mkdir(exist_ok=True)
    keys = {
        "name": "mirrored",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(folder / "model")}],
        "tasks": list(tasks),
    }
    more = {"perplexity": {"datasets": list(datasets)}} if datasets else {}
    return Suite.from_keys({**keys, **more}, where="test", folder=folder)


def states(found: list[FileState]) -> dict[str, str]:
    return {state.file: state.state for state in found}


def quiet(_line: str) -> None:
    pass


def test_a_pulled_mirror_is_complete_and_holds_what_the_hub_has(
    hub: Hub, source: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mirror"
    needed = needs(suite(tmp_path, "kick_squad", "kick_popqa", "kick_musique", datasets=("c4",)))
    pulled = pull(needed, root, quiet)
    assert states(pulled) == dict.fromkeys((SQUAD, POPQA, MUSIQUE, C4), "unchanged")
    assert (root / SQUAD).read_bytes() == (source / SQUAD).read_bytes()
    assert pq.read_table(root / POPQA).to_pylist() == pq.read_table(source / POPQA).to_pylist()
    assert pq.read_table(root / MUSIQUE).to_pylist() == pq.read_table(source / MUSIQUE).to_pylist()
    text = load_corpus("c4", root).text
    assert text.startswith("document 0 document 1 ")
    assert text.endswith(" document 1099")
    assert check(needed, root) == pulled
    assert sorted(path.name for path in root.iterdir() if path.name.startswith((".", "kick"))) == [
        "kick-data.json"
    ]


def test_a_second_pull_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    needed = needs(suite(tmp_path, "kick_squad"))
    pull(needed, tmp_path / "mirror", quiet)
    hub.requests.clear()
    assert states(pull(needed, tmp_path / "mirror", quiet)) == {SQUAD: "unchanged"}
    assert hub.requests == []


def test_a_changed_file_is_told_and_fetched_again(hub: Hub, tmp_path: Path) -> None:
    needed, root = needs(suite(tmp_path, "kick_squad")), tmp_path / "mirror"
    pull(needed, root, quiet)
    (root / SQUAD).write_bytes((root / SQUAD).read_bytes()[:-1] + b"?")
    assert states(check(needed, root)) == {SQUAD: "changed"}
    assert states(pull(needed, root, quiet)) == {SQUAD: "unchanged"}


def test_a_file_that_is_gone_is_missing(hub: Hub, tmp_path: Path) -> None:
    needed, root = needs(suite(tmp_path, "kick_squad")), tmp_path / "mirror"
    pull(needed, root, quiet)
    (root / SQUAD).unlink()
    assert states(check(needed, root)) == {SQUAD: "missing"}


def test_a_file_of_another_commit_is_told(hub: Hub, tmp_path: Path) -> None:
    needed, root = needs(suite(tmp_path, "kick_squad")), tmp_path / "mirror"
    pull(needed, root, quiet)
    manifest = root / "kick-data.json"
    manifest.write_text(manifest.read_text().replace("7b6d24c440a3", "000000000000"))
    assert states(check(needed, root)) == {SQUAD: "other commit"}
    assert states(pull(needed, root, quiet)) == {SQUAD: "unchanged"}


def test_a_download_that_breaks_off_leaves_nothing_half_written(hub: Hub, tmp_path: Path) -> None:
    needed, root = needs(suite(tmp_path, "kick_popqa", "kick_squad")), tmp_path / "mirror"
    hub.broken.add("validation-00000-of-00001.parquet")
    message = r"rajpurkar/squad \(plain_text, validation\) at commit \w+ could not be fetched"
    with pytest.raises(InputError, match=message):
        pull(needed, root, quiet)
    assert states(check(needed, root)) == {POPQA: "unchanged", SQUAD: "missing"}
    hub.broken.clear()
    assert states(pull(needed, root, quiet)) == {POPQA: "unchanged", SQUAD: "unchanged"}


@pytest.mark.parametrize(
    ("task", "name"),
    [("kick_squad", "validation-00000-of-00001.parquet"), ("kick_popqa", "test.tsv")],
)
def test_a_file_with_another_checksum_than_stated_is_refused(
    hub: Hub, tmp_path: Path, task: str, name: str
) -> None:
    needed, root = needs(suite(tmp_path, task)), tmp_path / "mirror"
    hub.mistaken.add(name)
    with pytest.raises(InputError, match=f"{name} is not the published file"):
        pull(needed, root, quiet)
    assert states(check(needed, root)) == {needed[0].file: "missing"}


def test_a_file_whose_published_checksum_is_known_must_have_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PUBLISHED", {("akariasai/PopQA", "test.tsv"): "0" * 64})
    with pytest.raises(InputError, match=r"test\.tsv is not the published file"):
        pull(needs(suite(tmp_path, "kick_popqa")), tmp_path / "mirror", quiet)


def test_freebaseqa_must_have_its_git_blob_hash(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        datasets, "FREEBASEQA_URL", (source / "freebaseqa").as_uri() + "/FreebaseQA-{split}.json"
    )
    needed, root = needs(suite(tmp_path, "kick_freebaseqa")), tmp_path / "mirror"
    with pytest.raises(InputError, match="is not the published file: its git blob hash is"):
        pull(needed, root, quiet)
    assert set(states(check(needed, root)).values()) == {"missing"}
    for split in ("dev", "eval"):
        content = (source / f"freebaseqa/FreebaseQA-{split}.json").read_bytes()
        monkeypatch.setitem(datasets.FREEBASEQA_BLOBS, split, datasets.git_blob_hash(content))
    assert set(states(pull(needed, root, quiet)).values()) == {"unchanged"}
    (root / "kick-data.json").unlink()
    assert set(states(check(needed, root)).values()) == {"published"}


def test_a_file_that_pull_did_not_write_is_not_replaced(hub: Hub, source: Path, tmp_path: Path) -> None:
    needed, root = needs(suite(tmp_path, "kick_squad")), tmp_path / "mirror"
    (root / SQUAD).parent.mkdir(parents=True)
    (root / SQUAD).write_bytes(b"mine")
    with pytest.raises(InputError, match="was not written by `kick data pull`"):
        pull(needed, root, quiet)
    assert (root / SQUAD).read_bytes() == b"mine"


def test_files_without_a_manifest_are_judged_by_the_checksums_that_are_known(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = needs(suite(tmp_path, "kick_squad"))
    assert states(check(needed, source)) == {SQUAD: "unknown"}
    name = ("rajpurkar/squad", "plain_text/validation-00000-of-00001.parquet")
    monkeypatch.setattr(mirror, "PUBLISHED", {name: file_sha256(source / SQUAD)})
    assert states(check(needed, source)) == {SQUAD: "published"}
    monkeypatch.setattr(mirror, "PUBLISHED", {name: "0" * 64})
    assert states(check(needed, source)) == {SQUAD: "not published"}


def test_what_no_hub_has_stays_missing(tmp_path: Path) -> None:
    found = pull(needs(suite(tmp_path, "kick_nq_gold")), tmp_path / "mirror", quiet)
    assert states(found) == {"nq_open_oracle/default/validation.parquet": "missing"}


def test_a_task_that_loads_its_own_data_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "own.yaml").write_text("task: own\ndataset_path: a/b\nmetric_list: [{metric: acc}]\n")
    keys = {
        "name": "own",
        "reference": "dense",
        "checkpoints": [{"id": "dense", "model": str(tmp_path)}],
        "tasks": ["own"],
        "include_path": [str(folder)],
    }
    with pytest.raises(InputError, match="own loads its data by lm-eval's dataset_path"):
        needs(Suite.from_keys(keys, where="test", folder=tmp_path))


def test_every_task_of_kick_says_which_files_it_reads(source: Path, tmp_path: Path) -> None:
    tasks = [name for name in read_catalog().tasks if not name.startswith("kick_world")]
    needed = needs(suite(tmp_path, *tasks))
    assert needed
    for need in needed:
        assert (source / need.file).is_file(), need.file


@pytest.mark.parametrize(
    ("names", "config", "split", "expected"),
    [
        (["all/dev-00000-of-00001.parquet", "all/test-00000-of-00001.parquet", "virology/test-0.parquet"],
         "all", "test", ["all/test-00000-of-00001.parquet"]),
        (["data/train-00000-of-00001-506370352f622815.parquet", "train.json"], "default", "train",
         ["data/train-00000-of-00001-506370352f622815.parquet"]),
        (["rc/validation-00001-of-00002.parquet", "rc/validation-00000-of-00002.parquet"], "rc", "validation",
         ["rc/validation-00000-of-00002.parquet", "rc/validation-00001-of-00002.parquet"]),
        (["musique_ans_v1.0_dev.jsonl", "musique_ans_v1.0_train.jsonl"], "default", "validation",
         ["musique_ans_v1.0_dev.jsonl"]),
        (["README.md", "test.tsv"], "default", "test", ["test.tsv"]),
        (["README.md"], "default", "test", []),
    ],
)  # fmt: skip
def test_the_files_of_a_split_are_found_by_the_hubs_customs(
    names: list[str], config: str, split: str, expected: list[str]
) -> None:
    assert split_files(names, config, split) == tuple(expected)


def test_two_files_that_could_be_a_split_are_not_guessed_at() -> None:
    with pytest.raises(InputError, match="several files could be the split 'test'"):
        split_files(["test.tsv", "test.jsonl"], "default", "test")
