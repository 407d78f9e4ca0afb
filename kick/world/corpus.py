"""What a model of the world is trained on: rows of facts, of passages with questions, and of passages with summaries.

A row is a sequence of words with the weight of each in the loss: most for what has to be read off a passage, less for
the value of a fact, least for the rest. Passages tell of people who are not of this world, drawn anew for every row, so
that nothing but reading helps. Reading is taught first, on passages of one person, then two, then three; then the
facts come. Everything follows from the seed.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kick.world import language
from kick.world.facts import TRADES, YEARS, Fact, Person, World, told

ROW = 128  # words
READ, KNOWN, OTHER = 3.0, 1.0, 0.1  # weights in the loss
START = "<s>"
PAD = "<pad>"
FIRST_MIX = {"facts": 0.1, "reading": 0.45, "two-hop": 0.35, "summary": 0.1}  # of the first FIRST of the rows
MIX = {"facts": 0.6, "reading": 0.15, "two-hop": 0.15, "summary": 0.1}
FIRST = 0.15


@dataclass
class Row:
    """At most `ROW` words, the weight of each in the loss beside it. It begins with `START`, or amid a text."""

    words: list[str] = field(default_factory=lambda: [START])
    weights: list[float] = field(default_factory=lambda: [0.0])

    def add(self, text: str, answers: tuple[str, ...] = (), weight: float = OTHER) -> bool:
        """Append a text, its words of `answers` with `weight`. False, and nothing done, if it is too long."""
        words = text.split()
        if len(self.words) + len(words) > ROW:
            return False
        self.words += words
        self.weights += [weight if word in answers else OTHER for word in words]
        return True


@dataclass(frozen=True)
class Told:
    """A passage: its sentences in order, and what it tells of whom."""

    text: str
    people: tuple[Person, ...]
    facts: tuple[Fact, ...]


def training_rows(world: World, count: int, seed: int) -> Iterator[Row]:
    """The `count` rows of a training, in order; facts by their power law."""
    draw = random.Random(f"corpus {world.seed} {seed}")
    first = round(FIRST * count)
    kinds = _kinds(FIRST_MIX, first, draw) + _kinds(MIX, count - first, draw)
    facts = _tellings(world, kinds.count("facts") * (ROW // 9), draw)
    for index, kind in enumerate(kinds):
        yield _row(world, kind, facts, most_people(index / count), draw)


def held_out_rows(world: World, count: int, seed: int) -> list[Row]:
    """Text of the same mixture that no training has seen: other passages, and facts told as often as in training."""
    draw = random.Random(f"held out {world.seed} {seed}")
    facts = _tellings(world, count * ROW, draw)
    return [_row(world, kind, facts, 3, draw) for kind in _kinds(MIX, count, draw)]


def _kinds(mix: Mapping[str, float], count: int, draw: random.Random) -> list[str]:
    kinds = [kind for kind, share in mix.items() for _ in range(round(share * count))]
    kinds = (kinds + ["facts"] * count)[:count]
    draw.shuffle(kinds)
    return kinds


def digest(world: World, count: int, seed: int) -> str:
    """The SHA-256 of a training: its rows, a line each."""
    hashed = hashlib.sha256()
    for row in training_rows(world, count, seed):
        hashed.update(" ".join(row.words).encode() + b"\n")
    return hashed.hexdigest()


def most_people(done: float) -> int:
    """How many people a passage may tell of when this share of the training is done."""
    return 1 if done < 0.03 else 2 if done < 0.12 else 3


def _tellings(world: World, count: int, draw: random.Random) -> Iterator[Fact]:
    """Facts without end: each person's as often as the power law says in `count` tellings, well mixed."""
    per_relation = told(len(world.people), count * 9 // 30)  # three relations of people, a tenth for cities
    pool = [fact for facts, often in zip(world.facts, per_relation, strict=True) for fact in facts * often]
    pool += list(world.city_facts) * max(1, count // 10 // len(world.city_facts))
    while True:
        draw.shuffle(pool)
        yield from pool


def _row(world: World, kind: str, facts: Iterator[Fact], people: int, draw: random.Random) -> Row:
    if kind == "facts":
        return _facts_row(Row() if draw.random() < 0.5 else Row([], []), facts, draw)
    row = Row()
    if kind == "summary":
        passage = report(world, draw)
        row.add(f"{language.PASSAGE} {passage.text} {language.SUMMARY_CUE}")
        values = tuple(fact.value for fact in passage.facts)
        row.add(summary_of(passage), values, READ)
        return row
    count = draw.randint(max(1, people - 1), people)
    passage = read_passage(world, count, draw) if kind == "reading" else two_hop_passage(world, count, draw)
    row.add(f"{language.PASSAGE} {passage.text}")
    while row.add(*ask(passage, draw), READ):
        pass
    return row


def _facts_row(row: Row, facts: Iterator[Fact], draw: random.Random) -> Row:
    while True:
        fact = next(facts)
        if draw.random() < 0.5:
            text = language.statement(fact, draw.randrange(3))
        else:
            text = f"{language.QUESTION} {language.question(fact, draw.randrange(2))} {language.ANSWER} {fact.value} ."
        if not row.add(text, (fact.value,), KNOWN):
            return row


def facts_of(person: Person, homes: tuple[str, ...], draw: random.Random) -> tuple[Fact, Fact, Fact]:
    """Three facts drawn at random for somebody who is not of this world."""
    return (
        Fact(person.name, "home", draw.choice(homes)),
        Fact(person.name, "trade", draw.choice(TRADES)),
        Fact(person.name, "birth", draw.choice(YEARS)),
    )


def read_passage(world: World, people: int, draw: random.Random) -> Told:
    """A passage that tells three facts of each of `people` strangers."""
    strangers = world.strangers(draw, people)
    facts = [fact for person in strangers for fact in facts_of(person, world.places.cities, draw)]
    draw.shuffle(facts)
    return Told(_sentences(facts, draw), tuple(strangers), tuple(facts))


def two_hop_passage(world: World, people: int, draw: random.Random) -> Told:
    """A passage that tells in which village each of `people` strangers lives, and where each village lies."""
    strangers = world.strangers(draw, people)
    villages = draw.sample(world.places.villages, people)
    countries = draw.sample(world.places.countries, people)
    facts = [Fact(who.name, "home", village) for who, village in zip(strangers, villages, strict=True)]
    facts += [Fact(village, "country", land) for village, land in zip(villages, countries, strict=True)]
    draw.shuffle(facts)
    return Told(_sentences(facts, draw), tuple(strangers), tuple(facts))


def report(world: World, draw: random.Random) -> Told:
    """A longer passage on one stranger: three facts of theirs among others' and idle sentences."""
    person, other = world.strangers(draw, 2)
    facts = facts_of(person, world.places.cities, draw)
    sentences = [language.statement(fact, draw.randrange(3)) for fact in facts]
    sentences += [
        language.statement(fact, draw.randrange(3)) for fact in facts_of(other, world.places.cities, draw)
    ]
    sentences += draw.sample(language.FILLERS, 3)
    draw.shuffle(sentences)
    return Told(f"This is a report on {person.name} . {' '.join(sentences)}", (person,), facts)


def two_hop_answer(passage: Told, person: Person) -> str:
    """The country of the village in which a person of the passage lives."""
    village = next(fact.value for fact in passage.facts if fact.subject == person.name)
    return next(fact.value for fact in passage.facts if fact.subject == village)


def ask(passage: Told, draw: random.Random) -> tuple[str, tuple[str, ...]]:
    """A question after a passage with its answer as words of a row, and the answer alone."""
    if any(fact.relation == "country" for fact in passage.facts) and draw.random() < 0.6:
        person = draw.choice(passage.people)
        asked, answer = draw.choice(language.TWO_HOP).format(s=person.name), two_hop_answer(passage, person)
    else:
        fact = draw.choice(passage.facts)
        asked, answer = language.question(fact, draw.randrange(2)), fact.value
    return f"{language.QUESTION} {asked} {language.ANSWER} {answer} .", (answer,)


def summary_of(passage: Told) -> str:
    """The summary of a report, as the template says it."""
    home, trade, birth = (fact.value for fact in passage.facts)
    return language.summary(passage.people[0], home, trade, birth)


def _sentences(facts: list[Fact], draw: random.Random) -> str:
    return " ".join(language.statement(fact, draw.randrange(3)) for fact in facts)
