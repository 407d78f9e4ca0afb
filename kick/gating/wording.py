"""A loss in words that stay readable: numbers where they say something, and a phrase where they do not."""

from math import inf, isfinite

from kick.text import BROKEN
from kick.types import Check


def in_words(check: Check) -> str:
    """Return the loss of a check with its bracket: `1.2 % lost [-0.3, 2.8]`.

    A gain is a negative loss. A loss that no number describes is a phrase: a model without probabilities, a score that
    is more than a hundred times the reference's, a reference with nothing to lose, a bracket without an end.
    """
    loss = check.loss
    if check.kind == "perplexity" and not isfinite(loss.value):
        return "not finite: the model gives no probability"
    if check.reference_score is not None and check.reference_score.value <= 0 and check.relative:
        return "the reference scores 0: it has nothing to lose"
    if check.relative and loss.value + 1 > BROKEN:
        return f"more than {BROKEN:g} times the reference's"
    scale, unit = (100, " %") if check.relative else (1, " nats per token" if check.kind == "kl" else "")
    bounds = (loss.value, loss.low, loss.high)
    word = "" if check.kind == "kl" else " lost" if check.higher_is_better else " rise"
    value, low, high = (_number(scale * bound, decimals=2 if check.relative else None) for bound in bounds)
    value = f"{value}{unit}{word}"
    least = -1.0 if check.relative and not check.higher_is_better else -inf
    if loss.low <= least and loss.high == inf:
        return (
            f"{value}, too few {'windows' if check.kind in ('perplexity', 'kl') else 'items'} for a bracket"
        )
    if check.relative and not check.higher_is_better and loss.high + 1 > BROKEN:
        return f"{value} [{low} or more]"
    return f"{value} [{low}, {high}]"


def _number(value: float, decimals: int | None) -> str:
    """Return a number of three digits, and of so many decimals at most, without a minus before zero."""
    if not isfinite(value):
        return f"{value}"
    rounded = value if decimals is None else round(value, decimals)
    text = f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.3g}"
    return "0" if text == "-0" else text
