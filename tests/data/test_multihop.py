from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kick.data import multihop
from kick.errors import InputError
from tests.data_root import make_data_root

MUSIQUE = {"path": "dgslibisey/MuSiQue", "splits": ["validation"], "commit": "a" * 40}
HOTPOTQA = {**MUSIQUE, "path": "hotpotqa/hotpot_qa", "name": "distractor"}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_data_root(tmp_path_factory.mktemp("data")))


def test_the_oracle_keeps_the_supporting_paragraphs_alone(data_root: str) -> None:
    rows = multihop.supporting(**HOTPOTQA, data_root=data_root)["validation"]
    assert [row["context"]["title"] for row in rows][:2] == [["copper"], ["Maren Holt"]]
    musique = multihop.musique_supporting(**MUSIQUE, data_root=data_root)["validation"]
    assert all([each["is_supporting"] for each in row["paragraphs"]] == [True] for row in musique)


def test_items_without_their_supporting_paragraphs_are_left_out_and_all_of_them_is_an_error(
    data_root: str, tmp_path: Path
) -> None:
    file = "hotpotqa__hotpot_qa/distractor/validation.parquet"
    rows = pq.read_table(f"{data_root}/{file}").to_pylist()
    (tmp_path / file).parent.mkdir(parents=True)
    rows[0]["supporting_facts"]["title"] = ["Elsewhere"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / file)
    kept = multihop.supporting(**HOTPOTQA, data_root=str(tmp_path))["validation"]
    assert "hop0" not in kept["id"]
    assert len(kept) == len(rows) - 1
    pq.write_table(pa.Table.from_pylist(rows[:1]), tmp_path / file)
    with pytest.raises(InputError, match="no item has its supporting paragraphs"):
        multihop.supporting(**HOTPOTQA, data_root=str(tmp_path))


def test_a_hop_is_asked_once_with_the_paragraph_that_answers_it(data_root: str) -> None:
    rows = multihop.musique_hops(**MUSIQUE, data_root=data_root)["validation"]
    assert rows[1]["question"] == "Who kept the lighthouse at Vinsted?"
    assert (rows[1]["answers"], rows[1]["title"]) == (["Maren Holt"], "Maren Holt")
    assert len(set(rows["question"])) == len(rows)


@pytest.mark.parametrize(
    ("hop", "question"),
    [
        ("who kept #1", "Who kept Odde?"),
        ("Oslo >> mayor", "What is the mayor of Oslo?"),
        ("#2 >> father", "What is the father of Ann?"),
        ("#1 >> member of sports team", "Odde: member of sports team?"),
        ("What event caused #1 to rule ?", "What event caused Odde to rule?"),
    ],
)
def test_earlier_answers_and_relations_make_a_question(hop: str, question: str) -> None:
    assert multihop.hop_question(hop, ["Odde", "Ann"]) == question
