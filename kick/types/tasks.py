"""The work that checkpoints are scored on: tasks, plans of their requests, and how requests are batched."""

from typing import Literal

from pydantic import Field

from kick.types.base import Record

Family = Literal[
    "factoid_qa",
    "multihop_reasoning",
    "incontext_qa",
    "summarization",
    "multiple_choice",
    "perplexity",
    "other",
]

# A task asks a model to write text, to choose, to find one continuation likely, or to predict a running text.
TaskKind = Literal["generation", "choice", "likelihood", "text"]

# Solved examples in a conversation: turns of their own, or part of the message that asks.
FewshotAs = Literal["turns", "message"]

# How much of what requests share is computed once: see `kick.engines.torch.batching`.
Tier = Literal["tree", "prefix", "plain"]


class BatchSize(Record):
    """The size of a batch."""

    # Tokens, padding included.
    tokens: int
    # Completions that are generated together.
    rows: int


class TaskInfo(Record):
    """The facts about a task that a reader of its scores has to know."""

    name: str
    kind: TaskKind
    family: Family
    # The metric that represents the task in tables and curves.
    metric: str
    # Every metric column of the task's items; that of a further filter is `<metric>,<filter>`.
    metrics: tuple[str, ...]
    higher_is_better: bool = True
    # The score of blind guessing, in the units of `metric`.
    chance: float | None = None
    # Solved examples in front of each question.
    shots: int = 0
    # The field of a document by which items are grouped.
    group_by: str | None = None
    # "cluster": items that share a value depend on each other (one passage); "strata": the values are fixed categories
    # (subjects), all of which are always asked.
    grouping: Literal["strata", "cluster"] = "cluster"
    version: str = "0"


class PlanInfo(Record):
    """The facts that two scores must share to be comparable; printed where they do not."""

    # A hash of every tokenised request, in order.
    hash: str
    # A hash of the task's configuration: prompts, targets, choices, generation settings.
    task_config: str
    # A hash of the documents that are scored.
    documents: str
    shots: int
    # The number of items to draw by `seed`; None: all.
    limit: int | None
    seed: int
    # The number of items in the plan.
    items: int
    # A hash of the chat template and of what it is given; None: the prompts are as the task writes them.
    chat: str | None = None


class Skipped(Record):
    """An item that was left out, and why."""

    doc_id: int
    reason: str


class TierChoice(Record):
    """The scoring path of all checkpoints of a suite, decided by a self-test of its reference."""

    tier: Tier
    # Faster tier -> why the reference is not scored by it.
    refused: dict[str, str] = Field(default_factory=dict)
