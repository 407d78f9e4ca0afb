"""The tasks of a check that names none: one per family of knowledge, for the kind of model that is checked."""

from kick.checkpoints import read_chat_template
from kick.execution.planning import tokenizer_folder
from kick.types import Checkpoint

_OPEN_ANSWERS = ("kick_triviaqa", "kick_squad", "kick_hotpotqa")
# A base model continues a text, so the likelihood of the letter is what it knows.
BASE_TASKS = ("kick_mmlu", *_OPEN_ANSWERS)
# An instruct model is used for what it writes, so the letter is read from there.
INSTRUCT_TASKS = ("kick_mmlu_generated", *_OPEN_ANSWERS)


def default_tasks(reference: Checkpoint) -> tuple[str, ...]:
    """Return the tasks for a dense model: those of an instruct model if its tokenizer has a chat template.

    Raises:
        InputError: the model or its tokenizer is missing or damaged.
    """
    return INSTRUCT_TASKS if read_chat_template(tokenizer_folder(reference)) else BASE_TASKS
