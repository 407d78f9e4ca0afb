"""The early warning: how much probability the right answers lost, which moves before the score does.

A choice changes only when another option overtakes it; the probability of the right one moves on every item. It is
the softmax over the choices, or the likelihood of the right answer where a run measured divergence. The warning has a
margin of its own in the policy, is shown beside a verdict and never changes it: without one, answers may still be lost.
"""

from collections.abc import Callable
from math import exp, inf, log

import numpy as np

from kick.comparison.pairing import Pairs
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array, Codes
from kick.comparison.statistics.sequential import bets_beyond, log_evidence_path, log_evidence_skewed
from kick.gating.rule import LossTests
from kick.types import Check, EarlyWarning

# The columns of items: the softmax over the choices at the right one; the likelihoods of the right answer, which a
# candidate's items hold for both models.
CHOICE = "right_probability"
ANSWER, REFERENCE_ANSWER = "answer_probability", "reference_answer_probability"
# Items before which the t mixture is not looked at.
FEWEST = 64


def right_probabilities(pairs: Pairs) -> tuple[Array, Array] | None:
    """Return the probabilities of the right answers by reference and candidate, (n,) each, 0..1; None: not measured."""
    left, right = pairs.reference_items, pairs.candidate_items
    if CHOICE in left and CHOICE in right:
        columns = left[CHOICE], right[CHOICE]
    elif pairs.reference.task.kind == "generation" and {ANSWER, REFERENCE_ANSWER} <= set(right):
        columns = right[REFERENCE_ANSWER], right[ANSWER]
    else:
        return None
    a, b = (column.to_numpy(np.float64) for column in columns)
    # A model without probabilities gives none to the right answer either.
    return np.nan_to_num(a), np.nan_to_num(b)


def early_warning(
    pairs: Pairs, margin: float | None, p_value: Callable[[Array, Array, float], float]
) -> EarlyWarning | None:
    """Return the warning about some pairs, not yet corrected; None: not measured, or the policy asks for none.

    Args:
        pairs: reference and candidate on one task.
        margin: the loss that is warned of, as a share of the reference's mean probability.
        p_value: the p-value of "no more than this is lost" for the probabilities of both models and a margin.
    """
    probabilities = right_probabilities(pairs) if margin is not None else None
    if margin is None or probabilities is None or probabilities[0].mean() <= 0:
        return None
    a, b = probabilities
    return EarlyWarning(
        margin=margin,
        reference=float(a.mean()),
        candidate=float(b.mean()),
        p_value=p_value(a, b, margin),
        warns=False,
    )


def at_one_look(pairs: Pairs) -> Callable[[Array, Array, float], float]:
    """Return the test of the plain gate: that of graded scores, with the groups of the task as units."""

    def p_value(a: Array, b: Array, margin: float) -> float:
        sample = PairedSample(a, b, groups=pairs.sample.groups, strata=pairs.sample.strata)
        return LossTests(sample).p_beyond(margin)

    return p_value


def at_every_look(order: Codes) -> Callable[[Array, Array, float], float]:
    """Return the test that may be looked at after every item.

    Args:
        order: (n,) rows of the pairs in the order in which they were drawn.
    """
    return lambda a, b, margin: exp(-max(float(warning_path(a[order], b[order], margin).max()), 0.0))


def warning_path(a: Array, b: Array, margin: float) -> Array:
    """Return the log evidence (..., n) that more than the margin is lost of the mean probability, after each item.

    Half of the stake goes to bets on the probabilities, as scores are bet on. They are exact whatever the probabilities
    are, and that is their price: one item may change by 1, so they need hundreds of items to show a small loss that all
    of them share. The other half goes, from `FEWEST` items on, to the t mixture for skewed values, which takes the
    changes to be like those seen. The error of both is below 2 % where log-odds change by noise, and above 5 % where
    nearly all of the gain is in one item of twenty or fewer (scripts/simulate_sequential.py): it is a warning.

    Args:
        a: (..., n) probabilities of the right answers by the reference, 0..1.
        b: (..., n) the same by the candidate.
        margin: a share of the reference's mean.
    """
    mixture = log_evidence_skewed((1 - margin) * a - b)
    mixture[..., : FEWEST - 1] = -inf
    path: Array = np.logaddexp(log_evidence_path(bets_beyond(a, b, ratio=margin)), mixture) - log(2)
    return path


def corrected(warning: EarlyWarning | None, alpha: float, tests: int) -> EarlyWarning | None:
    """Return a warning that is read together with as many others as `tests`."""
    if warning is None:
        return None
    p_value = min(1.0, tests * warning.p_value)
    return warning.model_copy(update={"p_value": p_value, "warns": p_value <= alpha})


def warning_in_words(check: Check) -> str | None:
    """Return the warning of a check as a sentence; None if there is none."""
    warning = check.early_warning
    if warning is None or not warning.warns:
        return None
    return (
        f"early warning, which decides nothing: the right answers lost {100 * warning.loss:.3g} % of their probability "
        f"({warning.reference:.3g} -> {warning.candidate:.3g}); more than {100 * warning.margin:g} % is shown "
        f"(p = {warning.p_value:.2g})"
    )
