"""Log-likelihoods of scored requests from one forward over the rows that hold them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import torch

from kick.engines.base import LogLikelihood, Score
from kick.engines.torch.batching import Row
from kick.engines.torch.forward import Forward, Prefix
from kick.engines.torch.head import log_normalisers


def log_likelihoods(
    forward: Forward, rows: Sequence[Row], prefix: Prefix, requests: Mapping[int, Score]
) -> dict[int, LogLikelihood]:
    """Return the log-likelihood of every request of some rows, by position in the plan.

    Log-probabilities are taken in float32 from the model's logits, and summed in float64.
    """
    states = forward.states(rows, prefix)
    nodes = sorted({(r, node) for r, row in enumerate(rows) for a in row.answers for node in a.nodes})
    index = torch.tensor(nodes, device=states.device)
    needed = states[index[:, 0], index[:, 1]]
    place = {node: index for index, node in enumerate(nodes)}
    # The place of the logits, the token, and the position of the request.
    wanted = sorted(
        (place[r, node], token, answer.position)
        for r, row in enumerate(rows)
        for answer in row.answers
        for node, token in zip(answer.nodes, requests[answer.position].continuation, strict=True)
    )
    totals = {position: 0.0 for _, _, position in wanted}
    greedy = dict.fromkeys(totals, True)
    waiting = 0
    for part, logits in forward.head.in_chunks(needed):
        end = bisect_left(wanted, (part.stop,))
        places, tokens, positions = zip(*wanted[waiting:end], strict=True)
        lines = torch.tensor(places, device=logits.device) - part.start
        targets = torch.tensor(tokens, device=logits.device)
        best = logits.argmax(dim=-1)[lines] == targets
        values = logits[lines, targets] - log_normalisers(logits)[lines]
        for position, value, match in zip(positions, values.tolist(), best.tolist(), strict=True):
            totals[position] += value
            greedy[position] &= match
        waiting = end
    return {position: LogLikelihood(totals[position], greedy[position]) for position in totals}
