import pytest

from kick.harness.checks import RenderedItem, duplicates, items_in_shots, references_in_prompts

SHOTS = "Question: Who kept the lighthouse?\nAnswer: Maren Holt\n\n"


def item(own: str, target: str = "Odde", doc_id: int = 0, shots: str = SHOTS) -> RenderedItem:
    return RenderedItem(doc_id=doc_id, prompt=shots + own, own=own, target=target)


def test_a_reference_in_the_question_is_found() -> None:
    leaked = item("Question: Is Lake Odde deep?\nAnswer:", doc_id=7)
    assert [
        each.doc_id for each in references_in_prompts([leaked, item("Question: Which lake?\nAnswer:")])
    ] == [7]


def test_a_reference_that_is_a_shots_answer_is_no_leak() -> None:
    assert references_in_prompts([item("Question: Who rowed?\nAnswer:", target="Maren Holt")]) == []


def test_a_part_of_a_word_is_no_reference() -> None:
    assert references_in_prompts([item("Question: Is it oddest?\nAnswer:", target="odd")]) == []


def test_a_question_asked_twice_is_found_whatever_its_case_and_marks() -> None:
    items = [
        item("Question: Which lake?\nAnswer:", doc_id=3),
        item("Question: Which bay?\nAnswer:", doc_id=4),
        item("question: which lake\nanswer:", doc_id=5),
    ]
    assert [(each.doc_id, each.detail) for each in duplicates(items)] == [(5, "asks the same as document 3")]


def test_a_shot_that_asks_the_item_is_found() -> None:
    same = item("Question: Who kept the lighthouse?\nAnswer:", doc_id=2)
    assert [each.doc_id for each in items_in_shots([same, item("Question: Who rowed?\nAnswer:")])] == [2]


def test_a_prompt_that_does_not_end_with_its_item_is_a_mistake_of_the_caller() -> None:
    broken = RenderedItem(doc_id=0, prompt="Question: A?", own="Question: B?", target="x")
    with pytest.raises(ValueError, match="does not end"):
        items_in_shots([broken])
