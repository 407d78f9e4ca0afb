"""How many items decide, and what a number of items can detect, from the variance that the pairs show.

Power of paired tests by the normal approximation (Miller, "Adding Error Bars to Evals", arXiv 2411.00640,
section 5): what counts is the share of items that flip, not the scores.
"""

import math

from scipy import stats

from kick.comparison.pairing import Pairs
from kick.comparison.records import Power
from kick.comparison.statistics.moments import Moments
from kick.errors import InputError

LEVEL = 0.05  # one-sided
POWER = 0.8


def items_needed(
    variance: float, distance: float, *, level: float = LEVEL, power: float = POWER
) -> int | None:
    """Items for a one-sided test to show a difference that is `distance` away, with this power.

    Args:
        variance: of one item's contrast; with 0 and 1 and no loss the share of items that flip. Of
            dependent items: variance of the mean times their number.
        distance: between the truth and the bound that is tested, in units of the metric.
        level: one-sided.
        power: chance of success.

    Returns:
        None where the distance is 0 (no number decides) or there is no variance to go by.
    """
    if distance == 0 or not 0 < variance < math.inf:
        return None
    return math.ceil(variance * (_reach(level, power) / distance) ** 2)


def detectable(variance: float, n: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest loss that `n` items show with this power, in units of the metric; see `items_needed`."""
    return _reach(level, power) * math.sqrt(variance / n)


def power_of(pairs: Pairs, margin: float) -> Power:
    """What the items of these pairs can decide at a relative margin.

    Args:
        pairs: reference and candidate on one task.
        margin: relative; of a perplexity, 0.05 allows a ratio of 1.05.

    Raises:
        InputError: a perplexity is not finite.
    """
    sample = pairs.sample
    if not sample.finite:
        raise InputError(f"{pairs.task}: a perplexity that is not finite has no variance to plan by.")
    m = sample.moments
    sign = 1 if sample.higher_is_better else -1
    bound = math.log1p(margin) if sample.perplexity else margin * m.mean_a
    at_bound = m.variance() if sample.perplexity else m.variance(1 - sign * margin)
    return Power(
        task=pairs.task,
        candidate=pairs.candidate.checkpoint,
        metric=pairs.metric,
        n=sample.n,
        discordance=float((sample.a != sample.b).mean()) if sample.is_binary else None,
        margin=margin,
        items_to_match=items_needed(at_bound * sample.n, bound),
        items_to_decide=items_to_decide(m, sign * (m.mean_b - m.mean_a), bound),
        detectable_loss=detectable(m.variance() * sample.n, sample.n),
    )


def items_to_decide(
    m: Moments, gain: float, bound: float, *, level: float = LEVEL, loss_level: float = LEVEL
) -> int | None:
    """Items after which a difference as measured is decided: shown to be within the bound, or to be a loss.

    Where no item differs there is no variance to go by: then as many as show the bound if none differs still,
    by the score test of right-or-wrong items.

    Args:
        m: the moments of the pairs.
        gain: the difference measured; negative for a loss.
        bound: the loss that is tolerated, positive, in the same units.
        level: of the test against the bound, one-sided.
        loss_level: of the test for a loss.
    """
    variance = m.variance() * m.n
    if variance == 0 and gain == 0 and bound > 0:
        return math.ceil(float(stats.norm.ppf(1 - level)) ** 2 / bound)
    within = items_needed(variance, gain + bound, level=level) if gain > -bound else None
    loss = items_needed(variance, gain, level=loss_level) if gain < 0 else None
    return min((number for number in (within, loss) if number is not None), default=None)


def _reach(level: float, power: float) -> float:
    return float(stats.norm.ppf(1 - level) + stats.norm.ppf(power))
