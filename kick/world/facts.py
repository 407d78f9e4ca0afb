"""A synthetic world: invented people, where they live, what they do, when they were born, and the cities' countries.

Everything follows from the seed. How often a fact is told in training follows a power law over the people, head to
tail (`told`), so a model's knowledge can be compared with how often it was told.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Relation = Literal["home", "trade", "birth", "country"]
Band = Literal["head", "torso", "tail"]

PEOPLE = 3000
CITIES, VILLAGES, COUNTRIES = 64, 64, 24
FIRST_NAMES, LAST_NAMES = 64, 192
YEARS = tuple(str(year) for year in range(1801, 1897))
# Shares of the people, most told first.
HEAD_SHARE, TAIL_SHARE = 0.1, 0.5
# Ranks that the power law is flattened by: told ~ 1 / (rank + FLATTENING).
FLATTENING = 100

# fmt: off
TRADES = (
    "baker", "brewer", "mason", "weaver", "potter", "tailor", "cobbler", "miller", "smith", "glazier", "cooper",
    "sailor", "fisher", "farmer", "shepherd", "gardener", "forester", "hunter", "tanner", "dyer", "saddler", "joiner",
    "carpenter", "roofer", "painter", "sculptor", "printer", "binder", "scribe", "notary", "judge", "lawyer", "banker",
    "grocer", "butcher", "vintner", "chandler", "jeweller", "goldsmith", "clockmaker", "locksmith", "gunsmith",
    "ropemaker", "sailmaker", "shipwright", "pilot", "ferryman", "carter", "groom", "courier", "soldier", "surgeon",
    "midwife", "druggist", "dentist", "teacher", "tutor", "librarian", "singer", "dancer", "fiddler", "piper",
)
_ONSETS = (
    "b", "br", "d", "dr", "f", "fl", "g", "gl", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t",
    "tr", "v", "w", "z",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ei")
_MIDDLES = ("l", "m", "n", "r", "s")
# fmt: on


@dataclass(frozen=True)
class Person:
    """Somebody with a two-word name. `rank` 0 is told most often; -1 appears in passages only."""

    first: str
    last: str
    rank: int = -1

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"


@dataclass(frozen=True)
class Fact:
    """A statement about a person or a city."""

    subject: str
    relation: Relation
    value: str


@dataclass(frozen=True)
class Places:
    """Cities, whose countries are facts of the world, and villages, whose countries are in passages only."""

    cities: tuple[str, ...]
    villages: tuple[str, ...]
    countries: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """Everything there is to know.

    `facts[r]` are the three facts of the person of rank `r`; `city_facts` gives the country of each city.
    """

    seed: int
    places: Places
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    people: tuple[Person, ...]
    facts: tuple[tuple[Fact, Fact, Fact], ...]
    city_facts: tuple[Fact, ...]

    def band(self, rank: int) -> Band:
        """Return the popularity band of the person of rank `rank`."""
        share = rank / len(self.people)
        return "head" if share < HEAD_SHARE else "tail" if share >= 1 - TAIL_SHARE else "torso"

    def values(self, relation: Relation) -> Sequence[str]:
        """Return the values that this relation can have."""
        return {
            "home": self.places.cities,
            "trade": TRADES,
            "birth": YEARS,
            "country": self.places.countries,
        }[relation]

    def stranger(self, draw: random.Random) -> Person:
        """Return somebody who is not of this world: nobody in `people` has that name."""
        while (
            person := Person(draw.choice(self.first_names), draw.choice(self.last_names))
        ).name in self._known:
            pass
        return person

    def strangers(self, draw: random.Random, count: int) -> list[Person]:
        """Return `count` people who are not of this world, no two with the same first or last name."""
        strangers: list[Person] = []
        while len(strangers) < count:
            person = self.stranger(draw)
            if all(person.first != other.first and person.last != other.last for other in strangers):
                strangers.append(person)
        return strangers

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(person.name for person in self.people)


def told(people: int, tellings: int) -> list[int]:
    """Return how often each fact of a person is told, by rank: a flattened power law that sums to about `tellings`."""
    weights = [1 / (rank + FLATTENING) for rank in range(people)]
    total = sum(weights)
    return [max(1, round(tellings * weight / total)) for weight in weights]


def make_world(seed: int = 1234, people: int = PEOPLE) -> World:
    """Return the world of a seed: the same seed gives the same world on every machine."""
    draw = random.Random(f"world {seed}")
    taken: set[str] = set(TRADES)
    first_names = _names(draw, FIRST_NAMES, taken, ("a", "o", "el", "in"))
    last_names = _names(draw, LAST_NAMES, taken, ("er", "ov", "sen", "man", "ard"))
    places = Places(
        cities=_names(draw, CITIES, taken, ("burg", "ton", "vik", "by")),
        villages=_names(draw, VILLAGES, taken, ("dorf", "ham", "stad", "wick")),
        countries=_names(draw, COUNTRIES, taken, ("land", "ia", "mark")),
    )
    names = draw.sample([(first, last) for first in first_names for last in last_names], people)
    inhabitants = tuple(Person(first, last, rank) for rank, (first, last) in enumerate(names))
    facts = tuple(
        (
            Fact(person.name, "home", draw.choice(places.cities)),
            Fact(person.name, "trade", draw.choice(TRADES)),
            Fact(person.name, "birth", draw.choice(YEARS)),
        )
        for person in inhabitants
    )
    city_facts = tuple(Fact(city, "country", draw.choice(places.countries)) for city in places.cities)
    return World(seed, places, first_names, last_names, inhabitants, facts, city_facts)


def _names(draw: random.Random, count: int, taken: set[str], endings: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    while len(names) < count:
        middle = draw.choice(["", draw.choice(_MIDDLES)])
        name = f"{draw.choice(_ONSETS)}{draw.choice(_VOWELS)}{middle}{draw.choice(endings)}".capitalize()
        if name.lower() not in taken:
            taken.add(name.lower())
            names.append(name)
    return tuple(names)
