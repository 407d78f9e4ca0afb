"""The scores of single tokens, of one model or of a candidate next to its reference, over the whole vocabulary.

The reference's pass keeps its final hidden states, in 16 bits, and its head (`kick.engines.torch.states`); with these a
candidate's pass has both distributions of every token that is predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kick.engines.base import Score, TokenScores
from kick.engines.torch.batching import Row
from kick.engines.torch.forward import Forward, Prefix
from kick.engines.torch.head import Head, token_losses
from kick.engines.torch.states import States
from kick.errors import InputError


@dataclass(frozen=True)
class Reference:
    """A reference that has left its states and its head."""

    states: States
    head: Head


def open_reference(states: States, vocabulary: int, device: torch.device) -> Reference:
    """Return the reference behind some states, for a candidate that predicts `vocabulary` tokens.

    Raises:
        DamagedStatesError: the states are not whole.
        InputError: the two heads predict other vocabularies.
    """
    states.open()
    head = states.head(device)
    if head.vocabulary != vocabulary:
        raise InputError(
            f"its head predicts {vocabulary} tokens and that of its reference "
            f"{head.vocabulary}: there is no divergence between them. Set divergence: false."
        )
    return Reference(states, head)


def token_scores(
    forward: Forward,
    rows: Sequence[Row],
    prefix: Prefix,
    requests: Mapping[int, Score],
    keep: States | None = None,
    reference: Reference | None = None,
) -> dict[int, TokenScores]:
    """Return the scores of the tokens of every request of some rows, by position in the plan.

    Args:
        forward: the forward of the model.
        rows: the rows that hold the requests.
        prefix: what precedes the rows.
        requests: the requests, by position in the plan.
        keep: where the model's final states are kept.
        reference: the reference that the model is compared with.
    """
    states = forward.states(rows, prefix)
    answers = [(r, answer) for r, row in enumerate(rows) for answer in row.answers]
    nodes = [(r, node) for r, answer in answers for node in answer.nodes]
    index = torch.tensor(nodes, device=states.device)
    needed = states[index[:, 0], index[:, 1]]
    places = [answer.position for _, answer in answers]
    ends = np.cumsum([len(requests[place].continuation) for place in places]).tolist()
    spans = [*zip(places, [0, *ends], ends, strict=False)]
    if keep is not None:
        for place, start, end in spans:
            keep.write(place, needed[start:end])
    targets = torch.tensor(
        [token for place in places for token in requests[place].continuation], device=states.device
    )
    own = forward.head.in_chunks(needed)
    if reference is None:
        parts = [token_losses(logits, targets[part])[None] for part, logits in own]
    else:
        theirs = torch.cat([reference.states.read(place) for place in places])
        kept = reference.head.in_chunks(theirs.to(states.device, reference.head.dtype))
        parts = [compare(p, q, targets[part]) for (part, q), (_, p) in zip(own, kept, strict=True)]
    values = torch.cat(parts, dim=1).float().cpu().numpy()
    return {place: TokenScores.of(values[:, start:end]) for place, start, end in spans}


def compare(reference: torch.Tensor, candidate: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the rows of `TokenScores` [6, n] for tokens [n] and float32 logits [n, vocabulary] of both models.

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
