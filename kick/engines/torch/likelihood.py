"""Log-likelihoods of scored requests from one forward over the rows that hold them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import torch

from kick.engines.torch.batching import Row
from kick.engines.torch.forward import Forward, Prefix
from kick.engines.torch.head import log_normalisers
from kick.harness.plan import Score


def log_likelihoods(
    forward: Forward, rows: Sequence[Row], prefix: Prefix, requests: Mapping[int, Score]
) -> dict[int, tuple[float, bool]]:
    """Log-likelihood (natural log) and greedy match of every request of some rows, by position in the plan.

    Log-probabilities are taken in float32 from the model's logits, and summed in float64.
    """
    states = forward.states(rows, prefix)
    nodes = sorted({(r, node) for r, row in enumerate(rows) for a in row.answers for node in a.nodes})
    index = torch.tensor(nodes, device=states.device)
    needed = states[index[:, 0], index[:, 1]]
    place = {node: index for index, node in enumerate(nodes)}
    asked = sorted(
        (place[r, node], token, answer.position)  # place of the logits, token, position of the request
        for r, row in enumerate(rows)
        for answer in row.answers
        for node, token in zip(answer.nodes, requests[answer.position].continuation, strict=True)
    )
    totals = {position: 0.0 for _, _, position in asked}
    greedy = dict.fromkeys(totals, True)
    waiting = 0
    for part, logits in forward.head.in_chunks(needed):
        end = bisect_left(asked, (part.stop,))
        places, tokens, positions = zip(*asked[waiting:end], strict=True)
        lines = torch.tensor(places, device=logits.device) - part.start
        wanted = torch.tensor(tokens, device=logits.device)
        best = logits.argmax(dim=-1)[lines] == wanted
        values = logits[lines, wanted] - log_normalisers(logits)[lines]
        for position, value, match in zip(positions, values.tolist(), best.tolist(), strict=True):
            totals[position] += value
            greedy[position] &= match
        waiting = end
    return {position: (totals[position], greedy[position]) for position in totals}
