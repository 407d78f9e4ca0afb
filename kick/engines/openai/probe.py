"""Probes of a server: known prompts show its capabilities, and nothing that it claims is believed.

Prompts: it must answer greedily at a temperature of 0, and count as many tokens as it was given. Ids of a text in
single characters show whether it decodes and tokenises again.

Log-probabilities of a prompt: one per token; none above 0; the same for a beginning whatever follows it; others after
another context; and equal to what the server says of the same token when it generates it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from kick.engines.base import Capability
from kick.engines.openai.client import Answer, BadAnswerError, Server
from kick.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS = (
    "The capital of France is Paris, and the capital of Italy is",
    "One, two, three, four, five, six,",
    "The answer to the question is in the text. The question was",
    "Water freezes at zero degrees, and it boils at",
    "Monday, Tuesday, Wednesday,",
    "In the beginning there was the",
)
NEW_TOKENS = 4
# Nats by which two log-probabilities of one token may differ: servers in 16 bits batch as they like.
TOLERANCE = 0.1
# Checks of a generated token's log-probability that must hold.
AGREEMENTS = 1


@dataclass(frozen=True)
class Probed:
    """The abilities of a server, as tried."""

    # Whether prompts go as token ids; otherwise as text, whose tokens are counted at each answer.
    takes_ids: bool
    refusals: dict[Capability, str] = field(default_factory=dict)
    phrases: tuple[str, ...] = ()

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The kinds of requests that the server answers rightly."""
        every: frozenset[Capability] = frozenset({"score", "generate"})
        return every - self.refusals.keys()


def probe(server: Server, tokenizer: "PreTrainedTokenizerBase") -> Probed:
    """Try a server.

    Raises:
        InputError: not even completions can be had from it; says what it did.
    """
    prompts = [[int(token) for token in tokenizer(text)["input_ids"]] for text in TEXTS]
    try:
        takes_ids, why_text = _takes_ids(server, tokenizer, prompts[0])
        if not takes_ids:
            _check_text(server, tokenizer, prompts)
        _check_greedy(server, prompts, tokenizer, takes_ids)
    except BadAnswerError as error:
        raise InputError(f"{server.url} cannot be scored: {error}.") from None
    about = f"run by {server.url} ({server.served.version}), model {server.served.model}"
    if not takes_ids:
        reason = f"it takes no token ids as a prompt ({why_text}), so no log-probability is that of the plan's tokens"
        text = "prompts go as text, whose tokens the server counts as the plan does"
        return Probed(False, {"score": reason}, (about, text))
    try:
        _check_scores(server, prompts, tokenizer)
    except BadAnswerError as error:
        return Probed(True, {"score": str(error)}, (about, "prompts go as token ids"))
    return Probed(True, {}, (about, "prompts go as token ids; log-probabilities of prompts were checked"))


def as_text(tokenizer: "PreTrainedTokenizerBase", prompt: Sequence[int]) -> str:
    """Return a prompt as a text; the server adds special tokens itself."""
    return str(tokenizer.decode(prompt, skip_special_tokens=True))


def _takes_ids(server: Server, tokenizer: "PreTrainedTokenizerBase", prompt: list[int]) -> tuple[bool, str]:
    """Return whether ids reach the model as they are, and why not.

    Raises:
        BadAnswerError: ids are taken, and others are computed with.
    """
    single = [tokenizer(letter, add_special_tokens=False)["input_ids"] for letter in TEXTS[0]]
    letters = [*prompt[:1], *(int(token) for ids in single for token in ids)]
    try:
        counts = {len(ids): server.complete(ids, 1).prompt_tokens for ids in (prompt, letters)}
    except BadAnswerError as error:
        return False, str(error)
    for sent, counted in counts.items():
        if counted is None:
            raise BadAnswerError("it does not say how many tokens a prompt had (usage.prompt_tokens)")
        if counted != sent:
            what = (
                "it tokenises prompts again"
                if sent == len(letters)
                else "it drops or adds tokens of a prompt"
            )
            raise BadAnswerError(f"{what}: of {sent} token ids it made {counted} tokens")
    return True, ""


def _check_text(server: Server, tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[list[int]]) -> None:
    for prompt in prompts:
        counted = server.complete(as_text(tokenizer, prompt), 1).prompt_tokens
        check_count(prompt, counted)


def check_count(prompt: Sequence[int], counted: int | None) -> None:
    """Refuse an answer to a prompt that had another number of tokens.

    Raises:
        BadAnswerError: says both numbers.
    """
    if counted is None:
        raise BadAnswerError("it does not say how many tokens a prompt had (usage.prompt_tokens)")
    if counted != len(prompt):
        raise BadAnswerError(
            f"a prompt of {len(prompt)} tokens had {counted} in the server: its tokenizer is another"
        )


def _check_greedy(
    server: Server, prompts: Sequence[list[int]], tokenizer: "PreTrainedTokenizerBase", takes_ids: bool
) -> None:
    """Refuse a server that answers one prompt in two ways at a temperature of 0, or all prompts in one."""
    texts = []
    for prompt in prompts:
        given = prompt if takes_ids else as_text(tokenizer, prompt)
        first, second = (server.complete(given, NEW_TOKENS, seed=seed) for seed in (1, 2))
        if first.text != second.text:
            raise BadAnswerError(
                f"it is not greedy at a temperature of 0: {first.text!r}, then {second.text!r} to one prompt"
            )
        texts.append(first.text)
    if not any(texts):
        raise BadAnswerError("it completes every prompt with nothing")


def _check_scores(server: Server, prompts: Sequence[list[int]], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse log-probabilities of prompts that are not those of the model behind the server.

    Raises:
        BadAnswerError: says what the server did.
    """
    known = [
        prompt_logprobs(prompt, server.complete(prompt, 1, echo=True, logprobs=True)) for prompt in prompts
    ]
    values = [value for row in known for value in row]
    if max(values) - min(values) < 1e-6:
        raise BadAnswerError(
            f"it gives every token of every prompt the log-probability {values[0]:.4g}: chance"
        )
    for (one, other), row in zip(pairwise(prompts), known, strict=False):
        _check_beginning(server, one, other, row)
    _check_context(server, prompts)
    agreements = 0
    for prompt in prompts:
        agreements += _check_generated(server, prompt, tokenizer)
    if agreements < AGREEMENTS:
        raise BadAnswerError("none of its log-probabilities can be checked against a token that it generates")


def prompt_logprobs(prompt: Sequence[int], answer: Answer) -> list[float]:
    """Return the log-probabilities of the tokens of a prompt after the first.

    Raises:
        BadAnswerError: the answer does not hold one for each.
    """
    if answer.logprobs is None:
        raise BadAnswerError("it gives no log-probabilities of a prompt (echo and logprobs)")
    check_count(prompt, answer.prompt_tokens)
    if len(answer.logprobs) < len(prompt):
        raise BadAnswerError(
            f"it drops the log-probabilities of the prompt: {len(answer.logprobs)} for {len(prompt) + 1} tokens"
        )
    values = answer.logprobs[1 : len(prompt)]
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    if len(numbers) < len(values):
        raise BadAnswerError(
            f"{len(values) - len(numbers)} of {len(values)} tokens of a prompt have no log-probability"
        )
    if any(value > 1e-4 for value in numbers):
        raise BadAnswerError(f"a log-probability is above 0: {max(numbers):.4g}")
    return numbers


def _check_beginning(server: Server, one: list[int], other: list[int], known: Sequence[float]) -> None:
    """Refuse log-probabilities that depend on what comes later."""
    longer = [*one, *other[1:]]
    again = prompt_logprobs(longer, server.complete(longer, 1, echo=True, logprobs=True))
    off = max(abs(a - b) for a, b in zip(known, again, strict=False))
    if off > TOLERANCE:
        raise BadAnswerError(
            f"the log-probabilities of a prompt change by up to {off:.3g} nats with what follows it"
        )


def _check_context(server: Server, prompts: Sequence[list[int]]) -> None:
    """Refuse log-probabilities that do not depend on what comes before."""
    ending = prompts[0][1:]
    rows = []
    for prompt in prompts[1:3]:
        joined = [*prompt, *ending]
        scored = prompt_logprobs(joined, server.complete(joined, 1, echo=True, logprobs=True))
        rows.append(scored[-len(ending) :])
    if max(abs(a - b) for a, b in zip(*rows, strict=True)) < 1e-6:
        raise BadAnswerError(
            "the log-probabilities of a text do not depend on what comes before it: it drops the prompt"
        )


def _check_generated(server: Server, prompt: list[int], tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the number of checks that were made: 1, or 0 if the generated token has no text of its own."""
    answer = server.complete(prompt, 1, logprobs=True)
    if not answer.logprobs or answer.logprobs[0] is None or not answer.tokens:
        raise BadAnswerError("it gives no log-probability of a token that it generates")
    encoded = tokenizer(answer.tokens[0], add_special_tokens=False)["input_ids"]
    if len(encoded) != 1 or tokenizer.decode(encoded) != answer.tokens[0]:
        return 0
    longer = [*prompt, int(encoded[0])]
    scored = prompt_logprobs(longer, server.complete(longer, 1, echo=True, logprobs=True))[-1]
    if abs(scored - answer.logprobs[0]) > TOLERANCE:
        raise BadAnswerError(
            f"it gives one token the log-probability {answer.logprobs[0]:.4g} where it generates it, and {scored:.4g} "
            "where it stands in a prompt"
        )
    return 1
