"""The training text of a model of the world: rows of facts, of passages with questions, and of passages with summaries.

A row is a sequence of words with the weight of each in the loss: the highest for what has to be read off a passage,
less for the value of a fact, the lowest for the rest. Passages are about people who are not of this world, drawn anew
for each row, so nothing but reading helps. There are three lessons: looking back, in short rows; reading passages; then
the facts of the world, with passages among them. Everything follows from the seed.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kick.world import language
from kick.world.facts import TRADES, YEARS, Fact, Person, Relation, World, told

# Words per row.
ROW = 128
# Weights in the loss.
READ, KNOWN, OTHER = 3.0, 1.0, 0.1
START = "<s>"
PAD = "<pad>"
# Words per row of the first lesson.
SHORT = 36
# The share of all rows at which a lesson ends, the words per row, and the share of each kind of row.
LESSONS = (
    (0.37, SHORT, {"litany": 0.3, "pair": 0.7}),
    (0.47, ROW, {"drill": 0.3, "reading": 0.3, "two-hop": 0.4}),
    (1.0, ROW, {"facts": 0.63, "reading": 0.12, "two-hop": 0.17, "summary": 0.08}),
)


@dataclass
class Row:
    """At most `most` words, each with its weight in the loss. A row begins with `START`, or in the middle of a text."""

    words: list[str] = field(default_factory=lambda: [START])
    weights: list[float] = field(default_factory=lambda: [0.0])
    most: int = ROW
    # The facts of the world in it.
    told: list[Fact] = field(default_factory=list)

    def add(self, text: str, answers: tuple[str, ...] = (), weight: float = OTHER) -> bool:
        """Append a text, its words in `answers` with `weight`; return False, and append nothing, if it is too long."""
        words = text.split()
        if len(self.words) + len(words) > self.most:
            return False
        self.words += words
        self.weights += [weight if word in answers else OTHER for word in words]
        return True


@dataclass(frozen=True)
class Census:
    """The SHA-256 of a training with one row per line, and how often it tells each fact of the world."""

    digest: str
    often: Counter[Fact]


@dataclass(frozen=True)
class Told:
    """A passage: its sentences in order, the people in it, and the facts that it tells."""

    text: str
    people: tuple[Person, ...]
    facts: tuple[Fact, ...]


def training_rows(world: World, count: int, seed: int) -> Iterator[Row]:
    """Yield the `count` rows of a training, in order; facts follow their power law."""
    draw = random.Random(f"corpus {world.seed} {seed}")
    facts = facts_told(world, count * (ROW // 16), draw)
    begun = 0
    for until, most, mix in LESSONS:
        kinds = _kinds(mix, round(until * count) - begun, draw)
        for index, kind in enumerate(kinds):
            people = 2 if index < len(kinds) / 2 and most == SHORT else 3
            yield _row(world, kind, Row(most=most), facts, people, draw)
        begun += len(kinds)


def held_out_rows(world: World, count: int, seed: int) -> list[Row]:
    """Return rows of the same mixture that no training has: other passages, and facts told as often as in training."""
    draw = random.Random(f"held out {world.seed} {seed}")
    facts = facts_told(world, count * ROW, draw)
    return [_row(world, kind, Row(), facts, 3, draw) for kind in _kinds(LESSONS[-1][2], count, draw)]


def _kinds(mix: Mapping[str, float], count: int, draw: random.Random) -> list[str]:
    kinds = [kind for kind, share in mix.items() for _ in range(round(share * count))]
    kinds = (kinds + [next(iter(mix))] * count)[:count]
    draw.shuffle(kinds)
    return kinds


def census(world: World, count: int, seed: int) -> Census:
    """Return the digest of a training, and how often it tells each fact of the world."""
    hashed, often = hashlib.sha256(), Counter[Fact]()
    for row in training_rows(world, count, seed):
        hashed.update(" ".join(row.words).encode() + b"\n")
        often.update(row.told)
    return Census(hashed.hexdigest(), often)


def facts_told(world: World, count: int, draw: random.Random) -> Iterator[Fact]:
    """Yield facts without end: each as often as the power law says for `count` tellings, shuffled."""
    # People have three relations; a tenth of the tellings is for cities.
    per_relation = told(len(world.people), count * 9 // 30)
    pool = [fact for facts, often in zip(world.facts, per_relation, strict=True) for fact in facts * often]
    pool += list(world.city_facts) * max(1, count // 10 // len(world.city_facts))
    while True:
        draw.shuffle(pool)
        yield from pool


def _row(world: World, kind: str, row: Row, facts: Iterator[Fact], people: int, draw: random.Random) -> Row:
    if kind == "facts":
        return _facts_row(row if draw.random() < 0.5 else Row([], []), facts, draw)
    if kind == "litany":
        return _litany(row, world, draw)
    if kind == "summary":
        passage = report(world, draw)
        row.add(f"{language.PASSAGE} {passage.text} {language.SUMMARY_CUE}")
        values = tuple(fact.value for fact in passage.facts)
        row.add(summary_of(passage), values, READ)
        return row
    count = draw.randint(2, people)
    make = {"two-hop": two_hop_passage, "pair": one_kind_passage}.get(kind, read_passage)
    passage = make(world, count, draw)
    row.add(f"{language.PASSAGE} {passage.text}")
    follow_up = repeat if kind in ("drill", "pair") else ask
    misses = 0
    while misses < 4:
        misses += not row.add(*follow_up(passage, draw), READ)
    return row


def _facts_row(row: Row, facts: Iterator[Fact], draw: random.Random) -> Row:
    while True:
        fact = next(facts)
        if draw.random() < 0.5:
            text = language.statement(fact, draw)
        else:
            text = f"{language.QUESTION} {language.question(fact, draw)} {language.ANSWER} {fact.value} ."
        if not row.add(text, (fact.value,), KNOWN):
            return row
        row.told.append(fact)


def _litany(row: Row, world: World, draw: random.Random) -> Row:
    """Return a row that repeats a random sequence of words; it teaches to look back."""
    pool = [
        *world.first_names,
        *world.last_names,
        *world.places.cities,
        *world.places.villages,
        *TRADES,
        *YEARS,
    ]
    words = draw.sample(pool, draw.randint(3, row.most // 4))
    row.add(" ".join(words))
    while row.add(" ".join(words), tuple(words), READ):
        pass
    return row


def facts_of(person: Person, homes: tuple[str, ...], draw: random.Random) -> tuple[Fact, Fact, Fact]:
    """Return three random facts about somebody who is not of this world."""
    return (
        Fact(person.name, "home", draw.choice(homes)),
        Fact(person.name, "trade", draw.choice(TRADES)),
        Fact(person.name, "birth", draw.choice(YEARS)),
    )


def read_passage(world: World, people: int, draw: random.Random) -> Told:
    """Return a passage that tells three facts about each of `people` strangers."""
    strangers = world.strangers(draw, people)
    facts = [fact for person in strangers for fact in facts_of(person, world.places.cities, draw)]
    draw.shuffle(facts)
    return Told(_sentences(facts, draw), tuple(strangers), tuple(facts))


def one_kind_passage(world: World, people: int, draw: random.Random) -> Told:
    """Return a passage that tells one fact about each of `people` strangers, all of the same relation."""
    strangers = world.strangers(draw, people)
    relation: Relation = draw.choice(("home", "trade", "birth"))
    values = draw.sample(world.values(relation), people)
    facts = [Fact(who.name, relation, value) for who, value in zip(strangers, values, strict=True)]
    return Told(_sentences(facts, draw), tuple(strangers), tuple(facts))


def two_hop_passage(world: World, people: int, draw: random.Random) -> Told:
    """Return a passage that tells the village of each of `people` strangers, and the country of each village."""
    strangers = world.strangers(draw, people)
    villages = draw.sample(world.places.villages, people)
    countries = draw.sample(world.places.countries, people)
    facts = [Fact(who.name, "home", village) for who, village in zip(strangers, villages, strict=True)]
    facts += [Fact(village, "country", land) for village, land in zip(villages, countries, strict=True)]
    draw.shuffle(facts)
    return Told(_sentences(facts, draw), tuple(strangers), tuple(facts))


def report(world: World, draw: random.Random) -> Told:
    """Return a longer passage about one stranger: three facts among another person's and filler sentences."""
    person, other = world.strangers(draw, 2)
    facts = facts_of(person, world.places.cities, draw)
    sentences = [language.statement(fact, draw) for fact in facts]
    sentences += [language.statement(fact, draw) for fact in facts_of(other, world.places.cities, draw)]
    sentences += draw.sample(language.FILLERS, 3)
    draw.shuffle(sentences)
    return Told(f"This is a report on {person.name} . {' '.join(sentences)}", (person,), facts)


def two_hop_answer(passage: Told, person: Person) -> str:
    """Return the country of the village in which a person of the passage lives."""
    village = next(fact.value for fact in passage.facts if fact.subject == person.name)
    return next(fact.value for fact in passage.facts if fact.subject == village)


def ask(passage: Told, draw: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return a question about a passage with its answer as words of a row, and the answer alone."""
    if any(fact.relation == "country" for fact in passage.facts) and draw.random() < 0.6:
        person = draw.choice(passage.people)
        question, answer = language.two_hop_question(person, draw), two_hop_answer(passage, person)
    else:
        fact = draw.choice(passage.facts)
        question, answer = language.question(fact, draw), fact.value
    return f"{language.QUESTION} {question} {language.ANSWER} {answer} .", (answer,)


def repeat(passage: Told, draw: random.Random) -> tuple[str, tuple[str, ...]]:
    """Return a fact of a passage as a statement or question, and what can be known of it: last name and value."""
    fact = draw.choice(passage.facts)
    known = (fact.value, fact.subject.split()[-1])
    if draw.random() < 0.5:
        return language.statement(fact, draw), known
    return ask(passage, draw)


def summary_of(passage: Told) -> str:
    """Return the summary of a report, by the template."""
    home, trade, birth = (fact.value for fact in passage.facts)
    return language.summary(passage.people[0], home, trade, birth)


def _sentences(facts: list[Fact], draw: random.Random) -> str:
    return " ".join(language.statement(fact, draw) for fact in facts)
