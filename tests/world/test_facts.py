"""The world: what there is, and how often it is told."""

import random

import pytest

from kick.world.facts import HEAD_SHARE, TAIL_SHARE, TRADES, YEARS, make_world, told


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    assert make_world(7, people=50) == make_world(7, people=50)
    assert make_world(7, people=50) != make_world(8, people=50)


def test_nobody_shares_a_name_and_no_word_means_two_things() -> None:
    world = make_world(1)
    places = world.places
    words = [*world.first_names, *world.last_names, *places.cities, *places.villages, *places.countries]
    words += [*TRADES, *YEARS]
    assert len({word.lower() for word in words}) == len(words)
    assert len({person.name for person in world.people}) == len(world.people)


def test_facts_that_hang_together_give_every_person_a_country() -> None:
    world = make_world(1)
    country = {fact.subject: fact.value for fact in world.city_facts}
    homes = [facts[0] for facts in world.facts]
    assert {fact.relation for fact in homes} == {"home"}
    assert all(country[fact.value] in world.places.countries for fact in homes)


def test_the_most_told_come_first_and_the_tellings_add_up() -> None:
    often = told(1000, 100_000)
    assert often == sorted(often, reverse=True)
    assert sum(often) == pytest.approx(100_000, rel=0.01)
    assert often[0] / often[999] == pytest.approx(1099 / 100, rel=0.05)  # the power law, as stated


def test_bands_split_the_people_by_their_shares() -> None:
    world = make_world(1, people=200)
    bands = [world.band(person.rank) for person in world.people]
    assert bands == ["head"] * int(200 * HEAD_SHARE) + ["torso"] * 80 + ["tail"] * int(200 * TAIL_SHARE)


def test_strangers_are_not_of_the_world_and_share_no_name() -> None:
    world, draw = make_world(1), random.Random(1)
    known = {person.name for person in world.people}
    for _ in range(200):
        met = world.strangers(draw, 3)
        assert not known & {person.name for person in met}
        assert len({person.first for person in met}) == len({person.last for person in met}) == 3
