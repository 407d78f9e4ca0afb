"""How far a candidate's next-token distributions are from its reference's, exactly and over the whole vocabulary.

The reference's pass keeps its final hidden states, in 16 bits, and its head; with these a candidate's pass has both
distributions for every token that is predicted: those of a text's windows, and the right answers of a task's items. The
statistics are those that llama.cpp prints for two models (its `perplexity --kl-divergence`).
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from kick.engines.torch.batching import Row, ScoreBatch, padded_tokens, score_batches
from kick.engines.torch.forward import Forward, Prefix
from kick.engines.torch.head import Head, token_losses
from kick.engines.torch.memory import Memory
from kick.errors import InputError
from kick.files import sync
from kick.harness.plan import Encoder, Plan, Score, build_requests
from kick.harness.tasks import LoadedTask
from kick.store import Journal
from kick.types import BatchSize, Divergence, Tier

PERCENTILES = (99.9, 99.0, 95.0, 90.0, 50.0, 10.0, 5.0, 1.0)
Values = NDArray[np.float32]


@dataclass(frozen=True)
class TokenScores:
    """What a model makes of the tokens of one request, one value a token."""

    nll: Values  # nats
    reference_nll: Values  # these five are empty where there is no reference
    kl: Values  # KL(reference || candidate), nats
    reverse_kl: Values  # KL(candidate || reference), nats
    delta_p: Values  # probability of the token: candidate's minus reference's
    same_top: Values  # 1 where both find the same token most probable

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "TokenScores":
        """From rows of values [1 or 6, tokens]."""
        return cls(*values, *[np.empty(0, np.float32)] * (6 - len(values)))

    def encode(self) -> str:
        rows = [self.nll, self.reference_nll, self.kl, self.reverse_kl, self.delta_p, self.same_top]
        return base64.b64encode(np.stack([row for row in rows if len(row)]).tobytes()).decode()

    @classmethod
    def decode(cls, text: str, tokens: int) -> "TokenScores":
        return cls.of(np.frombuffer(base64.b64decode(text), np.float32).reshape(-1, tokens))


class States:
    """Final states of a reference on disk, memory-mapped: [tokens, d] in 16 bits, request after request, and its head.

    Args:
        path: of the states; what is known of them is beside it, and so is the head.
        requests: whose tokens are predicted, in the order of the file.
    """

    def __init__(self, path: Path, requests: Sequence[Score]) -> None:
        self.path = path
        lengths = [len(request.continuation) for request in requests]
        self.starts = np.cumsum([0, *lengths]).tolist()
        self._values: torch.Tensor | None = None
        self._described: dict[str, Any] = {}

    @property
    def complete(self) -> bool:
        return self._about.is_file()

    @property
    def _about(self) -> Path:
        return self.path.with_suffix(".json")

    @property
    def _head(self) -> Path:
        return self.path.with_suffix(".head.safetensors")

    def begin(self, head: Head) -> bool:
        """Store the head and make room for the states; False if an earlier run, which was interrupted, did so.

        Raises:
            InputError: the head is of a kind that cannot be stored.
        """
        weights = head.weights()
        begun = self.path.is_file() and self._head.is_file()
        self.path.parent.mkdir(exist_ok=True)
        if not begun:
            save_file(weights, self._head)
            sync(self._head)
        self._values = self._map(weights["weight"].shape[1], _kept_dtype(head.dtype))
        self._described = {
            "width": self._values.shape[1],
            "dtype": str(self._values.dtype).removeprefix("torch."),
            "rule": head.rule,
            "constant": head.constant,
        }
        return not begun

    def write(self, place: int, states: torch.Tensor) -> None:
        """Keep the states [tokens, d] of a request; `sync` brings them to the disk."""
        assert self._values is not None
        kept = states.to("cpu", self._values.dtype)
        if not torch.isfinite(kept).all():
            raise InputError(
                "the reference's final states are not finite in 16 bits, so that no divergence from them can be "
                "measured. Set divergence: false."
            )
        self._values[self.starts[place] : self.starts[place + 1]] = kept

    def sync(self) -> None:
        sync(self.path)

    def finish(self) -> None:
        """Say that all states are there."""
        self.sync()
        self._about.write_text(json.dumps(self._described))
        sync(self._about)

    def read(self, place: int) -> torch.Tensor:
        """The states [tokens, d] of a request."""
        if self._values is None:
            about = json.loads(self._about.read_text())
            self._values = self._map(about["width"], getattr(torch, about["dtype"]))
        return self._values[self.starts[place] : self.starts[place + 1]]

    def head(self, device: torch.device) -> Head:
        about = json.loads(self._about.read_text())
        with safe_open(self._head, framework="pt") as file:
            weights = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
        return Head.linear(weights, about["rule"], about["constant"])

    def _map(self, width: int, dtype: torch.dtype) -> torch.Tensor:
        size = self.starts[-1] * width
        return torch.from_file(str(self.path), shared=True, size=size, dtype=dtype).view(-1, width)


def _kept_dtype(dtype: torch.dtype) -> torch.dtype:
    """float16 for a float32 model: it keeps three more bits of the mantissa than bfloat16."""
    return torch.bfloat16 if dtype == torch.bfloat16 else torch.float16


class TokenPass:
    """Predicts the tokens of requests; keeps the states for candidates to come, or compares with those of a reference.

    Args:
        forward: of the model.
        tier: that `forward` was made for.
        size: of a batch.
        memory: what is known of how much fits.
        keep: where the states of a reference go.
        against: the states of the reference.

    Raises:
        InputError: the two heads predict other vocabularies.
    """

    def __init__(
        self,
        forward: Forward,
        tier: Tier,
        size: BatchSize,
        memory: Memory,
        keep: States | None = None,
        against: States | None = None,
    ) -> None:
        self.forward, self.tier, self.size, self.memory = forward, tier, size, memory
        self.keep, self.against = keep, against
        self.reference = against.head(forward.model.device) if against else None
        if self.reference and self.reference.vocabulary != forward.head.vocabulary:
            raise InputError(
                f"its head predicts {forward.head.vocabulary} tokens and that of its reference "
                f"{self.reference.vocabulary}: there is no divergence between them. Set divergence: false."
            )

    def run(self, requests: Sequence[Score], journal: Journal, offset: int) -> list[TokenScores]:
        """Scores of every request; they stand in the journal at `offset` and after."""
        answered: dict[int, Any] = journal.read()
        if self.keep is not None and self.keep.begin(self.forward.head):
            answered = {}  # what was answered has left no states
        numbered = dict(enumerate(requests))
        for batch in score_batches(numbered, self.size, self.tier):
            if all(offset + place in answered for place in batch.positions):
                continue
            found = self._run(batch, numbered)
            if self.keep is not None:
                self.keep.sync()
            places = list(found)
            texts = [found[place].encode() for place in places]
            journal.append([offset + place for place in places], texts)
            answered.update(zip([offset + place for place in places], texts, strict=True))
        return [
            TokenScores.decode(answered[offset + place], len(request.continuation))
            for place, request in numbered.items()
        ]

    @torch.inference_mode()
    def _run(self, batch: ScoreBatch, requests: Mapping[int, Score]) -> dict[int, TokenScores]:
        prefix = self.forward.prefix(batch.prefix)
        return self.memory.run(
            batch.rows, size=padded_tokens, work=lambda rows: self._rows(rows, prefix, requests)
        )

    def _rows(
        self, rows: Sequence[Row], prefix: Prefix, requests: Mapping[int, Score]
    ) -> dict[int, TokenScores]:
        states = self.forward.states(rows, prefix)
        answers = [(r, answer) for r, row in enumerate(rows) for answer in row.answers]
        where = [(r, node) for r, answer in answers for node in answer.nodes]
        index = torch.tensor(where, device=states.device)
        needed = states[index[:, 0], index[:, 1]]
        places = [answer.position for _, answer in answers]
        ends = np.cumsum([len(requests[place].continuation) for place in places]).tolist()
        if self.keep is not None:
            for place, start, end in zip(places, [0, *ends], ends, strict=False):
                self.keep.write(place, needed[start:end])
        targets = torch.tensor(
            [t for place in places for t in requests[place].continuation], device=states.device
        )
        own = self.forward.head.in_chunks(needed)
        if self.against is None or self.reference is None:
            parts = [token_losses(logits, targets[part])[None] for part, logits in own]
        else:
            theirs = torch.cat([self.against.read(place) for place in places])
            kept = self.reference.in_chunks(theirs.to(states.device, self.reference.dtype))
            parts = [compare(p, q, targets[part]) for (part, q), (_, p) in zip(own, kept, strict=True)]
        values = torch.cat(parts, dim=1).float().cpu().numpy()
        return {
            place: TokenScores.of(values[:, start:end])
            for place, start, end in zip(places, [0, *ends], ends, strict=False)
        }


def right_answers(loaded: LoadedTask, plan: Plan, encoder: Encoder, fits: int | None) -> list[Score]:
    """The right answer of every item of a plan, after its prompt; of several, the first.

    Args:
        loaded: the task.
        plan: its plan.
        encoder: of the tokenizer.
        fits: tokens that fit the model; an answer that goes beyond is cut.

    Raises:
        InputError: the task's answers are no texts.
    """
    scores = []
    instances = build_requests(loaded, plan.doc_ids, plan.info.seed)
    for _, group in groupby(instances, key=lambda instance: instance.doc_id):
        choices = list(group)
        target = loaded.task.doc_to_target(choices[0].doc)
        if choices[0].request_type != "generate_until":
            text = choices[target if len(choices) > 1 else 0].args[1]
        else:
            first = target[0] if isinstance(target, list) and target else target
            if not isinstance(first, str):
                raise InputError(
                    f"{loaded.info.name}: its answers are no texts, so that there are no tokens to predict. "
                    "Leave the task out, or set divergence: false."
                )
            text = f"{loaded.task.config.target_delimiter}{first}"
        score = encoder.score(choices[0].args[0], text)
        most = len(score.continuation) if fits is None else max(1, fits - len(score.context))
        scores.append(Score(score.context, score.continuation[:most]))
    return scores


def compare(reference: torch.Tensor, candidate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The rows of `TokenScores` [6, n] from the tokens [n] and float32 logits [n, vocabulary] of both models.

    The logits are overwritten. With p = exp(a) / A and q = exp(b) / B, KL(p || q) is sum(p (a - b)) - log(A / B): the
    logarithms of the probabilities are never made.
    """
    p, q = reference, candidate
    at_p, at_q = (logits.gather(1, targets[:, None])[:, 0] for logits in (p, q))
    same = (p.argmax(-1) == q.argmax(-1)).float()
    best_p, best_q = p.amax(-1, keepdim=True), q.amax(-1, keepdim=True)
    off = p.sub_(best_p) - q.sub_(best_q)
    sum_p, sum_q = p.exp_().sum(-1), q.exp_().sum(-1)
    shift = sum_p.log() - sum_q.log()
    kl = torch.linalg.vecdot(p, off) / sum_p - shift
    reverse = shift - torch.linalg.vecdot(q, off) / sum_q
    log_p = at_p - best_p[:, 0] - sum_p.log()
    log_q = at_q - best_q[:, 0] - sum_q.log()
    return torch.stack([-log_q, -log_p, kl, reverse, log_q.exp() - log_p.exp(), same])


def summarise(scores: Sequence[TokenScores], reference: str) -> Divergence:
    """Statistics over all tokens; `reference` is the id of the checkpoint that is diverged from."""
    joined = {
        name: np.concatenate([getattr(score, name) for score in scores]).astype(np.float64)
        for name in ("nll", "reference_nll", "kl", "reverse_kl", "delta_p", "same_top")
    }
    n = len(joined["kl"])
    ratio = joined["nll"] - joined["reference_nll"]
    spread = np.std(joined["nll"]) * np.std(joined["reference_nll"])
    return Divergence(
        reference=reference,
        tokens=n,
        kl=float(joined["kl"].mean()),
        kl_error=float(joined["kl"].std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf"),
        kl_max=float(joined["kl"].max()),
        kl_percentiles={f"{q:g}": float(np.percentile(joined["kl"], q)) for q in PERCENTILES},
        reverse_kl=float(joined["reverse_kl"].mean()),
        log_perplexity_ratio=float(ratio.mean()),
        log_perplexity_ratio_error=float(ratio.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf"),
        delta_p=float(joined["delta_p"].mean()),
        delta_p_rms=float(np.sqrt((joined["delta_p"] ** 2).mean())),
        same_top=float(joined["same_top"].mean()),
        nll_correlation=float(np.corrcoef(joined["nll"], joined["reference_nll"])[0, 1]) if spread else None,
    )


def columns(scores: Sequence[TokenScores]) -> dict[str, list[float]]:
    """Means over the tokens of each request, as the columns of items: `kl` and what stands beside it."""
    names = ("kl", "reverse_kl", "delta_p", "same_top")
    return {name: [float(getattr(score, name).mean(dtype=np.float64)) for score in scores] for name in names}
