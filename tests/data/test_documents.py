from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kick.data import documents
from kick.data.datasets import FREEBASEQA_COMMIT
from kick.errors import InputError
from tests.data_root import FACTS, make_data_root

POPQA = {"path": "akariasai/PopQA", "commit": "a" * 40, "splits": ["test"]}
TRIVIAQA = {"path": "mandarjoshi/trivia_qa", "name": "rc", "commit": "a" * 40, "splits": ["validation"]}
STORIES = {
    "path": "abisee/cnn_dailymail",
    "name": "3.0.0",
    "commit": "a" * 40,
    "splits": ["test"],
    "column": "article",
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_data_root(tmp_path_factory.mktemp("data")))


def test_the_bands_of_popqa_share_no_question_and_leave_none_out(data_root: str) -> None:
    bands = [
        documents.popqa(**POPQA, band=band, data_root=data_root)["test"]["id"] for band in documents.BANDS
    ]
    assert [list(band) for band in bands] == [["0", "1"], ["2", "3"], ["4", "5"]]


def test_popqas_possible_answers_are_read_from_their_json(data_root: str) -> None:
    row = documents.popqa(**POPQA, data_root=data_root)["test"][1]
    assert (row["answers"], row["relation"], row["popularity"]) == (["Maren Holt", "Maren"], "fact", 99)


def test_an_unknown_band_is_answered_with_the_nearest(data_root: str) -> None:
    with pytest.raises(InputError, match="no band 'heads'. Did you mean 'head'"):
        documents.popqa(**POPQA, band="heads", data_root=data_root)


def test_a_band_without_questions_is_an_error(data_root: str, tmp_path: Path) -> None:
    file = "akariasai__PopQA/default/test.parquet"
    (tmp_path / file).parent.mkdir(parents=True)
    pq.write_table(pq.read_table(f"{data_root}/{file}").slice(0, 2), tmp_path / file)
    with pytest.raises(InputError, match="no question of the band head"):
        documents.popqa(**POPQA, band="head", data_root=str(tmp_path))


def test_the_gold_answer_stands_among_four_different_choices(data_root: str) -> None:
    for row in documents.popqa_choices(**POPQA, data_root=data_root)["test"]:
        assert len(set(row["choices"])) == 4
        assert row["choices"][row["gold"]] == row["answers"][0]


def test_no_wrong_choice_says_more_or_less_than_an_answer(data_root: str) -> None:
    for row in documents.popqa_choices(**POPQA, data_root=data_root)["test"]:
        wrong = [choice for i, choice in enumerate(row["choices"]) if i != row["gold"]]
        assert not any(choice in answer or answer in choice for choice in wrong for answer in row["answers"])


def test_the_choices_of_a_question_are_always_the_same(data_root: str) -> None:
    first, again = (documents.popqa_choices(**POPQA, data_root=data_root)["test"].to_list() for _ in range(2))
    assert first == again


def test_freebaseqa_choices_carry_shots_that_can_be_rendered(data_root: str) -> None:
    rows = documents.freebaseqa_choices(splits=["dev", "eval"], commit=FREEBASEQA_COMMIT, data_root=data_root)
    assert {len(row["choices"]) for split in rows.values() for row in split} == {4}


def test_answers_of_the_same_relation_are_chosen_before_others() -> None:
    rows = [
        {"id": f"{kind}{i}", "answers": [f"{kind} {name}"], "relation": f"{kind}.of"}
        for kind in ("city", "king")
        for i, name in enumerate(("ann", "bo", "cy", "dee"))
    ]
    for row in documents._with_choices(rows, documents._by_freebase_path):
        assert {choice.split()[0] for choice in row["choices"]} == {row["answers"][0].split()[0]}


def test_too_few_answers_to_choose_from_is_an_error() -> None:
    rows = [{"id": f"{i}", "answers": [name], "relation": ""} for i, name in enumerate(("ann", "bo", "Ann!"))]
    with pytest.raises(InputError, match="too few to choose from"):
        documents._with_choices(rows, documents._by_relation)


def test_a_trivia_passage_holds_the_answer_and_wikipedia_comes_first(data_root: str) -> None:
    rows = documents.triviaqa_passages(**TRIVIAQA, data_root=data_root)["validation"]
    assert [row["question_id"] for row in rows] == ["tc_0", "tc_1", "tc_2", "tc_3", "tc_5"]
    assert [row["source"] for row in rows] == [
        "Vinsted news",
        "Vinsted",
        "Vinsted news",
        "Vinsted",
        "Vinsted",
    ]
    for row in rows:
        assert any(alias in row["passage"] for alias in row["answer"]["aliases"])
        assert len(row["passage"].split()) <= documents.PASSAGE_WORDS


def test_the_papers_evidence_is_the_first_page_and_the_first_result(data_root: str) -> None:
    rows = documents.triviaqa_first(**TRIVIAQA, first=2, evidence=True, data_root=data_root)["validation"]
    assert len(rows) == 2
    assert rows[0]["evidence"].startswith("The ferry to Vinsted")
    assert "they spoke of copper" in rows[0]["evidence"].split("\n")[1]


def test_the_paper_takes_freebaseqas_first_questions_in_file_order(data_root: str) -> None:
    rows = documents.freebaseqa_first(
        splits=["train"], commit=FREEBASEQA_COMMIT, first=2, data_root=data_root
    )["train"]
    assert [row["question"][-20:] for row in rows] == [question[-20:] for _, question, _ in FACTS[:2]]


def test_length_classes_part_the_stories_by_the_tokens_of_the_models_tokenizer(
    data_root: str, tiny_llama: Path
) -> None:
    classes = [(0, 600), (600, 1000), (1000, None)]
    ids = [
        documents.of_length(
            **STORIES, at_least=low, below=high, tokenizer=str(tiny_llama), data_root=data_root
        )["test"]["id"]
        for low, high in classes
    ]
    assert sorted(each for part in ids for each in part) == ["1", "2", "3", "4", "5", "6"]
    assert all(len(part) > 0 for part in ids)


def test_the_model_is_its_own_tokenizer_where_none_is_named(data_root: str, tiny_llama: Path) -> None:
    rows = documents.of_length(
        **STORIES, at_least=0, below=10_000, pretrained=str(tiny_llama), data_root=data_root
    )
    assert len(rows["test"]) == 6


def test_tokens_cannot_be_counted_without_a_tokenizer(data_root: str) -> None:
    with pytest.raises(InputError, match="no tokenizer was named"):
        documents.of_length(**STORIES, at_least=0, below=600, data_root=data_root)


def test_an_empty_length_class_is_an_error(data_root: str, tiny_llama: Path) -> None:
    with pytest.raises(InputError, match="no article has 90000 to any number of tokens"):
        documents.of_length(
            **STORIES, at_least=90_000, below=None, tokenizer=str(tiny_llama), data_root=data_root
        )


SQUAD2 = {
    "path": "rajpurkar/squad_v2",
    "name": "squad_v2",
    "splits": ["validation"],
    "commit": "a" * 40,
}


def test_squad2_parts_what_the_passage_answers_from_what_it_does_not(data_root: str) -> None:
    sizes = [
        len(documents.squad2(**SQUAD2, answerable=kind, data_root=data_root)["validation"])
        for kind in (None, True, False)
    ]
    assert sizes == [6, 3, 3]
    unanswerable = documents.squad2(**SQUAD2, answerable=False, data_root=data_root)["validation"]
    assert all(answers == [] for answers in unanswerable["answers"])


def test_mmlu_pro_has_a_letter_for_each_option(data_root: str) -> None:
    pro = {"path": "TIGER-Lab/MMLU-Pro", "splits": ["test"], "commit": "a" * 40, "data_root": data_root}
    rows = documents.mmlu_pro(**pro)["test"]
    assert [len(row["letters"]) for row in rows] == [10] * 9 + [5]
    assert rows[9]["letters"] == ["A", "B", "C", "D", "E"]
    assert len(documents.mmlu_pro(**pro, standalone=True)["test"]) == 9


def test_simpleqa_has_one_answer(data_root: str) -> None:
    simple = {"path": "basicv8vc/SimpleQA", "splits": ["test"], "commit": "a" * 40}
    assert documents.simpleqa(**simple, data_root=data_root)["test"][0]["answers"] == ["copper"]
