"""Prompts as the turns of a conversation, by a chat template.

lm-eval builds the turns of a prompt (`--apply_chat_template`); here they become text. transformers renders templates in
Jinja's sandbox. A template that refuses or drops the system message gets it in front of the first message of the user,
so no instruction is lost; lm-eval drops it. Templates that print today's date print a fixed one, or the prompts would
change from day to day.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from kick.checkpoints.tokenizers import read_chat_template
from kick.checkpoints.untrusted import refusing
from kick.errors import InputError
from kick.files import digest, read_text
from kick.harness.tasks import LoadedTask
from kick.harness.thinking import Thinking
from kick.suite import Suite
from kick.types import FewshotAs

# The date of every conversation: the one that Llama 3.1's template falls back on.
TODAY = datetime(2024, 7, 26)

Message = Mapping[str, str]


@dataclass(frozen=True)
class ChatFormat:
    """The making of a conversation from a prompt.

    Attributes:
        template: A Jinja template, as tokenizers have it.
        system: The system message; a task's description follows it.
        fewshot_as: Solved examples as turns of their own, or in one message with the question.
        variables: Further variables of the template, such as `enable_thinking`.
        thinking: How the model marks its thoughts; None: all of a response is its answer.
    """

    template: str
    system: str | None = None
    fewshot_as: FewshotAs = "turns"
    variables: Mapping[str, Any] = field(default_factory=dict)
    thinking: Thinking | None = None

    @property
    def hash(self) -> str:
        """A hash of all that decides how a prompt becomes a conversation."""
        settings = json.dumps([self.variables, self.thinking and asdict(self.thinking)], sort_keys=True)
        return digest(self.template, self.system or "", self.fewshot_as, settings)

    def in_words(self) -> str:
        """Return the format as a sentence for the reader of a score."""
        shots = "turns of their own" if self.fewshot_as == "turns" else "part of the question's message"
        system = f", the system message {self.system!r}" if self.system else ""
        thinking = f", {self.thinking.budget} tokens to think" if self.thinking else ""
        template = digest(self.template)[:12]
        return (
            f"asked as a conversation by the chat template {template}, examples as {shots}{system}{thinking}"
        )


def chat_format(suite: Suite, tokenizer: Path) -> ChatFormat | None:
    """Return how the prompts of a suite become conversations; None: they stay as the tasks write them.

    Args:
        suite: The suite.
        tokenizer: The folder of the reference's tokenizer, whose template is used if the suite names none.

    Raises:
        InputError: A template is asked for and not there.
    """
    if suite.chat == "off":
        return None
    if suite.chat_template in (None, "reference"):
        template = read_chat_template(tokenizer)
    else:
        template = read_text(Path(str(suite.chat_template)))
    if template is None and suite.chat == "on":
        raise InputError(
            f"chat: on, and the tokenizer of the reference in {tokenizer} has no chat template. Give a file as "
            "`chat_template`, or set chat: off."
        )
    if template is None:
        return None
    thinking = Thinking(**suite.thinking.model_dump()) if suite.thinking else None
    return ChatFormat(template, suite.system, suite.fewshot_as, suite.chat_variables, thinking)


def in_chat(loaded: LoadedTask, suite: Suite) -> bool:
    """Return whether a task is asked as a conversation, if there is a template.

    With `chat: auto` these are the tasks whose answers are generated, with `on` those with choices, too. A task opts in
    or out by `chat` in its metadata.
    """
    if suite.chat == "off":
        return False
    stated = (loaded.task.config.metadata or {}).get("chat")
    if stated is not None:
        return bool(stated)
    return suite.chat == "on" or loaded.info.kind == "generation"


class ChatRenderer:
    """Renders the turns that lm-eval builds, for one tokenizer.

    Attributes:
        chat: The format.
        folded: True once a system message went into the first message of the user.
    """

    def __init__(self, chat: ChatFormat, tokenizer: PreTrainedTokenizerBase) -> None:
        """Take a format and the tokenizer whose special tokens the template may print."""
        self.chat = chat
        self.folded = False
        self._tokenizer = tokenizer

    def __call__(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """Return a conversation as text.

        Args:
            messages: Each with `role` and `content`.
            add_generation_prompt: Open the turn of the assistant; otherwise the last message stays open.

        Raises:
            InputError: The template fails, or drops a message of the user.
        """
        text = None
        if messages[0]["role"] == "system":
            try:
                text = self._render(messages, add_generation_prompt)
            except InputError:
                text = None
            if text is None or messages[0]["content"].strip() not in text:
                messages, text = _without_system(messages), None
                self.folded = True
        if text is None:
            text = self._render(messages, add_generation_prompt)
        for message in messages:
            if message["role"] == "user" and message["content"].strip() not in text:
                raise InputError(
                    f"the chat template drops a message of the user, or changes it: {message['content'][:80]!r}. "
                    "Name a template that works with `chat_template`, or set chat: off."
                )
        return text

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        with refusing("the chat template cannot render a prompt (name another with `chat_template`)"):
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    chat_template=self.chat.template,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    continue_final_message=not add_generation_prompt,
                    strftime_now=TODAY.strftime,
                    **self.chat.variables,
                )
            )


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the system's in front of the user's first one."""
    system, first, *rest = messages
    return [{"role": first["role"], "content": f"{system['content'].strip()}\n\n{first['content']}"}, *rest]
