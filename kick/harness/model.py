"""The model class that lm-eval drives: HFLM with float32 scores, one forward for a context and its one-token choices,
rows that stop one by one, batches fixed by the plan, and a journal.

Batches are cut from the whole plan and never from what is left of it, so that a run that was interrupted computes the
same numbers as one that was not, also in bfloat16, where a row's result depends on its neighbours.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import postprocess_generated_text
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from kick.checkpoints import Loaded
from kick.harness.plan import Encoder, Generate, Plan, Request, Score, encode_requests
from kick.store import Journal
from kick.types import BatchSize

Response = tuple[float, bool] | str
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Batch:
    """Requests that go through the model together: positions in the plan, grouped by equal model input."""

    rows: tuple[tuple[int, ...], ...]

    @property
    def positions(self) -> list[int]:
        return [position for row in self.rows for position in row]


class KickLM(HFLM):  # type: ignore[misc]
    """A loaded checkpoint as lm-eval sees it.

    Args:
        loaded: the checkpoint.
        batch: the size of a batch; at least one request goes through, however long it is.
    """

    def __init__(self, loaded: Loaded, batch: BatchSize) -> None:
        super().__init__(pretrained=loaded.model, tokenizer=loaded.tokenizer, softmax_dtype=torch.float32)
        self.encoder = Encoder(loaded.tokenizer)
        self.batch = batch
        # transformers fills what a call leaves open from the checkpoint's generation_config.json; its penalties or
        # sampling would make two checkpoints decode by different rules.
        end = getattr(self.model.generation_config, "eos_token_id", None)
        self.model.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=self.tokenizer.eos_token_id if end is None else end,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        self._keeps_logits = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self._plan: Plan | None = None
        self._journal: Journal | None = None
        self._progress: Progress = lambda _items: None

    def follow(self, plan: Plan, journal: Journal, progress: Progress) -> None:
        """Answer only this plan from now on, keep its responses in `journal`, and report requests as they are done."""
        self._plan, self._journal, self._progress = plan, journal, progress

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Response]:
        return self._answer(requests)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[Response]:
        return self._answer(requests)

    def _answer(self, instances: Sequence[Instance]) -> list[Response]:
        requests = encode_requests(instances, self.encoder)
        if self._plan is not None and tuple(requests) != self._plan.requests:
            raise RuntimeError("lm-eval sent other requests than the plan holds")
        answered: dict[int, Any] = self._journal.read() if self._journal else {}
        self._progress(len(answered))
        for batch in batches(requests, self.batch):
            if all(position in answered for position in batch.positions):
                continue
            fresh = self._run(batch, requests)
            if self._journal:
                self._journal.append(batch.positions, [fresh[position] for position in batch.positions])
            answered.update(fresh)
            self._progress(len(fresh))
        return [
            answered[position] if isinstance(request, Generate) else tuple(answered[position])
            for position, request in enumerate(requests)
        ]

    def _run(self, batch: Batch, requests: Sequence[Request]) -> dict[int, Response]:
        first = [requests[row[0]] for row in batch.rows]
        with torch.inference_mode():
            if isinstance(first[0], Generate):
                texts = self._generate([request for request in first if isinstance(request, Generate)])
                return {p: text for row, text in zip(batch.rows, texts, strict=True) for p in row}
            scored = [
                [request for p in row if isinstance(request := requests[p], Score)] for row in batch.rows
            ]
            answers = self._score(scored)
            return {
                p: answer
                for row, row_answers in zip(batch.rows, answers, strict=True)
                for p, answer in zip(row, row_answers, strict=True)
            }

    def _score(self, rows: Sequence[Sequence[Score]]) -> list[list[tuple[float, bool]]]:
        """Log-likelihood (natural log, float32) and greedy match of every request; those of a row share their input."""
        inputs = [(*row[0].context, *row[0].continuation[:-1]) for row in rows]
        width = max(len(tokens) for tokens in inputs)
        padded = torch.zeros((len(rows), width), dtype=torch.long)
        for index, tokens in enumerate(inputs):
            padded[index, : len(tokens)] = torch.tensor(tokens)
        needed = sorted(
            {
                position
                for row in rows
                for request in row
                for position in range(len(request.context) - 1, request.length)
            }
        )
        if self._keeps_logits:
            keep = torch.tensor(needed, device=self.device)
            logits = self.model(padded.to(self.device), use_cache=False, logits_to_keep=keep).logits
        else:
            logits = self.model(padded.to(self.device), use_cache=False).logits[:, needed]
        place = {position: index for index, position in enumerate(needed)}
        return [
            [_log_likelihood(request, row_logits, place) for request in row]
            for row, row_logits in zip(rows, logits, strict=True)
        ]

    def _generate(self, requests: Sequence[Generate]) -> list[str]:
        """Greedy completions, without the prompt and cut before the first stop string."""
        tokenizer = self.tokenizer
        width = max(len(request.context) for request in requests)
        tokens = torch.full((len(requests), width), tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for index, request in enumerate(requests):
            tokens[index, width - len(request.context) :] = torch.tensor(request.context)
            mask[index, width - len(request.context) :] = 1
        stop, budget = requests[0].stop, requests[0].budget
        output = self.model.generate(
            input_ids=tokens.to(self.device),
            attention_mask=mask.to(self.device),
            max_new_tokens=budget,
            stopping_criteria=StoppingCriteriaList([_RowStops(tokenizer, stop, width)]),
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        return [postprocess_generated_text(text, list(stop), None) for text in texts]


class _RowStops(StoppingCriteria):  # type: ignore[misc]
    """Says for each row whether its completion holds a stop string; rows end one by one."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], prompt_width: int) -> None:
        self.tokenizer, self.stop, self.prompt_width = tokenizer, stop, prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :], skip_special_tokens=True)
        done = [any(stop in text for stop in self.stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def batches(requests: Sequence[Request], size: BatchSize) -> Iterator[Batch]:
    """Cut a whole plan into batches, longest first; requests with the same model input become one row."""
    rows: dict[tuple[Any, ...], list[int]] = {}
    for position, request in enumerate(requests):
        if isinstance(request, Score):
            rows.setdefault((0, (*request.context, *request.continuation[:-1])), []).append(position)
        else:
            rows.setdefault((1, request.stop, request.budget, request.context), []).append(position)
    by_kind: dict[tuple[Any, ...], list[tuple[int, ...]]] = {}
    for key, positions in rows.items():
        by_kind.setdefault(key[:-1], []).append(tuple(positions))
    for kind, members in by_kind.items():
        members.sort(key=lambda row: -requests[row[0]].length)
        most = size.rows if kind[0] else len(members)
        start = 0
        while start < len(members):
            count = max(1, min(most, size.tokens // max(1, requests[members[start][0]].span)))
            yield Batch(tuple(members[start : start + count]))
            start += count


def _log_likelihood(request: Score, logits: torch.Tensor, place: dict[int, int]) -> tuple[float, bool]:
    """Sum of log-probabilities of the continuation, from a row's logits [positions kept, vocabulary]."""
    indices = [place[position] for position in range(len(request.context) - 1, request.length)]
    own = torch.log_softmax(logits[indices].float(), dim=-1)
    target = torch.tensor(request.continuation, device=own.device)
    total = own.gather(1, target[:, None]).sum()
    return float(total), bool((own.argmax(dim=-1) == target).all())
