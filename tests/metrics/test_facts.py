import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.metrics.facts import content, facts, first_sentence, precision, recall, sentences
from kick.metrics.summaries import rouge, score_content

ARTICLE = (
    "The ferry to Vinsted lay still on Sunday. Captain Iver Lund said that 40 passengers waited at the inn. "
    "The mayor, Maren Holt, paid 1,200 crowns for their food. She did not blame the crew. "
    "Ice had closed the harbour for three days."
)
REFERENCE = "Captain Iver Lund said 40 passengers waited in Vinsted .\nMaren Holt paid 1,200 crowns ."
CHANGED = (
    "Captain Iver Lund said 70 passengers did not wait in Vinsted .\nMaren Holt did not pay 3,400 crowns ."
)
SALAD = "the of and to in a is that for it was on as with he at by the of and to in"


def test_names_numbers_and_negations_are_facts() -> None:
    given_facts = facts(ARTICLE)
    assert {"vinsted", "sunday", "captain iver lund", "maren holt"} <= given_facts.names
    assert {"40", "1200", "3"} <= given_facts.numbers
    assert given_facts.negated == {"blame"}


def test_the_first_word_of_a_sentence_is_no_name_by_its_capital_alone() -> None:
    assert facts("Ice closed the harbour.").names == frozenset()
    assert facts("Iver Lund closed it.").names == {"iver lund"}


def test_a_reference_with_changed_numbers_and_negated_verbs_has_no_content_where_rouge_sees_none_of_it() -> (
    None
):
    assert rouge(CHANGED, REFERENCE)["rouge1"] > 0.6
    assert content(CHANGED, ARTICLE, REFERENCE) == 0.0
    assert content(REFERENCE, ARTICLE, REFERENCE) == 1.0


def test_a_salad_of_stop_words_has_no_content() -> None:
    scores = score_content(SALAD, ARTICLE, REFERENCE)
    assert (scores["content"], scores["fact_precision"], scores["fact_recall"]) == (0.0, 0.0, 0.0)


def test_a_fact_that_the_article_lacks_costs_precision_and_the_whole_sentence() -> None:
    summary = "Captain Iver Lund said 40 passengers waited. Maren Holt paid 9 crowns."
    assert precision(summary, ARTICLE) == pytest.approx(3 / 4)
    assert recall(summary, REFERENCE) == pytest.approx(3 / 5)
    assert 0 < content(summary, ARTICLE, REFERENCE) < 0.6


def test_a_negation_that_the_article_has_is_supported() -> None:
    assert precision("She did not blame the crew.", ARTICLE) == 1.0
    assert precision("She did not thank the crew.", ARTICLE) == 0.0


def test_sentences_end_at_full_stops_and_line_breaks() -> None:
    assert sentences("Mr Lund left. He said: 'No.' Then 3.5 hours passed .\nNobody came") == [
        "Mr Lund left.",
        "He said: 'No.'",
        "Then 3.5 hours passed .",
        "Nobody came",
    ]


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_every_share_is_within_0_and_1(summary: str, article: str, reference: str) -> None:
    assert all(0.0 <= value <= 1.0 for value in score_content(summary, article, reference).values())


@given(
    st.lists(
        st.sampled_from(["Iver Lund left.", "He paid 40 crowns.", "Maren Holt did not sail."]), min_size=1
    )
)
def test_a_copy_of_the_article_states_nothing_that_it_lacks(parts: list[str]) -> None:
    article = " ".join(parts)
    assert precision(article, article) == 1.0
    assert content(article, article, article) == 1.0


def test_the_first_sentence_is_that_of_all_sentences() -> None:
    text = "...\nMr. Lund sailed on Sunday. The crew slept."
    assert first_sentence(text) == sentences(text)[0] == "Mr. Lund sailed on Sunday."
    assert first_sentence(" ... ") == ""
