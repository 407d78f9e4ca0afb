"""The plan of a task: its requests, rendered and tokenised once, with the hash that makes scores comparable."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.utils import handle_non_serializable

from kick.draws import draw_order
from kick.engines.base import Request, Score
from kick.errors import InputError
from kick.files import digest
from kick.harness.chat import ChatFormat, ChatRenderer
from kick.harness.encoding import Encoder, encode_requests
from kick.harness.tasks import LoadedTask
from kick.types import PlanInfo, Skipped


@dataclass(frozen=True)
class RenderedTask:
    """The drawn items of a task as lm-eval renders them: texts, which serve every tokenizer."""

    loaded: LoadedTask
    doc_ids: tuple[int, ...]
    """The drawn documents, by their position in the data, ascending. An instance's `doc_id` counts these."""

    instances: tuple[Instance, ...]
    limit: int | None
    seed: int
    chat: ChatFormat | None
    """The format by which the prompts became conversations; None: they are as the task writes them."""


@dataclass(frozen=True)
class PlannedItem:
    """One item of a task: its document's position in the data, what lm-eval asks of it, and the requests for that."""

    doc_id: int
    instances: tuple[Instance, ...]
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Plan:
    """The items of a task that fit a model, in lm-eval's order, and what identifies them."""

    info: PlanInfo
    items: tuple[PlannedItem, ...]
    skipped: tuple[Skipped, ...]

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests of all items."""
        return tuple(request for item in self.items for request in item.requests)

    @property
    def doc_ids(self) -> tuple[int, ...]:
        """The positions of the items' documents in the data, ascending."""
        return tuple(item.doc_id for item in self.items)


def render(
    loaded: LoadedTask, limit: int | None, seed: int, chat: ChatRenderer | None = None
) -> RenderedTask:
    """Draw the items of a task and let lm-eval render them.

    Args:
        loaded: the task.
        limit: the number of items to draw by `seed` (None: all).
        seed: the seed of the draw, of lm-eval's few-shot sampler, and of tokens that are drawn.
        chat: makes conversations of the prompts, for the tokenizer that it is made for.
    """
    doc_ids = draw(len(loaded.task.eval_docs), limit, seed)
    instances = build_requests(loaded, doc_ids, seed, chat)
    return RenderedTask(loaded, tuple(doc_ids), tuple(instances), limit, seed, chat.chat if chat else None)


def make_plan(rendered: RenderedTask, encoder: Encoder, *, window: int | None) -> Plan:
    """Tokenise the requests of a task.

    Args:
        rendered: the task's items.
        encoder: that of the checkpoint; checkpoints whose tokenizers encode alike get the same plan.
        window: the number of tokens that fit the model (None: any). Items that do not fit are left out and listed.

    Raises:
        InputError: no item fits the window.
    """
    loaded = rendered.loaded
    everything = [*_items(rendered, encoder)]
    needs = {item.doc_id: max(request.span for request in item.requests) for item in everything}
    too_long = {doc_id: span for doc_id, span in needs.items() if window is not None and span > window}
    if len(too_long) == len(everything):
        raise InputError(
            f"{loaded.info.name}: none of {len(everything)} items fits the model's window of {window} tokens "
            f"(the shortest needs {min(too_long.values())}). Leave the task out, or use a model with a longer window."
        )
    items = tuple(item for item in everything if item.doc_id not in too_long)
    documents = digest([_document(loaded, instance) for item in items for instance in item.instances])
    canonical = [_canonical(request) for item in items for request in item.requests]
    info = PlanInfo(
        hash=digest(canonical, loaded.config_hash, documents),
        task_config=loaded.config_hash,
        documents=documents,
        shots=loaded.info.shots,
        limit=rendered.limit,
        seed=rendered.seed,
        items=len(items),
        chat=rendered.chat.hash if rendered.chat else None,
    )
    skipped = tuple(
        Skipped(doc_id=position, reason=f"needs {tokens} tokens, the model's window is {window}")
        for position, tokens in sorted(too_long.items())
    )
    return Plan(info, items, skipped)


def draw(total: int, limit: int | None, seed: int) -> list[int]:
    """Return `limit` positions out of `total`, ascending; a larger limit's draw contains a smaller one's."""
    if limit is None or limit >= total:
        return list(range(total))
    return sorted(draw_order(total, seed)[:limit])


def build_requests(
    loaded: LoadedTask, doc_ids: Sequence[int], seed: int, chat: ChatRenderer | None = None
) -> list[Instance]:
    """Return lm-eval's requests for some documents; the few-shot sampler starts from the seed each time."""
    loaded.task.set_fewshot_seed(seed)
    conversation: dict[str, Any] = {}
    if chat is not None:
        conversation = {
            "apply_chat_template": True,
            "chat_template": chat,
            "system_instruction": chat.chat.system,
            "fewshot_as_multiturn": chat.chat.fewshot_as == "turns",
        }
    # lm-eval asks of every document whether it is among these: in a set that takes no time.
    loaded.task.build_all_requests(samples=set(doc_ids), rank=0, world_size=1, **conversation)
    return list(loaded.task.instances)


def _items(rendered: RenderedTask, encoder: Encoder) -> Iterator[PlannedItem]:
    thinking = rendered.chat.thinking if rendered.chat else None
    for index, group in groupby(rendered.instances, key=lambda instance: instance.doc_id):
        instances = tuple(group)
        requests = encode_requests(instances, encoder, rendered.seed, thinking)
        yield PlannedItem(rendered.doc_ids[index], instances, tuple(requests))


def _document(loaded: LoadedTask, instance: Instance) -> str:
    parts = [instance.doc, loaded.task.doc_to_target(instance.doc)]
    return json.dumps(parts, sort_keys=True, default=handle_non_serializable)


def _canonical(request: Request) -> str:
    if isinstance(request, Score):
        return json.dumps(["score", request.context, request.continuation])
    drawn = [request.temperature, request.seed] if request.temperature else []
    return json.dumps(["generate", request.context, request.stop, request.budget, *drawn])
