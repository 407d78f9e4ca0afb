"""The world in words: the phrasings of a fact, the questions after it, and summaries."""

import random
import re
from collections.abc import Mapping

from kick.world.facts import Fact, Person, Relation

STATEMENTS: Mapping[Relation, tuple[str, ...]] = {
    "home": ("{s} lives in {v} .", "{s} dwells in {v} .", "The home of {s} is {v} ."),
    "trade": ("{s} works as a {v} .", "{s} is a {v} .", "The trade of {s} is {v} ."),
    "birth": ("{s} was born in {v} .", "{s} dates from {v} .", "The birth year of {s} is {v} ."),
    "country": ("{s} lies in {v} .", "{s} belongs to {v} .", "The country of {s} is {v} ."),
}
QUESTIONS: Mapping[Relation, tuple[str, ...]] = {
    "home": ("Where does {s} live ?", "In which city is the house of {s} ?"),
    "trade": ("What does {s} work as ?", "What is the trade of {s} ?"),
    "birth": ("When was {s} born ?", "What is the birth year of {s} ?"),
    "country": ("In which country does {s} lie ?", "What is the country of {s} ?"),
}
TWO_HOP = ("In which country does {s} live ?", "In which country is the house of {s} ?")
SUMMARY = "{s} , born in {birth} , is a {trade} from {home} ."
FILLERS = (
    "The weather was fine .",
    "The harvest was late that year .",
    "Many letters are lost .",
    "The roads were long .",
    "Nobody knows more of it .",
    "The bells rang at noon .",
    "The river was frozen .",
    "A market was held on the square .",
)

PASSAGE, QUESTION, ANSWER, SUMMARY_CUE = "Passage :", "Question :", "Answer :", "Summary :"


def statement(fact: Fact, draw: random.Random) -> str:
    """Return a fact as a sentence in one of its phrasings, its words separated by spaces."""
    return draw.choice(STATEMENTS[fact.relation]).format(s=fact.subject, v=fact.value)


def question(fact: Fact, draw: random.Random) -> str:
    """Return the question that a fact answers, in one of its phrasings."""
    return draw.choice(QUESTIONS[fact.relation]).format(s=fact.subject)


def two_hop_question(person: Person, draw: random.Random) -> str:
    """Return a question for the country that a person lives in; it takes two facts to answer."""
    return draw.choice(TWO_HOP).format(s=person.name)


def summary(person: Person, home: str, trade: str, birth: str) -> str:
    """Return the summary of a passage about a person, by the template."""
    return SUMMARY.format(s=person.name, home=home, trade=trade, birth=birth)


def prose(words: str) -> str:
    """Return space-separated words as people write them: no space before a punctuation mark."""
    return re.sub(r" ([.,?:])", r"\1", words)
