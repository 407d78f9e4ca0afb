from pathlib import Path

import pytest

from kick.errors import InputError
from kick.harness.checks import (
    RenderedItem,
    chance,
    check_task,
    duplicates,
    items_in_shots,
    references_in_prompts,
    rendered,
    stop_if_unfit,
)
from kick.harness.plan import build_requests
from kick.harness.tasks import load_tasks
from kick.suite.catalog import read_catalog
from tests.data_root import make_data_root

SHOTS = "Question: Who kept the lighthouse?\nAnswer: Maren Holt\n\n"


def item(
    own: str,
    target: str = "Odde",
    doc_id: int = 0,
    shots: str = SHOTS,
    question: str = "",
    choices: tuple[str, ...] = (),
) -> RenderedItem:
    return RenderedItem(
        doc_id=doc_id, prompt=shots + own, own=own, target=target, question=question, choices=choices
    )


OTHER = item("Question: Which bay is this?\nAnswer:", target="Vin", doc_id=99)


def test_a_reference_in_the_prompt_is_found() -> None:
    leaked = item("Question: Which lake? It begins with Odde.\nAnswer:", doc_id=7)
    assert [each.doc_id for each in references_in_prompts([leaked, OTHER])] == [7]


def test_a_hint_beside_the_question_is_a_leak_and_the_questions_own_words_are_not() -> None:
    asked = "Which is deeper, Odde or Vin?"
    fair = item(f"Question: {asked}\nAnswer:", question=asked)
    leaked = item(f"Question: {asked}\nHint: odde.\nAnswer:", question=asked, doc_id=1)
    assert [each.doc_id for each in references_in_prompts([fair, leaked])] == [1]


def test_words_that_every_prompt_has_give_no_answer_away() -> None:
    items = [item("Question: Who?\nAnswer:", target="question"), OTHER]
    assert references_in_prompts(items) == []


def test_a_reference_that_every_prompt_ends_with_is_not_taken_for_the_template() -> None:
    items = [
        item(f"Question: Which {thing}? Answer: {gold}", target=gold, doc_id=at)
        for at, (thing, gold) in enumerate([("lake", "Lake Odde"), ("bay", "Lake Odd")])
    ]
    assert [each.doc_id for each in references_in_prompts(items)] == [0, 1]


def test_a_reference_that_is_a_shots_answer_is_no_leak() -> None:
    assert references_in_prompts([item("Question: Who rowed?\nAnswer:", target="Maren Holt"), OTHER]) == []


def test_a_part_of_a_word_is_no_reference() -> None:
    assert references_in_prompts([item("Question: Is it oddest?\nAnswer:", target="odd"), OTHER]) == []


def test_yes_and_no_are_no_leaks() -> None:
    assert references_in_prompts([item("Question: Is there no lake?\nAnswer:", target="no"), OTHER]) == []


def test_questions_asked_twice_are_counted_whatever_their_case_and_marks() -> None:
    items = [
        item("Question: Which lake?\nAnswer:", doc_id=3),
        item("Question: Which bay?\nAnswer:", doc_id=4),
        item("question: which lake\nanswer:", doc_id=5),
    ]
    assert duplicates(items) == 1


def test_one_question_with_other_options_is_another_item() -> None:
    items = [
        item("Question: Which is true?", choices=choices)
        for choices in ((" a", " b"), (" c", " d"), (" a", " b"))
    ]
    assert duplicates(items) == 1


def test_a_shot_that_asks_the_item_is_found() -> None:
    same = item("Question: Who kept the lighthouse?\nAnswer:", doc_id=2)
    assert [each.doc_id for each in items_in_shots([same, item("Question: Who rowed?\nAnswer:")])] == [2]


def test_a_shot_with_the_same_question_and_another_answer_is_another_item_of_choices() -> None:
    own, choices = "Question: Who kept the lighthouse?\nAnswer:", (" Maren Holt", " Iver Lund")
    assert items_in_shots([item(own, target="Iver Lund", choices=choices)]) == []
    assert len(items_in_shots([item(own, target="Maren Holt", choices=choices)])) == 1


@pytest.mark.parametrize(
    ("stated", "choices", "found"),
    [
        (0.25, 4, 0),
        (0.5, 4, 1),
        (None, 4, 1),
        (None, 0, 0),
    ],
)
def test_the_chance_of_choices_must_be_stated_and_right(
    stated: float | None, choices: int, found: int
) -> None:
    items = [item("Which?", choices=tuple(map(str, range(choices))))]
    assert len(chance("factoid_qa", stated, items)) == found


def test_multiple_choice_that_is_generated_states_its_chance_too() -> None:
    assert len(chance("multiple_choice", None, [OTHER])) == 1
    assert chance("multiple_choice", 0.25, [OTHER]) == []


TASK = """
task: {name}
custom_dataset: !function kick.data.datasets.load
dataset_kwargs: {{path: stanfordnlp/web_questions, splits: [test]}}
test_split: test
output_type: generate_until
doc_to_text: "{prompt}"
doc_to_target: "{{{{answers[0]}}}}"
process_results: !function kick.metrics.answers.webquestions
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list: [{{metric: contains, aggregation: mean}}]
metadata: {{version: 1, family: factoid_qa, metric: contains, chance: null, items: 2032{more}}}
"""


def write_task(folder: Path, name: str, prompt: str, more: str = "") -> Path:
    """A task over the web questions of the tests' data root, with a prompt of its own."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, prompt=prompt, more=more))
    return folder


def test_a_task_whose_prompt_tells_the_answer_is_unfit(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "tasks", "leaky", "Q: {{question}} Hint: {{answers[0]}} A:")
    loaded = load_tasks(
        ["leaky"], read_catalog([folder]), include=[folder], data_root=make_data_root(tmp_path / "data")
    )[0]
    check = check_task(loaded, rendered(loaded, build_requests(loaded, range(6), 1), range(6)))
    assert [finding.doc_id for finding in check.failures] == list(range(6))
    assert check.notes == ("the data hold 6 of the 2,032 items of the pinned split",)
    with pytest.raises(InputError, match=r"leaky: its scores would be wrong. item 0: 'copper'.*and 3 more"):
        stop_if_unfit(check)


def test_a_task_may_say_that_its_answer_belongs_in_the_prompt(tmp_path: Path) -> None:
    prompt = "{{question}} One of: {{answers[0]}}, Oslo."
    folder = write_task(tmp_path / "tasks", "open", prompt, ", answer_in_prompt: true")
    loaded = load_tasks(
        ["open"], read_catalog([folder]), include=[folder], data_root=make_data_root(tmp_path / "data")
    )[0]
    check = check_task(loaded, rendered(loaded, build_requests(loaded, range(6), 1), range(6)))
    assert check.failures == ()
    stop_if_unfit(check)
