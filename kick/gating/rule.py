"""The rule of every check: three zones for a loss, the bracket that shows it, and the mark that is printed for it.

A policy names two losses, the margin m and the tolerated loss t <= m. A check passes when a loss below m is shown, is a
regression when a loss above t is shown, and is inconclusive otherwise. Each is a one-sided test at level alpha. The
bracket is the two-sided interval of the losses that neither test rejects at that level (1 - 2 alpha, 90 % by default),
found by inverting the tests themselves, so a mark never contradicts the bracket beside it:

    ✓  the bracket ends below m                      ✗  the bracket begins above t                   ?  otherwise

A regression is corrected for the number of tests and rests on a minimum of changed items, so a bracket above t may
still be marked `?`; the reason then says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scipy.optimize import brentq

from kick.comparison.matching import Contrast
from kick.types import Outcome

MARKS: dict[Outcome, str] = {"pass": "✓", "regression": "✗", "inconclusive": "?"}
# The largest loss that is looked for where a loss has no upper bound, as that of perplexity has not.
_FARTHEST = 1e6
_PRECISION = 1e-5


def outcome_of(p_within: float, p_loss: float, alpha: float) -> Outcome:
    """Apply the rule of every check.

    Args:
        p_within: p-value of "the loss is the margin or more".
        p_loss: p-value of "no more than the tolerated loss is lost", corrected for the number of tests.
        alpha: the level of both tests.
    """
    if p_within <= alpha:
        return "pass"
    return "regression" if p_loss <= alpha else "inconclusive"


class Judged(Protocol):
    """A record with an outcome: a check, the verdict of a candidate, the score of a family."""

    @property
    def outcome(self) -> Outcome | None:
        """The outcome; None if it was not judged."""


def mark(judged: Judged | None) -> str:
    """Return the mark of what was judged: ✓, ✗ or ?; nothing if it was not."""
    return "" if judged is None or judged.outcome is None else MARKS[judged.outcome]


@dataclass(frozen=True)
class LossTests:
    """The one-sided tests of paired scores against a loss.

    Attributes:
        contrast: the paired scores.
        relative: whether losses are shares of the reference's score, or in units of the metric.
    """

    contrast: Contrast
    relative: bool = True

    def p_within(self, loss: float) -> float:
        """Return the p-value of "the loss is this or more": small shows a smaller one."""
        return self._evidence(loss, above=self.contrast.higher_is_better)

    def p_beyond(self, loss: float) -> float:
        """Return the p-value of "the loss is this or less": small shows a larger one."""
        return self._evidence(loss, above=not self.contrast.higher_is_better)

    def bracket(self, loss: float, alpha: float) -> tuple[float, float]:
        """Return the losses between which neither test rejects at level `alpha`.

        Args:
            loss: as measured.
            alpha: one-sided; the bracket is a two-sided interval at 1 - 2 alpha.
        """
        if not math.isfinite(loss):
            return loss, loss
        # A share of a score cannot exceed 1 where higher is better: nothing is left.
        most = 1.0 if self.relative and self.contrast.higher_is_better else math.inf
        least = -1.0 if self.relative and not self.contrast.higher_is_better else -math.inf
        return (
            _crossing(self.p_beyond, loss, least, alpha, -1.0),
            _crossing(self.p_within, loss, most, alpha, +1.0),
        )

    def _evidence(self, loss: float, *, above: bool) -> float:
        """Return the p-value that shows the candidate's score above, or below, that of a loss."""
        signed = -loss if self.contrast.higher_is_better else loss
        bound = {"ratio": 1 + signed} if self.relative else {"delta": signed}
        return self.contrast.evidence_above(**bound) if above else self.contrast.evidence_below(**bound)


def _crossing(
    p_value: Callable[[float], float], start: float, edge: float, alpha: float, side: float
) -> float:
    """Return where a p-value falls to `alpha` on the way from `start` to `edge`, or the edge if it does not."""
    if p_value(start) <= alpha:
        return start
    near, step = start, 0.01
    while step < _FARTHEST:
        far = start + side * step
        inside = side * (edge - far) > _PRECISION
        if not inside:
            far = edge - side * _PRECISION
        if side * (far - near) <= 0:
            return edge
        if p_value(far) <= alpha:
            return float(brentq(lambda loss: p_value(loss) - alpha, near, far, xtol=_PRECISION))
        if not inside:
            return edge
        near, step = far, 2 * step
    return edge
