"""Text to token ids, as lm-eval's HFLM does it for a causal model.

Tokenisation follows lm-eval's `TemplateLM` (a trailing space of the context moves to the continuation; context and
continuation are encoded together and split), with one difference: a continuation that would be empty because a token
spans the join keeps that token, while lm-eval stops with an assertion in the middle of a run.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from transformers import PreTrainedTokenizerBase

from kick.engines.base import Generate, Request, Score
from kick.errors import InputError
from kick.files import digest
from kick.harness.thinking import Thinking

# New tokens if a task states none (as lm-eval's HFLM).
DEFAULT_BUDGET = 256


class Encoder:
    """Turns texts into token ids and lm-eval's requests into those of engines.

    Args:
        tokenizer: the tokenizer of a checkpoint.

    Raises:
        InputError: the tokenizer has no token that can precede an empty context.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.bos = tokenizer.bos_token
        prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if prefix is None:
            raise InputError(
                f"the tokenizer of {tokenizer.name_or_path} has neither a BOS nor an EOS token, so nothing can "
                "precede an empty context. Set one in its tokenizer_config.json."
            )
        self.prefix_token = int(prefix)
        # The choices of an item share its context.
        self._encode_context = functools.lru_cache(maxsize=8)(self.encode)

    def encode(self, text: str, add_special_tokens: bool | None = None) -> tuple[int, ...]:
        """Return token ids; special tokens as by the tokenizer's default, unless the text already begins with BOS."""
        if add_special_tokens is None:
            add_special_tokens = not (self.bos and text.startswith(self.bos))
        return tuple(self.tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def score(self, context: str, continuation: str) -> Score:
        """Return the request for the log-likelihood of one text after another."""
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

    def generate(
        self,
        context: str,
        settings: dict[str, Any],
        seed: int = 0,
        repeat: int = 0,
        thinking: Thinking | None = None,
    ) -> Generate:
        """Return the request for text after a context.

        Args:
            context: the prompt.
            settings: the task's `generation_kwargs`.
            seed: seeds the request's random numbers together with the context, if tokens are drawn.
            repeat: the number of equal requests before this one, which draws other tokens.
            thinking: the thoughts that come before the answer: stop strings wait, and the budget is for both.

        Raises:
            InputError: the settings are not those that kick applies.
        """
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
        stop, budget = self._ends({**kwargs, "until": []} if thinking else kwargs)
        draws = [str(seed), context, *([str(repeat)] if repeat else [])]
        return Generate(
            self.encode(context),
            stop,
            budget + (thinking.budget if thinking else 0),
            temperature,
            int(digest(draws), 16) if temperature else 0,
        )

    def ends(self, settings: dict[str, Any]) -> tuple[tuple[str, ...], int]:
        """Return the stop strings of generated text, that of the end of sequence among them, and its budget in tokens.

        Args:
            settings: the task's `generation_kwargs`.
        """
        return self._ends(normalize_gen_kwargs(settings, DEFAULT_BUDGET))

    def _ends(self, kwargs: dict[str, Any]) -> tuple[tuple[str, ...], int]:
        end = self.tokenizer.eos_token_id
        stop = handle_stop_sequences(
            kwargs.get("until"), eos=None if end is None else self.tokenizer.decode([end])
        )
        return tuple(text for text in stop if text), int(kwargs["max_gen_toks"])


def encode_requests(
    instances: Sequence[Instance], encoder: Encoder, seed: int = 0, thinking: Thinking | None = None
) -> list[Request]:
    """Tokenise lm-eval's requests: one request per repeat of each instance.

    Args:
        instances: what an lm-eval task asks for.
        encoder: turns its texts into token ids.
        seed: the seed of the tokens that are drawn, if a task asks for it.
        thinking: the thoughts that come before generated answers.

    Raises:
        InputError: a request is of a kind that is not scored item by item (rolling log-likelihood, images).
    """
    requests: list[Request] = []
    for instance in instances:
        repeats = instance.repeats or 1
        if instance.request_type == "loglikelihood":
            requests += [encoder.score(*instance.args)] * repeats
        elif instance.request_type == "generate_until":
            context, settings = instance.args
            requests += [
                encoder.generate(context, settings, seed, repeat, thinking) for repeat in range(repeats)
            ]
        else:
            raise InputError(
                f"{instance.task_name}: kick does not score '{instance.request_type}' requests. "
                "Use a task whose output_type is multiple_choice, loglikelihood or generate_until."
            )
    return requests
