"""The fate of each item: flips, the rates of knowledge lost and gained, and agreement beyond chance."""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from kick.comparison.estimates import score_estimate
from kick.comparison.pairing import Pairs
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array, critical_value
from kick.types import Estimate, Flips

Mask = npt.NDArray[np.bool_]


def count_flips(pairs: Pairs) -> Flips | None:
    """Return the counts of items by what both checkpoints made of them; None for graded metrics."""
    if not pairs.sample.is_binary:
        return None
    right_a, right_b = correct(pairs)
    both_wrong = ~right_a & ~right_b
    return Flips(
        both_right=int((right_a & right_b).sum()),
        lost=int((right_a & ~right_b).sum()),
        gained=int((~right_a & right_b).sum()),
        both_wrong=int(both_wrong.sum()),
        other_wrong=int((both_wrong & answered_otherwise(pairs)).sum()),
    )


def correct(pairs: Pairs) -> tuple[Mask, Mask]:
    """Return which items (n,) the reference and the candidate got right, by a binary metric."""
    good = 1.0 if pairs.sample.higher_is_better else 0.0
    return pairs.sample.a == good, pairs.sample.b == good


def answered_otherwise(pairs: Pairs) -> Mask:
    """Return the items (n,) to which the two gave different answers: other text, or another choice as the likeliest.

    Case and space at the ends do not count. If neither text nor log-likelihoods were kept, nothing
    differs.
    """
    first, second = _answers(pairs.reference_items), _answers(pairs.candidate_items)
    return np.asarray(first != second, dtype=bool)


def _answers(items: pd.DataFrame) -> npt.NDArray[np.object_]:
    responses = items["response"].to_numpy(object)
    text = np.array(
        [answer.strip().lower() if isinstance(answer, str) else "" for answer in responses], object
    )
    silent = text == ""
    if silent.any():
        text[silent] = likeliest(items["choice_logprobs"].to_numpy(object)[silent]).astype(object)
    return text


def likeliest(logprobs: Iterable[Array]) -> npt.NDArray[np.int64]:
    """Return the likeliest choice of each item (n,); -1 if there are no choices."""
    rows = list(logprobs)
    sizes = {len(row) for row in rows}
    if len(sizes) == 1 and sizes != {0}:
        best: npt.NDArray[np.int64] = np.argmax(np.stack(rows), axis=1)
        return best
    return np.array([np.argmax(row) if len(row) else -1 for row in rows], dtype=np.int64)


def loss_rate(sample: PairedSample) -> Estimate | None:
    """Return the share of the items that the reference got right which the candidate gets wrong: the knowledge loss."""
    good = 1.0 if sample.higher_is_better else 0.0
    return _rate(sample, sample.a == good, sample.b != good)


def gain_rate(sample: PairedSample) -> Estimate | None:
    """Return the share of the items that the reference got wrong which the candidate gets right."""
    good = 1.0 if sample.higher_is_better else 0.0
    return _rate(sample, sample.a != good, sample.b == good)


def _rate(sample: PairedSample, among: Mask, happened: Mask) -> Estimate | None:
    if not sample.is_binary or not among.any():
        return None
    groups = None
    if sample.groups is not None:
        codes, names = pd.factorize(sample.groups[among])
        groups = codes.astype(np.int64) if len(names) < len(codes) else None
    return score_estimate(happened[among].astype(float), groups)


def flip_rate(sample: PairedSample) -> Estimate | None:
    """Return the share of the items whose correctness changed; None for graded metrics."""
    if not sample.is_binary:
        return None
    return score_estimate((sample.a != sample.b).astype(float), sample.groups, strata=sample.strata)


def kappa(sample: PairedSample) -> Estimate | None:
    """Return Cohen's kappa of right and wrong with the standard error of Fleiss, Cohen and Everitt (1969).

    Returns:
        None for graded metrics, for dependent items (the standard error assumes independent ones), and if
        both checkpoints are all right or all wrong, so that agreement by chance is complete.
    """
    if not sample.is_binary or sample.groups is not None:
        return None
    both, a, b, n = float(sample.a @ sample.b), float(sample.a.sum()), float(sample.b.sum()), sample.n
    if a == b and a in (0, n):
        return None
    shares = np.array([[both, a - both], [b - both, n - a - b + both]]) / n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    agreement, chance = float(np.trace(shares)), float(rows @ columns)
    value = (agreement - chance) / (1 - chance)
    sums = rows[None, :] + columns[:, None]
    on = np.diag(shares) @ (1 - np.diag(sums) * (1 - value)) ** 2
    off = (1 - value) ** 2 * ((shares * sums**2).sum() - np.diag(shares) @ np.diag(sums) ** 2)
    variance = float(on + off - (value - chance * (1 - value)) ** 2) / ((1 - chance) ** 2 * n)
    half = critical_value(math.inf) * math.sqrt(max(variance, 0.0))
    low, high = max(value - half, -1.0), min(value + half, 1.0)
    return Estimate(value=value, low=low, high=high, n=n, method="normal")
