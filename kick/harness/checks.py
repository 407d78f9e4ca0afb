"""Is a task fair to its items? Checks of rendered prompts, for `kick tasks check` and before every run.

A *failure* makes the task unfit. Two kinds of failure make its scores wrong and stop a run (`stop_if_unfit`). A
property of the data (a question that names its answer, one that is asked twice, an item longer than the window) is
not a failure: it is counted, and a report shows it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from lm_eval.api.instance import Instance

from kick.errors import InputError
from kick.harness.tasks import LoadedTask
from kick.metrics.answers import VERDICTS, gold_in_question
from kick.metrics.containment import is_comparison
from kick.types import Family, Floors, Record, Skipped

# By family, whether the answer is in the prompt by design. `metadata.answer_in_prompt` overrides it.
ANSWER_IN_PROMPT: Mapping[Family, bool] = {
    "factoid_qa": False,
    # A task with paragraphs says so itself.
    "multihop_reasoning": False,
    # The answer is in the passage.
    "incontext_qa": True,
    # The reference summary must not be there word for word.
    "summarization": False,
    # The answer is among the options.
    "multiple_choice": True,
    "other": False,
}
# The largest difference between the chance that a task states and one over the number of its choices.
CHANCE_TOLERANCE = 0.005
# The number of items that a message names per failure.
EXAMPLES = 3

_WORDS = re.compile(r"\w+")

CheckName = Literal["reference_in_prompt", "item_in_shots", "chance"]
WRONG_SCORES: frozenset[CheckName] = frozenset({"reference_in_prompt", "item_in_shots"})


class RenderedItem(Record):
    """One item as a model sees it."""

    doc_id: int
    # The whole prompt, shots included.
    prompt: str
    # The end of the prompt that asks for this item: its question, with its passage.
    own: str
    # The reference answer, as text.
    target: str
    # The question alone, if the document has one.
    question: str = ""
    # The continuations that are scored after the prompt; none if the answer is generated.
    choices: tuple[str, ...] = ()


class Finding(Record):
    """A fault of one item, or of the task (`doc_id` None)."""

    check: CheckName
    doc_id: int | None
    detail: str


class TaskCheck(Record):
    """The result of checking one task."""

    task: str
    family: Family
    # The number of rendered items.
    items: int
    # The number of documents in the data at hand.
    documents: int
    # The number of items in the pinned split, as the task states it.
    published: int | None
    chance: float | None
    # True if the answer is in the prompt by design, so the reference is not looked for.
    answer_in_prompt: bool
    failures: tuple[Finding, ...]
    # Items that give their answer away: the question names it.
    gold_in_question: int
    # Those of them that offer options ("Is the Elbe or the Rhine longer?"), answered by the first option named.
    comparisons: int = 0
    # Items that ask the same as an earlier one.
    duplicates: int
    # Items that do not fit the model's window; None: no model was given.
    skipped: tuple[Skipped, ...] | None
    # The scores of answerers without knowledge; None: not asked for.
    floors: Floors | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The properties of the data that a reader of the scores should know, one sentence each."""
        notes = []
        if self.published is not None and self.documents != self.published:
            notes.append(
                f"the data hold {self.documents:,} of the {self.published:,} items of the pinned split"
            )
        if self.gold_in_question:
            options = (
                f", {self.comparisons:,} of them among the options that it offers" if self.comparisons else ""
            )
            notes.append(f"{self.gold_in_question:,} items name their answer in the question{options}")
        if self.duplicates:
            notes.append(f"{self.duplicates:,} items ask the same as another one")
        return tuple(notes)


def check_task(
    loaded: LoadedTask, items: Sequence[RenderedItem], skipped: tuple[Skipped, ...] | None = None
) -> TaskCheck:
    """Check the rendered items of a task.

    Args:
        loaded: the task.
        items: the items that `rendered` made of its requests.
        skipped: the items that do not fit the model's window, if there is a model.
    """
    metadata, data = loaded.task.config.metadata or {}, loaded.task.config.dataset_kwargs or {}
    in_prompt = bool(metadata.get("answer_in_prompt", ANSWER_IN_PROMPT.get(loaded.info.family, False)))
    named = [] if loaded.info.family == "multiple_choice" else _giveaways(items)
    failures = [*chance(loaded.info.family, loaded.info.chance, items), *items_in_shots(items)]
    if not in_prompt:
        failures += references_in_prompts(items)
    return TaskCheck(
        task=loaded.info.name,
        family=loaded.info.family,
        items=len(items),
        documents=len(loaded.task.eval_docs),
        published=metadata.get("items", data.get("items")),
        chance=loaded.info.chance,
        answer_in_prompt=in_prompt,
        failures=tuple(failures),
        gold_in_question=len(named),
        comparisons=sum(is_comparison(item.question, [item.target]) for item in named),
        duplicates=duplicates(items),
        skipped=skipped,
    )


def _giveaways(items: Sequence[RenderedItem]) -> list[RenderedItem]:
    return [item for item in items if gold_in_question(item.question, [item.target])]


def stop_if_unfit(check: TaskCheck) -> None:
    """Stop if the scores of a task would be wrong.

    Raises:
        InputError: names the items.
    """
    wrong = [finding for finding in check.failures if finding.check in WRONG_SCORES]
    if wrong:
        examples = "; ".join(f"item {finding.doc_id}: {finding.detail}" for finding in wrong[:EXAMPLES])
        more = f" (and {len(wrong) - EXAMPLES:,} more)" if len(wrong) > EXAMPLES else ""
        raise InputError(
            f"{check.task}: its scores would be wrong. {examples}{more}. Correct the task (`kick tasks check` lists "
            "what is wrong), or state `answer_in_prompt: true` in its metadata if the answer belongs in the prompt."
        )


def rendered(loaded: LoadedTask, instances: Iterable[Instance], doc_ids: Sequence[int]) -> list[RenderedItem]:
    """Return the items behind lm-eval's requests.

    Args:
        loaded: the task.
        instances: its requests, those of an item in a row.
        doc_ids: the documents that they were built for, in the order in which lm-eval counts them.
    """
    requests: dict[int, list[Instance]] = {}
    for instance in instances:
        requests.setdefault(doc_ids[instance.doc_id], []).append(instance)
    return [_item(loaded, doc_id, group) for doc_id, group in requests.items()]


def _item(loaded: LoadedTask, doc_id: int, requests: Sequence[Instance]) -> RenderedItem:
    document: Mapping[str, Any] = requests[0].doc
    prompt = str(requests[0].args[0])
    own = loaded.task.doc_to_text(document)
    question = document.get("question")
    scored = [part for request in requests for part in request.args[1:2] if isinstance(part, str)]
    return RenderedItem(
        doc_id=doc_id,
        prompt=prompt,
        own=own if isinstance(own, str) and prompt.endswith(own) else prompt,
        target=_reference(loaded, document),
        question=question.strip() if isinstance(question, str) else "",
        choices=tuple(scored),
    )


def _reference(loaded: LoadedTask, document: Mapping[str, Any]) -> str:
    target = loaded.task.doc_to_target(document)
    if isinstance(target, int) and loaded.task.config.doc_to_choice is not None:
        target = loaded.task.doc_to_choice(document)[target]
    if isinstance(target, list):
        target = target[0] if target else ""
    return str(target)


def references_in_prompts(items: Sequence[RenderedItem]) -> list[Finding]:
    """Return a finding per item whose own part of the prompt has its reference as whole words, the question apart.

    A question may name its answer ("Is the Elbe or the Rhine longer?"): that is counted elsewhere. Words that every
    prompt begins or ends with give no answer away, and neither do yes and no.
    """
    rest = [item.own.replace(item.question, " ") if item.question else item.own for item in items]
    constant = _shared(rest)
    findings = []
    for item, text in zip(items, rest, strict=True):
        reference = _plain(item.target)
        telling = reference.strip() not in ("", *VERDICTS) and not any(reference in part for part in constant)
        if telling and reference in _plain(text):
            detail = f"'{_short(item.target)}' is in the prompt"
            findings.append(Finding(check="reference_in_prompt", doc_id=item.doc_id, detail=detail))
    return findings


def duplicates(items: Sequence[RenderedItem]) -> int:
    """Return how many items have the own part and the choices of an earlier one, case and punctuation apart."""
    return len(items) - len({hash((_plain(item.own), item.choices)) for item in items})


def items_in_shots(items: Sequence[RenderedItem]) -> list[Finding]:
    """Return a finding per item that is among the shots before it, case and punctuation apart.

    If choices are scored, a shot is the item only if it has its answer, too: the same question may have other options.
    """
    plain: dict[str, str] = {}
    findings = []
    for item in items:
        shots = item.prompt.removesuffix(item.own)
        if not shots:
            continue
        if shots not in plain:
            plain[shots] = _plain(shots)
        question = f"{item.own} {item.target}" if item.choices else item.own
        if _plain(question) in plain[shots]:
            findings.append(
                Finding(check="item_in_shots", doc_id=item.doc_id, detail="a shot asks the same as the item")
            )
    return findings


def chance(family: Family, stated: float | None, items: Sequence[RenderedItem]) -> list[Finding]:
    """Return a finding if a task of choices does not state what blind guessing scores, or states it wrongly."""
    counts = [len(item.choices) for item in items if len(item.choices) > 1]
    if stated is None:
        if counts or family == "multiple_choice":
            return [Finding(check="chance", doc_id=None, detail="metadata.chance is not stated")]
        return []
    guessing = sum(1 / count for count in counts) / len(counts) if counts else stated
    if abs(guessing - stated) <= CHANCE_TOLERANCE:
        return []
    detail = f"metadata.chance says {stated:g}; guessing among its choices scores {guessing:.3g}"
    return [Finding(check="chance", doc_id=None, detail=detail)]


def _shared(texts: Sequence[str]) -> tuple[str, str]:
    """Return the text that all begin with and the text that all end with; nothing for fewer than two."""
    if len(texts) < 2:
        return "", ""
    end = _common_start([text[::-1] for text in texts])[::-1]
    return _plain(_common_start(texts)), _plain(end)


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    differ = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differ, len(first))]


def _plain(text: str) -> str:
    """Return the case-folded words with single spaces between and around."""
    return f" {' '.join(_WORDS.findall(text.casefold()))} "


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
