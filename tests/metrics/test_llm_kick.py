"""The paper's rules as they are, absurd ones too: `kick.metrics.answers` has the strict ones beside them."""

import pytest

from kick.metrics import answers
from kick.metrics.llm_kick import (
    factoid_hit,
    factoid_newline,
    factoid_prompt,
    factoid_space,
    icra,
    icra_f1,
    icra_hit,
    mcr,
    mcr_hit,
    normalize,
    story_lengths,
    unique_tokens,
)


def test_the_two_factoid_prompts_differ_in_one_character() -> None:
    assert factoid_prompt("Who?", "\n") == "Please give answer to this question: Who?\nThe answer is "
    assert factoid_prompt("Who?", " ") == "Please give answer to this question: Who? The answer is "


def test_iran_is_found_in_mirandas() -> None:
    assert factoid_hit("Which country? ", "The Mirandas", "Iran") == 1.0
    assert answers.contains_alias("The Mirandas", ["Iran"]) == 0.0


def test_deleting_spaces_finds_an_answer_across_words() -> None:
    assert factoid_hit("Which gas? ", "a rgon", "Argon") == 1.0


def test_a_newline_is_no_space_and_stays() -> None:
    assert factoid_hit("", "ar\ngon", "argon") == 0.0


def test_a_question_that_names_its_answer_is_always_right() -> None:
    assert factoid_hit("Is the Elbe or the Rhine longer? ", "", "Rhine") == 1.0


def test_the_words_of_the_prompt_itself_are_hits() -> None:
    doc = {"question": "What do you give to a friend?", "answers": ["answer", "gift"]}
    assert factoid_newline(doc, [""]) == {"hit": 1.0}
    assert factoid_space(doc, ["silence"]) == {"hit": 1.0}


def test_only_the_first_answer_name_counts() -> None:
    doc = {"question": "Which?", "answers": ["Odde", "Lake Odde the Great"]}
    assert factoid_newline(doc, ["Lake Odd the Great"]) == {"hit": 0.0}


@pytest.mark.parametrize(("output", "hit"), [("A", 1.0), (" A", 1.0), ("NASA", 1.0), ("A.", 0.0), ("", 0.0)])
def test_the_last_character_is_the_letter(output: str, hit: float) -> None:
    assert mcr_hit(output, "A") == hit


def test_mmlu_answers_are_numbers_of_letters() -> None:
    assert mcr({"answer": 2}, [" C"]) == {"hit": 1.0}


@pytest.mark.parametrize("output", ["", "...", "The", "e", " \n"])
def test_an_output_that_says_nothing_is_right(output: str) -> None:
    assert icra_hit(output, ["Lake Odde"]) == 1.0
    assert answers.score(output, ["Lake Odde"], "Which lake?")["contains"] == 0.0


def test_an_alias_in_the_output_and_the_output_in_an_alias_are_both_hits() -> None:
    assert icra_hit("It is Lake Odde, I think", ["Lake Odde"]) == 1.0
    assert icra_hit("Odde", ["Lake Odde"]) == 1.0
    assert icra_hit("Lake Ann", ["Lake Odde", "the Odde"]) == 0.0


def test_every_alias_is_tried() -> None:
    doc = {"answer": {"value": "Lake Odde", "aliases": ["Big Odde"]}}
    assert icra(doc, ["the big lake"]) == {"hit": 0.0, "f1": pytest.approx(0.5)}


def test_a_leading_newline_is_stripped_before_the_first_line_is_taken() -> None:
    doc = {"answer": {"value": "Lake Odde", "aliases": []}}
    assert icra(doc, ["\n\nthe sea"]) == {"hit": 0.0, "f1": 0.0}
    assert icra(doc, ["\nLake Odde\nQ: What?"]) == {"hit": 1.0, "f1": 1.0}


def test_f1_of_nothing_is_zero() -> None:
    assert icra_f1("", ["Odde"]) == 0.0
    assert icra_f1("Odde", []) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The_Beatles!", "beatles"),
        ("O'Neill", "o neill"),
        ("U.S.", "u s"),
        ("A  ‘big’ day", "big day"),
        ("an", ""),
    ],
)
def test_the_normal_form_is_triviaqas(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        (469, {"small"}),
        (470, {"small", "medium"}),
        (471, {"medium"}),
        (790, {"medium", "large"}),
        (791, {"large"}),
    ],
)
def test_length_classes_share_their_borders(words: int, classes: set[str]) -> None:
    assert story_lengths("word " * words) == classes


def test_unique_tokens_are_words_and_not_repetitions() -> None:
    assert unique_tokens("so so so good") == 2
