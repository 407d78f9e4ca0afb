from math import inf

import pytest

from kick.gating import in_words, mark, perplexity_warned
from kick.gating.warning import Warned
from kick.types import Check, CheckKind, Estimate, Outcome, Verdict


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=100, method="t")


def check(
    loss: Estimate,
    kind: CheckKind = "task",
    *,
    relative: bool = True,
    better: bool = True,
    outcome: Outcome = "pass",
    reference: float = 0.5,
) -> Check:
    return Check(
        kind=kind,
        name="name",
        metric="metric",
        higher_is_better=better,
        reference_score=estimate(reference, reference, reference),
        candidate_score=estimate(0.4, 0.3, 0.5),
        relative=relative,
        margin=0.05,
        tolerated=0.025,
        loss=loss,
        p_within=0.5,
        p_loss=0.5,
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (check(estimate(0.012, -0.003, 0.028)), "1.2 % lost [-0.3, 2.8]"),
        (check(estimate(-0.0, -0.01, 0.01)), "0 % lost [-1, 1]"),
        (check(estimate(0.03, 0.01, 0.05), relative=False), "0.03 lost [0.01, 0.05]"),
        (check(estimate(0.03, 0.01, 0.05), "perplexity", better=False), "3 % rise [1, 5]"),
        (check(estimate(0.03, 0.01, 0.05), "kl", relative=False), "0.03 nats per token [0.01, 0.05]"),
        (check(estimate(12.5, 3.25, 200), "perplexity", better=False), "1,250 % rise [325 or more]"),
        (
            check(estimate(3.8e8, 1681, 8.6e13), "perplexity", better=False),
            "more than 100 times the reference's",
        ),
        (
            check(estimate(inf, inf, inf), "perplexity", better=False),
            "not finite: the model gives no probability",
        ),
        (check(estimate(0.2, -inf, inf)), "20 % lost, too few items for a bracket"),
        (
            check(estimate(0.2, -1.0, inf), "perplexity", better=False),
            "20 % rise, too few windows for a bracket",
        ),
        (check(estimate(0.00833, -0.000946, 0.0365)), "0.83 % lost [-0.09, 3.65]"),
        (check(estimate(0.0033, 0.001, 0.005), "kl", relative=False), "0.0033 nats per token [0.001, 0.005]"),
        (
            check(estimate(0, -inf, inf), reference=0),
            "the reference scores 0: it has nothing to lose",
        ),
    ],
)
def test_a_loss_is_readable_however_large_it_is(given: Check, text: str) -> None:
    assert in_words(given) == text


def test_every_outcome_has_its_mark() -> None:
    loss = estimate(0, 0, 0)
    outcomes: tuple[Outcome, ...] = ("pass", "regression", "inconclusive")
    assert [mark(check(loss, outcome=outcome)) for outcome in outcomes] == ["✓", "✗", "?"]
    assert mark(None) == ""


@pytest.mark.parametrize(
    ("perplexity", "task", "warned"),
    [
        ("regression", "regression", "yes"),
        ("pass", "regression", "no: silent loss"),
        ("inconclusive", "regression", "cannot tell"),
        ("regression", "pass", "it warned, no loss shown"),
        ("pass", "pass", "nothing to warn of"),
        ("pass", "inconclusive", "no loss shown"),
        ("inconclusive", "pass", "no loss shown"),
        (None, "regression", "not compared"),
        ("pass", None, "not compared"),
    ],
)
def test_perplexity_warned_by_the_marks_of_the_gate(
    perplexity: Outcome | None, task: Outcome | None, warned: Warned
) -> None:
    loss = estimate(0, 0, 0)
    checks = [check(loss, "perplexity", outcome=perplexity)] if perplexity else []
    checks += [check(loss, "task", outcome=task)] if task else []
    assert perplexity_warned(Verdict(candidate="c", checks=tuple(checks))) == warned


def test_a_verdict_without_a_check_is_not_a_pass() -> None:
    assert Verdict(candidate="c", checks=()).outcome == "inconclusive"
    passing = check(estimate(0, 0, 0))
    assert Verdict(candidate="c", checks=(passing,)).outcome == "pass"
    assert Verdict(candidate="c", checks=(passing,), missing=("a task",)).outcome == "inconclusive"
