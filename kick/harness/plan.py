"""The plan of a task: its requests, tokenised and frozen for one tokenizer, with the hash that makes scores comparable.

Tokenisation follows lm-eval's `TemplateLM` (a trailing space of the context moves to the continuation; context and
continuation are encoded together and split), with one difference: a continuation that would come out empty because a
token spans the join keeps that token, where lm-eval stops with an assertion in the middle of a run.
"""

import functools
import hashlib
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from lm_eval.utils import handle_non_serializable
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kick.errors import InputError
from kick.harness.tasks import LoadedTask
from kick.types import PlanInfo, Skipped

DEFAULT_BUDGET = 256  # new tokens, where a task states none (as lm-eval's HFLM)


@dataclass(frozen=True)
class Score:
    """Log-likelihood of `continuation` after `context` (token ids, neither empty)."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens that go through the model."""
        return len(self.context) + len(self.continuation) - 1

    @property
    def span(self) -> int:
        """Positions of the context window that it takes."""
        return len(self.context) + len(self.continuation)


@dataclass(frozen=True)
class Generate:
    """Text after `context` (token ids), until a stop string, the end of sequence, or `budget` new tokens.

    It is greedy at a temperature of 0. Above, tokens are drawn with random numbers of the request's own `seed`, so that
    they depend neither on its neighbours nor on the order, and are the same for every checkpoint.
    """

    context: tuple[int, ...]
    stop: tuple[str, ...]
    budget: int
    temperature: float = 0.0
    seed: int = 0

    @property
    def length(self) -> int:
        return len(self.context)

    @property
    def span(self) -> int:
        return len(self.context) + self.budget


Request = Score | Generate


@dataclass(frozen=True)
class Plan:
    """The requests of a task in lm-eval's order, and what identifies them."""

    info: PlanInfo
    requests: tuple[Request, ...]
    doc_ids: tuple[int, ...]  # ascending, one an item
    skipped: tuple[Skipped, ...]
    asked: str  # hash of the requests' texts as lm-eval sends them


class Encoder:
    """Text to token ids, as lm-eval's HFLM does for a causal model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.bos = tokenizer.bos_token
        prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if prefix is None:
            raise InputError(
                f"the tokenizer of {tokenizer.name_or_path} has neither a BOS nor an EOS token, so that nothing can "
                "stand before an empty context. Set one in its tokenizer_config.json."
            )
        self.prefix_token = int(prefix)
        self._encode_context = functools.lru_cache(maxsize=8)(self.encode)  # that of an item's choices

    def encode(self, text: str, add_special_tokens: bool | None = None) -> tuple[int, ...]:
        """Token ids; special tokens as the tokenizer's own default, unless the text already begins with BOS."""
        if add_special_tokens is None:
            add_special_tokens = not (self.bos and text.startswith(self.bos))
        return tuple(self.tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def score(self, context: str, continuation: str) -> Score:
        if not context:
            ids = self.encode(continuation, add_special_tokens=False)
            if ids and ids[0] == self.prefix_token:
                return Score(ids[:1], ids[1:])
            return Score((self.prefix_token,), ids)
        stripped = context.rstrip()
        continuation = context[len(stripped) :] + continuation
        head, whole = self._encode_context(stripped), self.encode(stripped + continuation)
        split = min(len(head), len(whole) - 1)
        return Score(whole[:split] or (self.prefix_token,), whole[split:])

    def generate(self, context: str, settings: dict[str, Any], seed: int = 0) -> Generate:
        """A request for text; `seed` and the context seed its random numbers, where tokens are drawn."""
        kwargs = normalize_gen_kwargs(settings, DEFAULT_BUDGET)
        temperature = float(kwargs.get("temperature") or 0.0) if kwargs.get("do_sample") else 0.0
        if kwargs.get("do_sample") and not 0 < temperature < math.inf:
            raise InputError(
                f"generation_kwargs: do_sample: true with temperature {kwargs.get('temperature')}. Give a temperature "
                "above 0, or set do_sample: false."
            )
        unknown = sorted(set(kwargs) - {"do_sample", "temperature", "until", "max_gen_toks"})
        if unknown:
            raise InputError(f"generation_kwargs: kick does not apply {unknown}. Remove them from the task.")
        eos = (
            self.tokenizer.decode([self.tokenizer.eos_token_id])
            if self.tokenizer.eos_token_id is not None
            else None
        )
        stop = handle_stop_sequences(kwargs.get("until"), eos=eos)
        return Generate(
            self.encode(context),
            tuple(text for text in stop if text),
            int(kwargs["max_gen_toks"]),
            temperature,
            int(_digest([str(seed), context]), 16) if temperature else 0,
        )


def make_plan(
    loaded: LoadedTask,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int | None,
    limit: int | None,
    seed: int,
) -> Plan:
    """Draw the items, render and tokenise their requests.

    Args:
        loaded: the task.
        tokenizer: of the checkpoint; checkpoints whose tokenizers encode alike get the same plan.
        window: tokens that fit the model (None: any number). Items that do not fit are left out and listed.
        limit: items to draw by `seed` (None: all).
        seed: of the draw of items, of lm-eval's few-shot sampler, and of tokens that are drawn.

    Raises:
        InputError: no item fits the window.
    """
    total = len(loaded.task.eval_docs)
    drawn = draw(total, limit, seed)
    instances = build_requests(loaded, drawn, seed)
    requests = encode_requests(instances, Encoder(tokenizer), seed)
    too_long: dict[int, int] = {}
    for instance, request in zip(instances, requests, strict=True):
        if window is not None and request.span > window:
            position = drawn[instance.doc_id]
            too_long[position] = max(request.span, too_long.get(position, 0))
    if len(too_long) == len(drawn):
        raise InputError(
            f"{loaded.info.name}: none of {len(drawn)} items fits the model's window of {window} tokens "
            f"(the shortest needs {min(too_long.values())}). Leave the task out, or use a model with a longer window."
        )
    doc_ids = tuple(position for position in drawn if position not in too_long)
    if too_long:
        kept = [drawn[instance.doc_id] not in too_long for instance in instances]
        requests = [request for request, keep in zip(requests, kept, strict=True) if keep]
        instances = [instance for instance, keep in zip(instances, kept, strict=True) if keep]
    documents = _digest([_document(loaded, instance) for instance in instances])
    info = PlanInfo(
        hash=_digest([_canonical(request) for request in requests], loaded.config_hash, documents),
        task_config=loaded.config_hash,
        documents=documents,
        shots=loaded.info.shots,
        limit=limit,
        seed=seed,
        items=len(doc_ids),
    )
    skipped = tuple(
        Skipped(doc_id=position, reason=f"needs {tokens} tokens, the model's window is {window}")
        for position, tokens in sorted(too_long.items())
    )
    return Plan(info, tuple(requests), doc_ids, skipped, asked_hash(instances))


def draw(total: int, limit: int | None, seed: int) -> list[int]:
    """`limit` positions out of `total`, ascending; a larger limit's draw contains a smaller one's."""
    if limit is None or limit >= total:
        return list(range(total))
    order = list(range(total))
    random.Random(seed).shuffle(order)
    return sorted(order[:limit])


def build_requests(loaded: LoadedTask, doc_ids: Sequence[int], seed: int) -> list[Instance]:
    """lm-eval's requests for these documents; the few-shot sampler starts from the seed each time."""
    loaded.task.set_fewshot_seed(seed)
    loaded.task.build_all_requests(samples=list(doc_ids), rank=0, world_size=1)
    return list(loaded.task.instances)


def encode_requests(instances: Sequence[Instance], encoder: Encoder, seed: int = 0) -> list[Request]:
    """Tokenise lm-eval's requests; `seed` is that of the tokens that are drawn, where a task asks for it.

    Raises:
        InputError: a request is of a kind that is not scored item by item (rolling log-likelihood, images).
    """
    requests: list[Request] = []
    for instance in instances:
        if instance.request_type == "loglikelihood":
            requests.append(encoder.score(*instance.args))
        elif instance.request_type == "generate_until":
            context, settings = instance.args
            requests.append(encoder.generate(context, settings, seed))
        else:
            raise InputError(
                f"{instance.task_name}: kick does not score '{instance.request_type}' requests. "
                "Use a task whose output_type is multiple_choice, loglikelihood or generate_until."
            )
    return requests


def asked_hash(instances: Sequence[Instance]) -> str:
    """Of lm-eval's requests: what tells whether a plan was made from the same ones."""
    return _digest(
        [
            json.dumps([i.request_type, i.args], sort_keys=True, default=handle_non_serializable)
            for i in instances
        ]
    )


def context_window(config: PretrainedConfig) -> int | None:
    """Tokens that fit the model by its config, or None if it states no limit (recurrent models)."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def _document(loaded: LoadedTask, instance: Instance) -> str:
    parts = [instance.doc, loaded.task.doc_to_target(instance.doc)]
    return json.dumps(parts, sort_keys=True, default=handle_non_serializable)


def _canonical(request: Request) -> str:
    if isinstance(request, Score):
        return json.dumps(["score", request.context, request.continuation])
    drawn = [request.temperature, request.seed] if request.temperature else []
    return json.dumps(["generate", request.context, request.stop, request.budget, *drawn])


def _digest(parts: Sequence[str], *more: str) -> str:
    digest = hashlib.sha256()
    for part in (*parts, *more):
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
    return digest.hexdigest()[:16]
