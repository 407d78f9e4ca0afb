"""Is a task fair to its items? Checks of rendered prompts, for `kick tasks check` and before every run.

A *failure* makes the task unfit: two kinds of it make its scores wrong and stop a run (`stop_if_unfit`). What the data
themselves hold - a question that names its answer, one that is asked twice, an item longer than the window - is no
failure: it is counted, and a report shows it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from lm_eval.api.instance import Instance

from kick.errors import InputError
from kick.harness.tasks import LoadedTask
from kick.metrics.answers import VERDICTS, gold_in_question
from kick.types import Family, Record, Skipped

# Whether the answer stands in the prompt by the nature of the family, where metadata.answer_in_prompt does not say.
ANSWER_IN_PROMPT: Mapping[Family, bool] = {
    "factoid_qa": False,
    "multihop_reasoning": False,  # with its paragraphs a task says so itself
    "incontext_qa": True,  # in the passage
    "summarization": False,  # the reference summary, word for word
    "multiple_choice": True,  # among the options
    "other": False,
}
CHANCE_TOLERANCE = 0.005  # between the chance that a task states and one over the number of its choices
EXAMPLES = 3  # of a failure, in a message

_WORDS = re.compile(r"\w+")

CheckName = Literal["reference_in_prompt", "item_in_shots", "chance"]
WRONG_SCORES: frozenset[CheckName] = frozenset({"reference_in_prompt", "item_in_shots"})


class RenderedItem(Record):
    """One item as a model sees it."""

    doc_id: int
    prompt: str  # all of it, shots included
    own: str  # the end of the prompt that asks for this item: its question, with its passage
    target: str  # the reference answer, as text
    question: str = ""  # the question alone, where the document has one
    choices: tuple[str, ...] = ()  # what is scored after the prompt; none where the answer is generated


class Finding(Record):
    """What is wrong with one item, or with the task (`doc_id` None)."""

    check: CheckName
    doc_id: int | None
    detail: str


class TaskCheck(Record):
    """What was found of one task."""

    task: str
    family: Family
    items: int  # rendered
    documents: int  # in the data at hand
    published: int | None  # in the pinned split, as the task states it
    chance: float | None
    answer_in_prompt: bool  # by its nature: then the reference is not looked for
    failures: tuple[Finding, ...]
    gold_in_question: int  # items whose question names its answer, where the reference is looked for
    duplicates: int  # items that ask the same as an earlier one
    skipped: tuple[Skipped, ...] | None  # items that do not fit the model's window; None: no model was given

    @property
    def notes(self) -> tuple[str, ...]:
        """What the data hold that a reader of the scores should know, one sentence each."""
        notes = []
        if self.published is not None and self.documents != self.published:
            notes.append(
                f"the data hold {self.documents:,} of the {self.published:,} items of the pinned split"
            )
        if self.gold_in_question:
            notes.append(f"{self.gold_in_question:,} items name their answer in the question")
        if self.duplicates:
            notes.append(f"{self.duplicates:,} items ask the same as another one")
        return tuple(notes)


def check_task(
    loaded: LoadedTask, items: Sequence[RenderedItem], skipped: tuple[Skipped, ...] | None = None
) -> TaskCheck:
    """Check the rendered items of a task.

    Args:
        loaded: the task.
        items: what `rendered` made of its requests.
        skipped: the items that do not fit the model's window, where there is a model.
    """
    metadata, data = loaded.task.config.metadata or {}, loaded.task.config.dataset_kwargs or {}
    shown = bool(metadata.get("answer_in_prompt", ANSWER_IN_PROMPT.get(loaded.info.family, False)))
    named = 0
    failures = [*chance(loaded.info.family, loaded.info.chance, items), *items_in_shots(items)]
    if not shown:
        failures += references_in_prompts(items)
        named = sum(gold_in_question(item.question, [item.target]) for item in items)
    return TaskCheck(
        task=loaded.info.name,
        family=loaded.info.family,
        items=len(items),
        documents=len(loaded.task.eval_docs),
        published=metadata.get("items", data.get("items")),
        chance=loaded.info.chance,
        answer_in_prompt=shown,
        failures=tuple(failures),
        gold_in_question=named,
        duplicates=duplicates(items),
        skipped=skipped,
    )


def stop_if_unfit(check: TaskCheck) -> None:
    """Stop where the scores of a task would be wrong.

    Raises:
        InputError: names the items.
    """
    wrong = [finding for finding in check.failures if finding.check in WRONG_SCORES]
    if wrong:
        shown = "; ".join(f"item {finding.doc_id}: {finding.detail}" for finding in wrong[:EXAMPLES])
        more = f" (and {len(wrong) - EXAMPLES:,} more)" if len(wrong) > EXAMPLES else ""
        raise InputError(
            f"{check.task}: its scores would be wrong. {shown}{more}. Correct the task (`kick tasks check` lists what "
            "is wrong), or state `answer_in_prompt: true` in its metadata where the answer belongs in the prompt."
        )


def rendered(loaded: LoadedTask, instances: Iterable[Instance], doc_ids: Sequence[int]) -> list[RenderedItem]:
    """The items behind lm-eval's requests.

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
    """The items whose own part of the prompt holds their reference as whole words, the question apart.

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
            detail = f"'{_short(item.target)}' stands in the prompt"
            findings.append(Finding(check="reference_in_prompt", doc_id=item.doc_id, detail=detail))
    return findings


def duplicates(items: Sequence[RenderedItem]) -> int:
    """How many items have the own part and the choices of an earlier one, case and punctuation apart."""
    return len(items) - len({hash((_plain(item.own), item.choices)) for item in items})


def items_in_shots(items: Sequence[RenderedItem]) -> list[Finding]:
    """The items that stand among the shots before them, case and punctuation apart.

    Where choices are scored, a shot is the item if it has its answer, too: the same question may have other options.
    """
    plain: dict[str, str] = {}
    findings = []
    for item in items:
        shots = item.prompt.removesuffix(item.own)
        if not shots:
            continue
        if shots not in plain:
            plain[shots] = _plain(shots)
        asked = f"{item.own} {item.target}" if item.choices else item.own
        if _plain(asked) in plain[shots]:
            findings.append(
                Finding(check="item_in_shots", doc_id=item.doc_id, detail="a shot asks the same as the item")
            )
    return findings


def chance(family: Family, stated: float | None, items: Sequence[RenderedItem]) -> list[Finding]:
    """Whether a task of choices states what blind guessing scores, and states it right."""
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
    """What all texts begin with and what all end with; nothing where there is only one."""
    if len(texts) < 2:
        return "", ""
    end = _common_start([text[::-1] for text in texts])[::-1]
    return _plain(_common_start(texts)), _plain(end)


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    differ = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differ, len(first))]


def _plain(text: str) -> str:
    """Case-folded words with single spaces between and around."""
    return f" {' '.join(_WORDS.findall(text.casefold()))} "


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
