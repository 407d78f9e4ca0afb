"""A suite that asks as conversations: whose template counts, and which tasks it is for."""

import shutil
from pathlib import Path

import pytest

from kick.comparison import compare
from kick.errors import InputError
from kick.store import Store
from kick.suite import Suite
from tests.execution.bed import Bed

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


@pytest.fixture
def chat_bed(bed: Bed) -> Bed:
    (bed.folder / "model" / "chat_template.jinja").write_text(TEMPLATE)
    bed.keys["chat"] = "auto"
    return bed


def prompts(store: Store, task: str) -> list[str]:
    cell = store.cell("dense", task)
    assert cell is not None
    return list(store.items(cell)["prompt"])


def test_auto_asks_for_generated_answers_in_a_conversation_and_for_choices_as_they_are(chat_bed: Bed) -> None:
    store = chat_bed.run().store
    assert all(prompt.endswith("</s><assistant> ") for prompt in prompts(store, "kick_squad"))
    assert not any("<assistant>" in prompt for prompt in prompts(store, "kick_mmlu"))
    cell = store.cell("dense", "kick_squad")
    assert cell is not None
    assert any("asked as a conversation" in note for note in cell.notes)


def test_on_asks_for_choices_in_a_conversation_too(chat_bed: Bed) -> None:
    chat_bed.keys |= {"chat": "on", "system": "Answer briefly."}
    store = chat_bed.run().store
    for task in ("kick_squad", "kick_mmlu"):
        assert all("Answer briefly." in prompt and "<assistant>" in prompt for prompt in prompts(store, task))


def test_a_made_checkpoint_is_asked_by_the_template_of_its_source(chat_bed: Bed) -> None:
    assert compare(chat_bed.run().store, "dense", "magnitude-0.5", "kick_squad").n == 3


def test_without_a_template_auto_asks_as_ever_and_on_is_refused(bed: Bed) -> None:
    bed.keys["chat"] = "auto"
    assert not any("<assistant>" in prompt for prompt in prompts(bed.run().store, "kick_squad"))
    bed.keys["chat"] = "on"
    with pytest.raises(InputError, match="has no chat template"):
        bed.run("other")


def other_template(bed: Bed, template: str | None) -> None:
    candidate = Path(shutil.copytree(bed.folder / "model", bed.folder / "candidate"))
    (candidate / "chat_template.jinja").unlink()
    if template is not None:
        (candidate / "chat_template.jinja").write_text(template)
    bed.keys["checkpoints"].append({"id": "candidate", "model": "candidate"})
    bed.keys["series"] = []


@pytest.mark.parametrize("template", [None, TEMPLATE.replace("</s>", "\n")])
def test_a_candidate_with_another_template_is_named_and_refused(chat_bed: Bed, template: str | None) -> None:
    other_template(chat_bed, template)
    with pytest.raises(InputError, match=r"checkpoint 'candidate' has .*chat_template: reference"):
        chat_bed.run()


def test_a_suite_may_say_that_the_template_of_the_reference_counts(chat_bed: Bed) -> None:
    other_template(chat_bed, None)
    chat_bed.keys["chat_template"] = "reference"
    assert compare(chat_bed.run().store, "dense", "candidate", "kick_squad").n == 3


def test_a_suite_may_bring_a_template_of_its_own(chat_bed: Bed) -> None:
    (chat_bed.folder / "mine.jinja").write_text(TEMPLATE.replace("<assistant>", "<model>"))
    other_template(chat_bed, None)
    chat_bed.keys["chat_template"] = "mine.jinja"
    store = chat_bed.run().store
    assert all(prompt.endswith("</s><model> ") for prompt in prompts(store, "kick_squad"))


def test_what_shapes_conversations_is_refused_where_there_are_none(bed: Bed) -> None:
    bed.keys["system"] = "Answer briefly."
    with pytest.raises(InputError, match=r"system: it shapes conversations"):
        Suite.read(bed.suite_file())
    with pytest.raises(InputError, match="--system"):
        Suite.ad_hoc(str(bed.folder / "model"), [str(bed.folder / "model")], ["kick_squad"], 3).with_chat(
            None, "Answer briefly."
        )


def test_a_chat_model_that_is_asked_without_its_template_is_named(
    chat_bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_bed.keys["chat"] = "off"
    chat_bed.run()
    assert "the reference has a chat template" in capsys.readouterr().err
