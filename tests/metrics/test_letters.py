import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.metrics.letters import letter, mmlu


@pytest.mark.parametrize(
    "answer", ["B", " B", "B.", "(B)", " B) Paris", "B. Paris", "B: Paris", "B\n", "[B]", '"B"']
)
def test_a_letter_alone_or_before_punctuation_is_read(answer: str) -> None:
    assert letter(answer) == "B"


@pytest.mark.parametrize(
    "answer",
    [
        "**B**",
        "**B.** Paris",
        "\\boxed{B}",
        "$\\boxed{\\text{B}}$",
        "The answer is B",
        "The answer is **(B)**.",
        "The correct answer is B: Paris",
        "Answer: B",
        "Option B: Paris, because it is the capital.",
        "The correct option is B.",
        "The answer to the question is B.",
        "The best answer is option B.",
        "I would say that the answer should be B.",
        "It cannot be A. The answer is B.",
        "One might think that the answer is A. Yet the answer is B.",
        "The answer is not A. The answer is B.",
    ],
)
def test_the_letter_of_a_talkative_answer_is_read(answer: str) -> None:
    assert letter(answer) == "B"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        "b",
        "E",
        "A dog",
        "Berlin",
        "1. B",
        "AB",
        "A and B",
        "The answer is a dog",
        "The answer is A dog",
        "The answer is not B.",
        "The answer is Berlin",
        "Option",
        "I am not sure. Both A and B are possible.",
    ],
)
def test_anything_else_has_no_letter(answer: str) -> None:
    assert letter(answer) is None


def test_a_wrong_letter_is_no_format_failure() -> None:
    assert mmlu({"answer": 1}, [" C"]) == {"acc": 0.0, "format_failure": 0.0}
    assert mmlu({"answer": 1}, [" B"]) == {"acc": 1.0, "format_failure": 0.0}
    assert mmlu({"answer": 1}, [" Paris"]) == {"acc": 0.0, "format_failure": 1.0}


@given(st.text(alphabet=st.characters(categories=("L", "M", "N", "P", "S", "Z", "C")), max_size=30))
def test_any_unicode_is_a_letter_or_a_format_failure(answer: str) -> None:
    scores = mmlu({"answer": 0}, [answer])
    assert (letter(answer) is None) == (scores["format_failure"] == 1.0)
    assert scores["acc"] + scores["format_failure"] <= 1.0
