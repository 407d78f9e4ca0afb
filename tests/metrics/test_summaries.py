import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.metrics.summaries import cnn_dailymail, rouge, score


def test_a_copy_of_the_reference_scores_one() -> None:
    assert rouge("Ice holds the ferry.", "Ice holds the ferry.") == {
        "rouge1": 1.0,
        "rouge2": 1.0,
        "rougeL": 1.0,
        "rougeLsum": 1.0,
    }


def test_rouge_counts_shared_words_pairs_and_order() -> None:
    scores = rouge("the ferry holds ice", "ice holds the ferry")
    assert scores["rouge1"] == 1.0
    assert scores["rouge2"] == pytest.approx(1 / 3)  # the ferry
    assert scores["rougeL"] == pytest.approx(1 / 2)


def test_stems_match() -> None:
    assert rouge("ferries waited", "ferry waiting")["rouge1"] == 1.0


def test_an_empty_summary_scores_zero_and_is_counted() -> None:
    assert score(" \n", "Ice holds the ferry.") == {
        "rouge1": 0.0,
        "rouge2": 0.0,
        "rougeL": 0.0,
        "rougeLsum": 0.0,
        "empty": 1.0,
    }


def test_rouge_lsum_compares_sentence_by_sentence() -> None:
    scores = rouge("Forty wait. Ice holds the ferry.", "Ice holds the ferry .\nForty wait .")
    assert scores["rougeLsum"] == 1.0
    assert scores["rougeL"] == pytest.approx(2 / 3)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_unicode_is_scored_within_0_and_1(summary: str, reference: str) -> None:
    assert all(0.0 <= value <= 1.0 for value in score(summary, reference).values())


def test_cnn_dailymail_is_scored_against_its_highlights() -> None:
    doc = {"article": "Ice holds the ferry.", "highlights": "Ice holds the ferry ."}
    assert cnn_dailymail(doc, ["Ice holds"])["rouge1"] == pytest.approx(2 / 3)
