"""What answerers without knowledge score, by the real scoring of real tasks on small data."""

import pytest

from kick.harness.floors import floors_of, passage, score_responses
from kick.harness.tasks import LoadedTask, load_tasks
from kick.suite.catalog import read_catalog
from kick.types import Floor, Floors
from tests.data_root import make_data_root

NAMES = [
    "kick_squad",
    "kick_squad2",
    "kick_squad2_unanswerable",
    "kick_webquestions",
    "kick_mmlu",
    "kick_mmlu_text",
    "kick_mmlu_generated",
    "kick_mmlu_pro",
    "kick_cnn_dailymail",
    "kick_strategyqa",
    "kick_hotpotqa",
    "kick_musique_hops",
    "kick_musique_hops_closed",
    "kick_world_multihop",
    "llm_kick_icra_closed",
]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedTask]:
    root = make_data_root(tmp_path_factory.mktemp("data"))
    return {task.info.name: task for task in load_tasks(NAMES, read_catalog(), data_root=root)}


def scores(floors: Floors) -> dict[str, float]:
    return {floor.answerer: floor.score for floor in floors.floors}


@pytest.mark.parametrize("name", NAMES)
def test_every_task_has_a_floor_of_all_its_items_within_0_and_1(
    tasks: dict[str, LoadedTask], name: str
) -> None:
    floors = floors_of(tasks[name])
    assert floors.items == len(tasks[name].task.eval_docs)
    assert all(0.0 <= floor.score <= 1.0 for floor in floors.floors)
    assert floors.best.score == max(floor.score for floor in floors.floors)


def test_saying_nothing_scores_nothing_by_kicks_rules_and_all_by_the_papers(
    tasks: dict[str, LoadedTask],
) -> None:
    assert scores(floors_of(tasks["kick_webquestions"]))["empty"] == 0.0
    assert scores(floors_of(tasks["llm_kick_icra_closed"]))["empty"] == 1.0


def test_the_most_frequent_answer_is_the_best_constant(tasks: dict[str, LoadedTask]) -> None:
    assert scores(floors_of(tasks["kick_webquestions"]))["the most frequent answer"] == pytest.approx(1 / 6)


def test_one_option_always_scores_its_share_and_chance_is_one_over_the_options(
    tasks: dict[str, LoadedTask],
) -> None:
    found = scores(floors_of(tasks["kick_mmlu"]))
    assert (found["one option always"], found["chance"]) == (1.0, 0.25)
    assert scores(floors_of(tasks["kick_strategyqa"]))["one option always"] == 0.5
    assert scores(floors_of(tasks["kick_mmlu_generated"]))["the most frequent answer"] == 1.0
    assert scores(floors_of(tasks["kick_mmlu_pro"]))["chance"] == pytest.approx((9 / 10 + 1 / 5) / 10)


def test_options_of_different_lengths_can_be_chosen_by_their_length(tasks: dict[str, LoadedTask]) -> None:
    docs = [
        {
            "question": "Which?",
            "subject": "virology",
            "choices": ["a", "a long one"],
            "answer": 1,
            "shots": [],
        }
    ]
    found = scores(floors_of(tasks["kick_mmlu_text"], docs))
    assert (found["the longest option"], found["the shortest option"]) == (1.0, 0.0)


def test_always_declining_is_the_floor_of_unanswerable_questions(tasks: dict[str, LoadedTask]) -> None:
    assert floors_of(tasks["kick_squad2_unanswerable"]).best == Floor(
        answerer="the most frequent answer", score=1.0
    )
    assert floors_of(tasks["kick_squad2"]).best.score == pytest.approx(0.5)


def test_a_comparison_question_is_answered_half_the_time_by_naming_an_option(
    tasks: dict[str, LoadedTask],
) -> None:
    docs = [
        {
            "question": "Who is older, Ann Lee or Bo Vik?",
            "answer": gold,
            "context": {"title": [], "sentences": []},
        }
        for gold in ("Ann Lee", "Bo Vik")
    ]
    found = scores(floors_of(tasks["kick_hotpotqa"], docs))
    assert found["the question given back"] == 0.0
    assert found["the first option named"] == found["the last option named"] == 0.5
    assert found["all options named"] == 0.5


def test_the_lead_of_an_article_is_a_floor_and_a_salad_of_stop_words_is_none(
    tasks: dict[str, LoadedTask],
) -> None:
    found = scores(floors_of(tasks["kick_cnn_dailymail"]))
    assert found["a salad of stop words"] == 0.0
    assert {"the first sentence", "the first 2 sentences", "the first 3 sentences"} <= set(found)


def test_given_responses_are_scored_as_a_models_would_be(tasks: dict[str, LoadedTask]) -> None:
    task = tasks["kick_squad"]
    docs = list(task.task.eval_docs)
    answers = [doc["answers"]["text"][0] for doc in docs]
    assert [each["contains"] for each in score_responses(task, docs, answers)] == [1.0] * len(docs)
    before = getattr(task.task, "_instances", None)
    score_responses(task, docs[:1], ["nothing"])
    assert getattr(task.task, "_instances", None) is before


def test_a_task_without_items_has_no_floor(tasks: dict[str, LoadedTask]) -> None:
    with pytest.raises(ValueError, match="without items"):
        floors_of(tasks["kick_squad"], [])


def test_a_passage_that_the_prompt_does_not_show_is_not_quoted(tasks: dict[str, LoadedTask]) -> None:
    closed, shown = (floors_of(tasks[f"kick_musique_hops{kind}"]) for kind in ("_closed", ""))
    assert "the first sentence of the passage" not in scores(closed)
    assert scores(shown)["the first sentence of the passage"] > 0.0


def test_the_passage_of_a_document_is_found_whatever_its_field() -> None:
    assert passage({"article": "Ice."}) == "Ice."
    assert passage({"context": {"title": ["T"], "sentences": [["One.", " Two."], ["Three."]]}}) == "One. Two."
    assert passage({"paragraphs": [{"paragraph_text": "First."}]}) == "First."
    assert passage({"question": "Which?"}) == ""
