import json
from pathlib import Path

import datasets as hf_datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kick.data import datasets
from kick.data.mmlu_subjects import CATEGORIES
from kick.errors import InputError
from tests.data_root import make_data_root

SQUAD = {"path": "rajpurkar/squad", "name": "plain_text", "commit": "a" * 40, "splits": ["validation"]}
MMLU = {"path": "cais/mmlu", "name": "all", "commit": "a" * 40, "splits": ["test"], "shots_split": "dev"}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_data_root(tmp_path_factory.mktemp("data")))


def test_a_split_holds_the_rows_of_its_file(data_root: str) -> None:
    rows = datasets.load(**SQUAD, data_root=data_root)["validation"]
    assert len(rows) == 6
    assert rows[1]["answers"]["text"] == ["Maren Holt", "Maren"]


def test_only_the_columns_asked_for_are_kept_in_their_order(data_root: str) -> None:
    rows = datasets.load(**SQUAD, columns=["question", "id"], data_root=data_root)["validation"]
    assert rows.column_names == ["question", "id"]


def test_the_environment_names_the_data_root_of_plain_lm_eval(
    data_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KICK_DATA_ROOT", data_root)
    assert len(datasets.load(**SQUAD)["validation"]) == 6


def test_a_data_root_given_outright_wins_over_the_environment(
    data_root: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KICK_DATA_ROOT", str(tmp_path))
    assert len(datasets.load(**SQUAD, data_root=data_root)["validation"]) == 6


def test_the_rest_of_a_tasks_metadata_is_taken_and_ignored(data_root: str) -> None:
    model = {"pretrained": "a/model", "revision": "main", "dtype": "float32"}  # lm-eval adds these
    assert datasets.load(**SQUAD, data_root=data_root, version=1.0, family="incontext_qa", **model)


def test_reading_writes_no_cache(data_root: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hf_datasets.config, "HF_DATASETS_CACHE", tmp_path)
    before = sorted(Path(data_root).rglob("*"))
    datasets.load(**SQUAD, data_root=data_root)
    datasets.mmlu(**MMLU, data_root=data_root)
    assert sorted(Path(data_root).rglob("*")) == before
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named_with_what_to_do(data_root: str) -> None:
    with pytest.raises(
        InputError, match=r"rajpurkar__squad/plain_text/train\.parquet is missing.*--data-root"
    ):
        datasets.load(**{**SQUAD, "splits": ["train"]}, data_root=data_root)


def test_a_missing_column_is_named_beside_those_there_are(data_root: str) -> None:
    with pytest.raises(InputError, match=r"lacks the columns body; it has id, title"):
        datasets.load(**SQUAD, columns=["id", "body"], data_root=data_root)


def test_a_data_root_that_is_no_folder_is_an_error_and_not_a_reason_to_go_online(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        datasets.load(**SQUAD, data_root=str(tmp_path / "nowhere"))


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rajpurkar__squad/plain_text/validation.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"validation\.parquet does not read as Parquet"):
        datasets.load(**SQUAD, data_root=str(tmp_path))


def test_a_split_without_rows_is_an_error(data_root: str, tmp_path: Path) -> None:
    file = "rajpurkar__squad/plain_text/validation.parquet"
    (tmp_path / file).parent.mkdir(parents=True)
    pq.write_table(pq.read_table(f"{data_root}/{file}").slice(0, 0), tmp_path / file)
    with pytest.raises(InputError, match=r"validation\.parquet holds no rows"):
        datasets.load(**SQUAD, data_root=str(tmp_path))


def test_freebaseqa_without_questions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "freebaseqa").mkdir()
    (tmp_path / "freebaseqa/FreebaseQA-dev.json").write_text('{"Questions": []}')
    with pytest.raises(InputError, match=r"FreebaseQA-dev\.json holds no questions"):
        datasets.freebaseqa(splits=["dev"], commit=datasets.FREEBASEQA_COMMIT, data_root=str(tmp_path))


def test_the_hub_is_never_asked_for_unpinned_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KICK_DATA_ROOT", raising=False)
    with pytest.raises(InputError, match="is pinned to no commit on the hub"):
        datasets.load(path="rajpurkar/squad", splits=["validation"])


def test_a_hub_that_does_not_answer_is_reported_with_the_data_set_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KICK_DATA_ROOT", raising=False)
    with pytest.raises(InputError, match=r"rajpurkar/squad \(plain_text, split validation\).*--data-root"):
        datasets.load(**SQUAD)


def test_every_mmlu_document_carries_the_dev_rows_of_its_own_subject(data_root: str) -> None:
    rows = datasets.mmlu(**MMLU, data_root=data_root)["test"]
    assert len(rows) > 0
    for row in rows:
        assert len(row["shots"]) == 5
        assert all(f"In {row['subject']}, " in shot["question"] for shot in row["shots"])
        assert [f"after {i}?" in shot["question"] for i, shot in enumerate(row["shots"])] == [True] * 5


def test_a_subject_without_dev_rows_is_named(data_root: str, tmp_path: Path) -> None:
    for split in ("dev", "test"):
        file = tmp_path / f"cais__mmlu/all/{split}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(f"{data_root}/cais__mmlu/all/{split}.parquet")
        pq.write_table(
            table.filter(pa.compute.field("subject") != "virology") if split == "dev" else table, file
        )
    with pytest.raises(InputError, match="no rows in split 'dev' for the subjects virology"):
        datasets.mmlu(**MMLU, data_root=str(tmp_path))


def test_a_category_holds_its_subjects_and_no_others(data_root: str) -> None:
    stem = datasets.mmlu(**MMLU, category="stem", data_root=data_root)["test"]
    assert set(stem["subject"]) == {"abstract_algebra"}


def test_the_categories_part_all_57_subjects() -> None:
    subjects = [subject for members in CATEGORIES.values() for subject in members]
    assert len(subjects) == len(set(subjects)) == 57


def test_a_category_without_rows_or_of_another_name_is_an_error(data_root: str) -> None:
    with pytest.raises(InputError, match="no rows of the category social_sciences"):
        datasets.mmlu(**MMLU, category="social_sciences", data_root=data_root)
    with pytest.raises(InputError, match="no category 'STEM'"):
        datasets.mmlu(**MMLU, category="STEM", data_root=data_root)


def test_freebaseqa_documents_hold_every_alias_once(tmp_path: Path) -> None:
    parses = [
        {"InferentialChain": "music.member", "Answers": [{"AnswersName": ["aerosmith", "the smiths"]}]},
        {"InferentialChain": "music.group", "Answers": [{"AnswersName": ["aerosmith"]}]},
    ]
    question = {"Question-ID": "q0", "RawQuestion": " Which band? ", "Parses": parses}
    (tmp_path / "freebaseqa").mkdir()
    (tmp_path / "freebaseqa/FreebaseQA-eval.json").write_text(json.dumps({"Questions": [question]}))
    rows = datasets.freebaseqa(splits=["eval"], commit=datasets.FREEBASEQA_COMMIT, data_root=str(tmp_path))[
        "eval"
    ]
    assert rows.to_list() == [
        {
            "id": "q0",
            "question": "Which band?",
            "answers": ["aerosmith", "the smiths"],
            "relation": "music.member",
        }
    ]


def test_json_of_another_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "freebaseqa").mkdir()
    (tmp_path / "freebaseqa/FreebaseQA-dev.json").write_text('{"Questions": [{"Question-ID": "q0"}]}')
    with pytest.raises(InputError, match=r"FreebaseQA-dev\.json is not in the JSON layout of FreebaseQA"):
        datasets.freebaseqa(splits=["dev"], commit=datasets.FREEBASEQA_COMMIT, data_root=str(tmp_path))


def test_freebaseqa_has_no_test_split(data_root: str) -> None:
    with pytest.raises(InputError, match="no split 'test'"):
        datasets.freebaseqa(splits=["test"], commit=datasets.FREEBASEQA_COMMIT, data_root=data_root)


def test_a_download_that_is_not_the_published_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = tmp_path / "FreebaseQA-dev.json"
    served.write_text('{"Questions": []}')
    monkeypatch.setattr(datasets, "FREEBASEQA_URL", served.parent.as_uri() + "/FreebaseQA-{split}.json")
    monkeypatch.delenv("KICK_DATA_ROOT", raising=False)
    with pytest.raises(InputError, match="is not the published file"):
        datasets.freebaseqa(splits=["dev"], commit=datasets.FREEBASEQA_COMMIT)


def test_a_download_with_the_published_hash_is_read(monkeypatch: pytest.MonkeyPatch, data_root: str) -> None:
    served = Path(data_root) / "freebaseqa"
    blob = datasets.git_blob_hash((served / "FreebaseQA-dev.json").read_bytes())
    monkeypatch.setattr(datasets, "FREEBASEQA_URL", served.as_uri() + "/FreebaseQA-{split}.json")
    monkeypatch.setitem(datasets.FREEBASEQA_BLOBS, "dev", blob)
    monkeypatch.delenv("KICK_DATA_ROOT", raising=False)
    assert len(datasets.freebaseqa(splits=["dev"], commit=datasets.FREEBASEQA_COMMIT)["dev"]) == 6


def test_freebaseqa_at_another_commit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KICK_DATA_ROOT", raising=False)
    with pytest.raises(InputError, match="is known at commit d16aae5"):
        datasets.freebaseqa(splits=["dev"], commit="b" * 40)


def test_the_blob_hash_is_gits() -> None:
    assert datasets.git_blob_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_standalone_mmlu_leaves_out_items_that_refer_to_their_options_and_replaces_such_shots(
    tmp_path: Path,
) -> None:
    root = make_data_root(tmp_path, ["philosophy", "virology"])
    for split in ("dev", "test"):
        file = root / f"cais__mmlu/all/{split}.parquet"
        rows = pq.read_table(file).to_pylist()
        rows[0]["question"] = "Which of the following comes first?"
        rows[1]["choices"][3] = "both A and B"
        pq.write_table(pa.Table.from_pylist(rows), file)
    whole = datasets.mmlu(**MMLU, data_root=str(root))["test"]
    alone = datasets.mmlu(**MMLU, standalone=True, data_root=str(root))["test"]
    assert (len(whole), len(alone)) == (4, 2)
    assert set(alone["subject"]) == {"virology"}
    shots = datasets.mmlu(**{**MMLU, "splits": ["dev"]}, standalone=True, data_root=str(root))["dev"][0][
        "shots"
    ]
    assert len(shots) == 5
    assert not any("following" in shot["question"] or "both A and B" in shot["choices"] for shot in shots)
