import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.metrics.signs import is_repetitive, is_suspicious, response_signs


def test_empty_equal_and_repeated_responses_are_counted_as_shares() -> None:
    signs = response_signs(["", " \n", "The lake.", "the lake", "so so so so", "Maren Holt"])
    assert signs.responses == 6
    assert signs.empty == pytest.approx(1 / 3)
    assert (signs.most_common, signs.most_common_share) == ("lake", pytest.approx(1 / 3))
    assert signs.repetitive == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "text", ["bye bye bye", "I do not know. I do not know. I do not know.", "a b a b a b", "x the the the"]
)
def test_a_piece_said_three_times_in_a_row_is_a_repetition(text: str) -> None:
    assert is_repetitive(text)


@pytest.mark.parametrize("text", ["", "New York, New York", "the sea, the lake, the bay", "Duran Duran"])
def test_other_texts_are_not_repetitive(text: str) -> None:
    assert not is_repetitive(text)


def test_a_model_that_says_nothing_or_always_the_same_is_suspicious() -> None:
    assert is_suspicious(response_signs([""] * 6))
    assert is_suspicious(response_signs(["Odde"] * 5 + ["Vin"]))
    assert is_suspicious(response_signs(["la la la la"] * 3 + ["a", "b", "c"]))
    assert not is_suspicious(response_signs(["Odde", "Vin", "Holt", "1874", "copper", "seven"]))


def test_a_common_right_answer_may_be_said_often() -> None:
    signs = response_signs(["yes"] * 6 + ["no"] * 4)
    assert is_suspicious(signs)
    assert not is_suspicious(signs, common_target_share=0.5)


def test_without_responses_nothing_is_suspicious() -> None:
    assert not is_suspicious(response_signs([]))


@given(st.lists(st.text(max_size=20), max_size=12))
def test_shares_are_within_0_and_1_and_do_not_depend_on_the_order(responses: list[str]) -> None:
    signs, back = response_signs(responses), response_signs(responses[::-1])
    assert all(0 <= share <= 1 for share in (signs.empty, signs.most_common_share, signs.repetitive))
    assert (signs.empty, signs.most_common_share, signs.repetitive) == (
        back.empty,
        back.most_common_share,
        back.repetitive,
    )
