"""The rule for short answers against 400 responses of a real model that were judged by reading them."""

from collections import Counter

import pytest

from scripts.judge_answers import RULES, agreement, read_judged

JUDGED = read_judged()


def test_there_are_400_judged_responses_over_six_tasks_each_with_a_reason() -> None:
    assert len(JUDGED) == 400
    assert len({one["task"] for one in JUDGED}) == 6
    assert all(one["reason"] for one in JUDGED)
    assert Counter(one["drawn"] for one in JUDGED)["rules disagree"] >= 100


def test_the_rule_agrees_with_the_reader_better_than_every_other() -> None:
    verdicts = [one["right"] for one in JUDGED]
    kappas = {name: agreement([rule(one) for one in JUDGED], verdicts)[1] for name, rule in RULES.items()}
    assert max(kappas, key=lambda name: kappas[name]) == "`contains`"
    assert kappas["`contains`"] > 0.85


def test_agreement_is_accuracy_and_cohens_kappa() -> None:
    assert agreement([True, True, False, False], [True, False, True, False]) == (0.5, 0.0)
    assert agreement([True, False], [True, False]) == (1.0, 1.0)
    accuracy, kappa = agreement([True, True, True, False], [True, True, False, False])
    assert (accuracy, kappa) == (0.75, pytest.approx(0.5))
