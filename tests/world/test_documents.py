"""The tasks' documents: what is asked, and what can be known."""

from kick.world import documents
from kick.world.facts import make_world


def test_closed_book_questions_ask_for_facts_of_their_band() -> None:
    world = make_world(1234)
    facts = {(fact.subject, fact.relation): fact.value for facts in world.facts for fact in facts}
    for band in ("head", "torso", "tail"):
        rows = documents.factoid(band=band, items=100, seed=1234)["test"]
        assert len({(row["subject"], row["relation"]) for row in rows}) == 100
        for row in rows:
            assert world.band(row["rank"]) == band
            assert row["answers"] == [facts[row["subject"], row["relation"]]]
            assert row["subject"] in row["question"]


def test_choices_hold_the_right_value_once_and_are_of_one_kind() -> None:
    world = make_world(1234)
    for row in documents.choice(items=100, seed=1234)["test"]:
        assert len(set(row["choices"])) == 4
        assert set(row["choices"]) <= set(world.values(row["relation"]))
        assert row["choices"][row["gold"]] in {f.value for f in world.facts[row["rank"]]}


def test_passages_answer_their_questions_about_people_who_are_not_of_the_world() -> None:
    known = {person.name for person in make_world(1234).people}
    for row in documents.incontext(items=100, seed=1234, people=3)["test"]:
        assert row["answers"][0] in row["passage"]
        assert not any(name in row["question"] for name in known)


def test_a_two_hop_answer_never_stands_in_one_sentence_with_the_person() -> None:
    for row in documents.multihop(items=100, seed=1234, people=3)["test"]:
        person = row["question"].rstrip("?").removesuffix(" live")[-30:].split(" of ")[-1].split("does ")[-1]
        told = [sentence for sentence in row["passage"].split(".") if row["answers"][0] in sentence]
        assert len(told) == 1
        assert person.strip() not in told[0]


def test_a_summary_holds_what_it_must() -> None:
    for row in documents.summary(items=50, seed=1234)["test"]:
        assert len(row["required"]) == 3
        assert all(value in row["summary"] and value in row["passage"] for value in row["required"])


def test_documents_are_the_same_every_time() -> None:
    def texts() -> list[str]:
        return documents.incontext(items=20, seed=1234, people=3)["test"]["passage"]

    assert list(texts()) == list(texts())
    assert documents.held_out_text() == documents.held_out_text()
