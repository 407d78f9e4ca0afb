"""The documents of the tasks on the world, as lm-eval loads them: `custom_dataset: !function kick.world.documents.*`.

Each function makes one split, `test`, from the world's seed; nothing is read or downloaded. Passages are about people
who are not of the world, drawn from seeds that no training uses, so their answers can only be read off the passage.
"""

import random
from collections.abc import Callable
from typing import Any

import datasets

from kick.world import corpus, language
from kick.world.facts import Band, Relation, World, make_world
from kick.world.language import prose

Splits = dict[str, datasets.Dataset]


def factoid(*, band: Band, items: int, seed: int, **_metadata: object) -> Splits:
    """Return closed-book questions about the people of one popularity band, drawn without repetition.

    Columns: question, answers, subject, relation, rank (0 = most told).
    """
    world = make_world(seed)
    draw = random.Random(f"factoid {seed} {band}")
    candidates = [
        (person, fact)
        for person in world.people
        for fact in world.facts[person.rank]
        if world.band(person.rank) == band
    ]
    rows = [
        {
            "question": prose(language.question(fact, draw)),
            "answers": [fact.value],
            "subject": fact.subject,
            "relation": fact.relation,
            "rank": person.rank,
        }
        for person, fact in draw.sample(candidates, items)
    ]
    return _test(rows)


def choice(*, items: int, seed: int, **_metadata: object) -> Splits:
    """Return questions about people of every band, each with three wrong values of the same relation.

    Columns: question, choices, gold (index), subject, relation, band, rank.
    """
    world = make_world(seed)
    draw = random.Random(f"choice {seed}")
    rows = []
    for person, fact in draw.sample([(p, f) for p in world.people for f in world.facts[p.rank]], items):
        wrong = draw.sample([value for value in world.values(fact.relation) if value != fact.value], 3)
        choices = [*wrong, fact.value]
        draw.shuffle(choices)
        rows.append(
            {
                "question": prose(language.question(fact, draw)),
                "choices": choices,
                "gold": choices.index(fact.value),
                "subject": fact.subject,
                "relation": fact.relation,
                "band": world.band(person.rank),
                "rank": person.rank,
            }
        )
    return _test(rows)


def incontext(*, items: int, seed: int, people: int, **_metadata: object) -> Splits:
    """Return passages about invented people, each with a question about one of their facts.

    Columns: passage, question, answers, relation.
    """

    def item(world: World, draw: random.Random) -> dict[str, Any]:
        passage = corpus.read_passage(world, people, draw)
        fact = draw.choice(passage.facts)
        return _reading(passage.text, language.question(fact, draw), fact.value, fact.relation)

    return _test(_drawn("incontext", items, seed, item))


def multihop(*, items: int, seed: int, people: int, **_metadata: object) -> Splits:
    """Return passages on who lives in which village, and in which country it is, with a question across both.

    Columns: passage, question, answers, relation. One of the `people` countries that the passage names is right.
    """

    def item(world: World, draw: random.Random) -> dict[str, Any]:
        passage = corpus.two_hop_passage(world, people, draw)
        person = draw.choice(passage.people)
        question = language.two_hop_question(person, draw)
        return _reading(passage.text, question, corpus.two_hop_answer(passage, person), "country")

    return _test(_drawn("multihop", items, seed, item))


def summary(*, items: int, seed: int, **_metadata: object) -> Splits:
    """Return longer passages with summaries.

    Columns: passage, summary, required (the values that a summary must hold).
    """

    def item(world: World, draw: random.Random) -> dict[str, Any]:
        passage = corpus.report(world, draw)
        values = [fact.value for fact in passage.facts]
        text = prose(corpus.summary_of(passage))
        return {"passage": prose(passage.text), "summary": text, "required": values}

    return _test(_drawn("summary", items, seed, item))


def held_out_text(seed: int = 1234, rows: int = 96) -> str:
    """Return text for perplexity: the mixture of the training, but in none of its rows; one row per line."""
    texts = [
        " ".join(row.words).removeprefix(corpus.START)
        for row in corpus.held_out_rows(make_world(seed), rows, seed)
    ]
    return "\n".join(prose(text.strip()) for text in texts)


def _drawn(
    name: str, items: int, seed: int, item: Callable[[World, random.Random], dict[str, Any]]
) -> list[dict[str, Any]]:
    world, draw = make_world(seed), random.Random(f"{name} {seed}")
    return [item(world, draw) for _ in range(items)]


def _reading(passage: str, question: str, answer: str, relation: Relation) -> dict[str, Any]:
    return {
        "passage": prose(passage),
        "question": prose(question),
        "answers": [answer],
        "relation": relation,
    }


def _test(rows: list[dict[str, Any]]) -> Splits:
    return {"test": datasets.Dataset.from_list(rows)}
