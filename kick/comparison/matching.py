"""Matching: whether a candidate is within a margin of the reference, shown by tests and not by two means."""

from typing import Protocol

from kick.types import Match, Matching

# One-sided.
LEVEL = 0.05


class Contrast(Protocol):
    """Paired scores that can be tested against a bound: a `PairedSample`, or the mean of several."""

    @property
    def higher_is_better(self) -> bool:
        """True if a fall is a loss."""

    @property
    def has_ratio(self) -> bool:
        """True if the candidate's score can be put as a share of the reference's."""

    def evidence_above(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """Return the one-sided p-value of "the candidate's score is at most this"."""

    def evidence_below(self, *, ratio: float | None = None, delta: float | None = None) -> float:
        """Return the one-sided p-value of "the candidate's score is at least this"."""


def match(sample: Contrast, margin: float, level: float = LEVEL) -> Matching | None:
    """Return two one-sided tests at the bound: (1 - margin) * reference, (1 + margin) * reference if lower is better.

    Matching is shown when "the loss is as large as the margin" is rejected (non-inferiority), not matching
    when "the loss is as small as the margin" is. Neither is rejected if the items are too few to tell.
    Never both, as level < 0.5.

    Returns:
        None if the reference is not above 0: then no share of it can be lost.
    """
    if not sample.has_ratio:
        return None
    p_matching, p_not = margin_tests(sample, ratio=margin)
    outcome: Match = "cannot tell"
    if p_matching <= level:
        outcome = "matching"
    elif p_not <= level:
        outcome = "not matching"
    return Matching(margin=margin, outcome=outcome, p_matching=p_matching, p_not_matching=p_not)


def margin_tests(
    sample: Contrast, *, ratio: float | None = None, drop: float | None = None
) -> tuple[float, float]:
    """Return the one-sided p-values of "the loss is the margin or more" and of "it is the margin or less".

    Args:
        sample: the pairs.
        ratio: the margin as a share of the reference's score, or
        drop: the margin in units of the metric.
    """
    sign = -1 if sample.higher_is_better else 1
    if ratio is not None:
        bound = {"ratio": 1 + sign * ratio}
    else:
        assert drop is not None
        bound = {"delta": sign * drop}
    above, below = sample.evidence_above(**bound), sample.evidence_below(**bound)
    return (above, below) if sample.higher_is_better else (below, above)
