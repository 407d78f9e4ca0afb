"""Models that think aloud before they answer: what they thought is kept apart, and never scored.

Such a model gets a budget for its thoughts besides that of the answer, and no stop string until it ends its turn. The
answer is what follows the end of the thoughts, up to the task's own stop strings and budget. A model that never ends
them has not answered: its answer is empty and counted as cut off, apart from a wrong one.
"""

from dataclasses import dataclass

# The metrics that a task has besides its own: tokens of the thoughts, and 1.0 if they never ended.
THOUGHT_TOKENS = "thought_tokens"
CUT_OFF = "cut_off"


@dataclass(frozen=True)
class Thinking:
    """How a model marks its thoughts.

    Attributes:
        end: The text after which the answer comes.
        budget: New tokens for the thoughts.
        start: The text before them; a template may have it in the prompt.
    """

    end: str
    budget: int
    start: str = "<think>"

    def split(self, prompt: str, text: str) -> "Thought":
        """Return the thoughts and the answer of a completion of a prompt.

        >>> Thinking("</think>", 100).split("Q:", "<think>Paris? Yes.</think> Paris")
        Thought(text='Paris? Yes.', answer='Paris', cut_off=False)
        >>> Thinking("</think>", 100).split("Q:", "Paris")
        Thought(text='', answer='Paris', cut_off=False)
        >>> Thinking("</think>", 100).split("Q: <think>", "Is it Paris? Or is it")
        Thought(text='Is it Paris? Or is it', answer='', cut_off=True)
        """
        thought, end, answer = text.partition(self.end)
        opened = thought.lstrip().startswith(self.start)
        own = thought.lstrip().removeprefix(self.start).strip()
        if end:
            return Thought(own, answer.lstrip(), cut_off=False)
        if opened or prompt.rstrip().endswith(self.start):
            return Thought(own, "", cut_off=True)
        return Thought("", text, cut_off=False)


@dataclass(frozen=True)
class Thought:
    """A completion, taken apart.

    Attributes:
        text: The thoughts.
        answer: What follows them.
        cut_off: True if they never ended.
    """

    text: str
    answer: str
    cut_off: bool
