"""The corpus: what a training reads, and what it never reads."""

import itertools
import random
from collections import Counter

import pytest

from kick.world import corpus
from kick.world.facts import World, make_world
from kick.world.tokenizer import vocabulary


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(1234)


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another(world: World) -> None:
    assert corpus.census(world, 300, seed=1) == corpus.census(make_world(1234), 300, seed=1)
    assert corpus.census(world, 300, seed=1).digest != corpus.census(world, 300, seed=2).digest


def test_rows_fit_and_hold_known_words_only(world: World) -> None:
    known = set(vocabulary(world))
    for row in corpus.training_rows(world, 400, seed=1):
        assert len(row.words) == len(row.weights) <= corpus.ROW
        assert set(row.words) <= known


def test_a_fact_of_the_head_is_told_more_often_than_one_of_the_tail_by_the_power_law(world: World) -> None:
    often = Counter(itertools.islice(corpus.facts_told(world, 1_000_000, random.Random(1)), 1_000_000))
    head, tail = (sum(often[fact] for fact in world.facts[rank]) for rank in (0, -1))
    assert head / tail == pytest.approx((len(world.people) - 1 + 100) / 100, rel=0.05)


def test_the_census_counts_the_facts_that_the_rows_tell(world: World) -> None:
    text = " ".join(" ".join(row.words) for row in corpus.training_rows(world, 500, seed=1))
    often = corpus.census(world, 500, seed=1).often
    fact, count = often.most_common(1)[0]
    assert count > 1
    assert text.count(f" {fact.subject} ") >= count
    assert sum(often.values()) > 1000


def test_people_of_passages_are_never_people_of_the_world(world: World) -> None:
    known, draw = {person.name for person in world.people}, random.Random(3)
    for make in (corpus.read_passage, corpus.two_hop_passage):
        for _ in range(50):
            assert not known & {person.name for person in make(world, 3, draw).people}
    assert corpus.report(world, draw).people[0].name not in known


def test_a_two_hop_question_is_answered_through_the_village(world: World) -> None:
    draw = random.Random(4)
    for _ in range(50):
        passage = corpus.two_hop_passage(world, 3, draw)
        homes = {fact.subject: fact.value for fact in passage.facts if fact.relation == "home"}
        lands = {fact.subject: fact.value for fact in passage.facts if fact.relation == "country"}
        for person in passage.people:
            assert corpus.two_hop_answer(passage, person) == lands[homes[person.name]]


def test_answers_weigh_more_in_the_loss_than_the_words_around_them(world: World) -> None:
    row = corpus.Row()
    assert row.add("Question : Where does Breo Peimov live ? Answer : Waburg .", ("Waburg",), corpus.READ)
    assert row.weights[row.words.index("Waburg")] == corpus.READ
    assert row.weights[row.words.index("live")] == corpus.OTHER


def test_held_out_text_holds_no_passage_of_the_training(world: World) -> None:
    def passages(rows: list[corpus.Row]) -> set[str]:
        return {" ".join(row.words) for row in rows if "Passage" in row.words}

    trained = passages(list(corpus.training_rows(world, 2000, seed=1234)))
    held_out = passages(corpus.held_out_rows(world, 96, seed=1234))
    assert held_out
    assert not trained & held_out
