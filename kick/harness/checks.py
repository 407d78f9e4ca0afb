"""Is a task fair to its items? Checks over rendered prompts: leaked references, duplicates, shots that hold an item."""

from collections.abc import Sequence
from typing import Literal

from kick.metrics.answers import contains_alias, normalize
from kick.types import Record


class RenderedItem(Record):
    """One item as a model sees it."""

    doc_id: int
    prompt: str  # all of it, shots included
    own: str  # the end of the prompt that asks for this item: its question, with its passage
    target: str  # the reference answer, as text


class Finding(Record):
    """What is wrong with one item."""

    check: Literal["reference_in_prompt", "duplicate", "item_in_shots"]
    doc_id: int
    detail: str


def references_in_prompts(items: Sequence[RenderedItem]) -> list[Finding]:
    """The items whose own part of the prompt holds their reference as whole words.

    For tasks whose answer must not be there: closed-book questions and summaries, not questions about a passage.
    """
    return [
        Finding(
            check="reference_in_prompt", doc_id=item.doc_id, detail=f"'{item.target}' stands in the prompt"
        )
        for item in items
        if contains_alias(item.own, [item.target])
    ]


def duplicates(items: Sequence[RenderedItem]) -> list[Finding]:
    """The items whose own part of the prompt is, in normal form, that of an earlier item."""
    first: dict[str, int] = {}
    findings = []
    for item in items:
        earlier = first.setdefault(normalize(item.own), item.doc_id)
        if earlier != item.doc_id:
            findings.append(
                Finding(check="duplicate", doc_id=item.doc_id, detail=f"asks the same as document {earlier}")
            )
    return findings


def items_in_shots(items: Sequence[RenderedItem]) -> list[Finding]:
    """The items that stand, in normal form, among the shots before them.

    Raises:
        ValueError: an item's prompt does not end with its own part.
    """
    findings = []
    for item in items:
        if not item.prompt.endswith(item.own):
            raise ValueError(f"the prompt of document {item.doc_id} does not end with its own part")
        shots = item.prompt[: len(item.prompt) - len(item.own)]
        if contains_alias(shots, [item.own]):
            findings.append(
                Finding(check="item_in_shots", doc_id=item.doc_id, detail="a shot asks the same as the item")
            )
    return findings
