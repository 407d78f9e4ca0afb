"""The items that decide, and the loss that a number of items can detect, from the variance that the pairs show.

Power of paired tests by the normal approximation (Miller, "Adding Error Bars to Evals", arXiv 2411.00640, section 5):
what counts is the share of items that flip, not the scores. A test takes the variance that holds at its bound, and the
truth has its own, so both enter (Tang, Tang and Chan, Statistics in Medicine 22, 2003). A plan is for one look at the
end: whoever looks more often uses `kick.comparison.evidence`.
"""

import math
from collections.abc import Sequence

from scipy import stats
from scipy.optimize import brentq

from kick.comparison.pairing import Pairs
from kick.comparison.records import Power
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.binary import PairedTable, ratio_variance
from kick.comparison.statistics.moments import Moments, effective_n
from kick.errors import InputError

LEVEL = 0.05  # one-sided
POWER = 0.8
_MAX_ITEMS = 1e9


def items_needed(
    variance: float,
    distance: float,
    *,
    null_variance: float | None = None,
    worst: float = 0.0,
    level: float = LEVEL,
    power: float = POWER,
) -> int | None:
    """Return the items with which a one-sided test shows a difference that is `distance` away, with this power.

    Args:
        variance: of one item's contrast in truth; with 0 and 1 and no loss the share of items that flip. Of
            dependent items: variance of the mean times their number.
        distance: between the truth and the bound that is tested, in units of the metric.
        null_variance: of one item's contrast as the test takes it, at its bound; the true one when left out.
        worst: how far a pseudo-item of the test is beyond the bound, in units of the metric.
        level: one-sided.
        power: chance of success.

    Returns:
        None where the distance is 0 (no number decides) or there is no variance to go by.
    """
    null_variance = variance if null_variance is None else null_variance
    if distance == 0 or not 0 < max(variance, null_variance) < math.inf:
        return None
    distance = abs(distance)
    reach, chance = float(stats.norm.ppf(1 - level)), float(stats.norm.ppf(power))

    def short(n: float) -> float:
        noise = reach * math.sqrt(null_variance / n + (worst / n) ** 2) + chance * math.sqrt(variance / n)
        return worst / n + noise - distance

    if short(_MAX_ITEMS) > 0:
        return None
    return math.ceil(float(brentq(short, 1e-9, _MAX_ITEMS, xtol=1e-6)) - 1e-6)


def detectable(variance: float, n: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """Return the smallest loss that `n` items show with this power, in units of the metric; see `items_needed`."""
    return float(stats.norm.ppf(1 - level) + stats.norm.ppf(power)) * math.sqrt(variance / n)


def plan_binary(
    shares: Sequence[float], margin: float, *, level: float = LEVEL, power: float = POWER
) -> int | None:
    """Return the right-or-wrong items with which the score test shows that a loss is within a relative margin.

    Args:
        shares: of items both right, lost, gained and both wrong, in truth; they sum to 1.
        margin: relative.
        level: one-sided.
        power: chance of success.

    Returns:
        None if the loss is the margin or more.
    """
    both, lost, gained, neither = shares
    theta = 1 - margin
    distance = both + gained - theta * (both + lost)
    if distance <= 0:
        return None
    variance = both * margin**2 + lost * theta**2 + gained - distance**2
    null_variance = ratio_variance(PairedTable(both, lost, gained, neither), theta)
    return items_needed(variance, distance, null_variance=null_variance, level=level, power=power)


def power_of(pairs: Pairs, margin: float) -> Power:
    """Return what the items of these pairs can decide at a relative margin.

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
    return Power(
        task=pairs.task,
        candidate=pairs.candidate.checkpoint,
        metric=pairs.metric,
        n=sample.n,
        discordance=float((sample.a != sample.b).mean()) if sample.is_binary else None,
        margin=margin,
        items_to_match=_items_to_match(sample, margin, bound),
        items_to_decide=items_to_decide(m, sign * (m.mean_b - m.mean_a), bound),
        detectable_loss=detectable(m.variance() * sample.n, sample.n),
    )


def _items_to_match(sample: PairedSample, margin: float, bound: float) -> int | None:
    """Return the items that show a match if as much differs as was seen, and nothing is lost."""
    m = sample.moments
    if sample.is_binary and sample.higher_is_better:
        flips, right = float((sample.a != sample.b).mean()), (m.mean_a + m.mean_b) / 2
        if flips == 0 or right == 0:
            return None
        needed = plan_binary((right - flips / 2, flips / 2, flips / 2, 1 - right - flips / 2), margin)
        worth = effective_n(sample.b - sample.a, sample.groups, sample.strata)[0]
        return None if needed is None else math.ceil(needed * sample.n / worth)
    sign = 1 if sample.higher_is_better else -1
    at_bound = m.variance() if sample.perplexity else m.variance(1 - sign * margin)
    worst = sample.pseudo_item * (1 - margin) if sample.is_bounded else 0.0
    return items_needed(at_bound * sample.n, bound, worst=worst) if at_bound > 0 else None


def items_to_decide(
    m: Moments, gain: float, bound: float, *, level: float = LEVEL, loss_level: float = LEVEL
) -> int | None:
    """Return the items after which a difference as measured is decided: shown to be within the bound, or to be a loss.

    If no item differs there is no variance to go by: then as many as show the bound if none differs still, by the score
    test of right-or-wrong items. It is a plan for one look: to score that many more and to look again is to look
    twice, which only evidence at every look (`kick.comparison.evidence`) allows.

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
