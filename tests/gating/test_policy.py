from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kick.comparison.paired import loss_test
from kick.comparison.sample import PairedSample
from kick.errors import InputError
from kick.gating import gate
from kick.gating.policy_file import Policy, Rule
from kick.gating.rule import LossTests
from kick.types import Check, Outcome, worst
from tests.results import PERPLEXITY, binary_task, make_results, write_pair, write_scores

FACTS = "kick_freebaseqa"


def scores(both: int, lost: int, gained: int, neither: int) -> tuple[list[float], list[float]]:
    a = np.repeat([1.0, 1, 0, 0], [both, lost, gained, neither])
    b = np.repeat([1.0, 0, 1, 0], [both, lost, gained, neither])
    return a.tolist(), b.tolist()


def check(
    path: Path, table: tuple[int, int, int, int], policy: Policy | None = None, **task: object
) -> Check:
    store = write_pair(path, *scores(*table), binary_task(**task))
    result = gate(store, policy or Policy(name="test"))
    return result.verdicts[0].checks[0]


def test_a_loss_shown_to_be_small_passes_though_it_is_certain(tmp_path: Path) -> None:
    passed = check(tmp_path, (6000, 60, 10, 3930))
    assert passed.delta is not None
    assert passed.delta.high < 0
    assert passed.outcome == "pass"
    assert "less than 5 % lost" in passed.reason


def test_a_loss_beyond_the_margin_is_a_regression(tmp_path: Path) -> None:
    failed = check(tmp_path, (500, 120, 10, 370))
    assert failed.outcome == "regression"
    assert "more than 5 % lost" in failed.reason


def test_a_certain_loss_that_may_be_larger_than_the_margin_is_a_regression(tmp_path: Path) -> None:
    failed = check(tmp_path, (570, 50, 20, 360))
    assert failed.outcome == "regression"
    assert "more than 2.5 % lost (p = " in failed.reason
    assert "not shown to be less than 5 % lost" in failed.reason


def test_a_certain_loss_between_what_is_tolerated_and_the_margin_cannot_be_told(tmp_path: Path) -> None:
    unsure = check(tmp_path / "1", (5700, 400, 150, 3750))  # 4.1 % lost, of 6100 right
    assert unsure.p_within < 0.05  # enough items show that it is below the margin
    assert unsure.outcome == "pass"
    unsure = check(tmp_path / "2", (560, 45, 23, 372))  # 3.6 % lost
    assert loss_test(PairedSample(*map(np.array, scores(560, 45, 23, 372)))) < 0.05
    assert unsure.outcome == "inconclusive"


def test_what_is_tolerated_is_the_policys_to_say(tmp_path: Path) -> None:
    table = (560, 45, 23, 372)
    assert check(tmp_path / "0", table, Policy(name="t", tolerated=0.0)).outcome == "regression"
    assert (
        check(tmp_path / "5", (480, 120, 40, 360), Policy(name="t", tolerated=0.05)).outcome == "regression"
    )
    limit = check(
        tmp_path / "rule", table, Policy(name="t", tasks={"facts": Rule(margin=0.2, tolerated=0.01)})
    )
    assert (limit.margin, limit.tolerated, limit.outcome) == (0.2, 0.01, "pass")


def test_a_rule_of_its_own_tolerates_the_same_part_of_its_bound() -> None:
    policy = Policy(name="t", margin=0.04, tolerated=0.01, tasks={"a": Rule(maximum_drop=0.1)})
    assert policy.rule("a").tolerated == pytest.approx(0.025)
    assert policy.rule("b").tolerated == pytest.approx(0.01)


def test_a_regression_rests_on_a_minimum_of_changed_items(tmp_path: Path) -> None:
    table = (0, 3, 0, 17)  # 0 % kept of three right answers
    assert check(tmp_path / "3", table).outcome == "inconclusive"
    few = check(tmp_path / "7", (0, 7, 0, 13))
    assert few.outcome == "inconclusive"
    assert few.reason == "only 7 items changed, and the policy rests a regression on 8"
    assert check(tmp_path / "8", (0, 8, 0, 12)).outcome == "regression"


@given(
    table=st.tuples(*[st.integers(0, 400)] * 4).filter(lambda table: table[0] + table[1] > 0),
    margin=st.sampled_from([0.02, 0.05, 0.2]),
)
@settings(max_examples=150, deadline=None)
def test_a_mark_never_contradicts_the_bracket_beside_it(
    table: tuple[int, int, int, int], margin: float
) -> None:
    sample = PairedSample(*map(np.array, scores(*table)))
    tests = LossTests(sample)
    loss = 1 - sample.b.sum() / sample.a.sum()
    low, high = tests.bracket(loss, 0.05)
    assert low <= loss <= high
    if tests.p_within(margin) <= 0.05:
        assert high <= margin + 1e-4
    if tests.p_beyond(margin / 2) <= 0.05:
        assert low >= margin / 2 - 1e-4


def test_too_few_items_to_tell_is_inconclusive_and_says_how_many_would_decide(tmp_path: Path) -> None:
    unsure = check(tmp_path, (120, 8, 7, 65))
    assert unsure.outcome == "inconclusive"
    assert unsure.items_needed is not None
    assert unsure.items_needed > 200
    assert f"a run planned with about {unsure.items_needed:,} items would decide" in unsure.reason
    # The tests hold for one look: to score more and to look again is not what they offer.
    assert "more items" not in unsure.reason


def test_items_that_would_decide_and_do_not_exist_are_not_promised(tmp_path: Path) -> None:
    store = write_pair(tmp_path, *scores(120, 8, 7, 65))
    for checkpoint in ("dense", "small"):
        cell = store.cell(checkpoint, "facts")
        assert cell is not None
        write_scores(store, checkpoint, cell.task, store.items(cell), plan={"limit": None})
    result = gate(store, Policy(name="test"))
    assert "items would decide, and all there are have been scored" in result.verdicts[0].checks[0].reason
    assert result.next_command is None


def test_fewer_items_than_the_policy_asks_for_pass_nothing_and_can_still_fail(tmp_path: Path) -> None:
    policy = Policy(name="test", minimum_items=5000)
    unsure = check(tmp_path / "1", (2400, 10, 10, 1580), policy)
    assert (unsure.outcome, unsure.reason) == ("inconclusive", "4000 items, and the policy asks for 5000")
    assert check(tmp_path / "2", (10, 40, 0, 10), policy).outcome == "regression"


def test_two_broken_models_do_not_pass(tmp_path: Path) -> None:
    unsure = check(tmp_path, (2450, 50, 50, 7450), chance=0.25)
    assert unsure.outcome == "inconclusive"
    assert "not shown to be above chance (0.25)" in unsure.reason
    assert (
        check(
            tmp_path / "off", (2450, 50, 50, 7450), Policy(name="t", above_chance=False), chance=0.25
        ).outcome
        == "pass"
    )


def test_a_reference_below_the_minimum_passes_nothing(tmp_path: Path) -> None:
    policy = Policy(name="test", tasks={"facts": Rule(minimum_reference=0.7)})
    unsure = check(tmp_path, (6000, 10, 10, 3980), policy)
    assert unsure.outcome == "inconclusive"
    assert "the policy asks for 0.7" in unsure.reason


def test_a_reference_that_knows_nothing_passes_nothing(tmp_path: Path) -> None:
    unsure = check(tmp_path, (0, 0, 5, 995))
    assert unsure.outcome == "inconclusive"


def test_a_maximum_drop_is_absolute(tmp_path: Path) -> None:
    policy = Policy(name="test", tasks={"facts": Rule(maximum_drop=0.1)})
    passed = check(tmp_path, (500, 80, 20, 400), policy)  # a drop of 0.06, 10 % of the reference
    assert passed.outcome == "pass"
    assert "less than 0.1 lost" in passed.reason


def test_lower_is_better_is_judged_the_other_way_round(tmp_path: Path) -> None:
    failed = check(tmp_path, (200, 5, 120, 675), higher_is_better=False)
    assert failed.outcome == "regression"
    assert "more than 5 % rise" in failed.reason


def test_perplexity_is_judged_by_its_ratio(tmp_path: Path) -> None:
    nll = np.random.default_rng(0).normal(3, 0.1, 60)
    policy = Policy.model_validate({"name": "test", "perplexity": {"maximum_rise": 0.05}})
    outcomes = {}
    for cost in (0.01, 0.2):
        store = write_pair(tmp_path / str(cost), nll, nll + cost, PERPLEXITY, units=[2047] * 60)
        judged = gate(store, policy).verdicts[0].checks[0]
        assert judged.kind == "perplexity"
        outcomes[cost] = judged.outcome
    assert outcomes == {0.01: "pass", 0.2: "regression"}


def test_a_model_without_probabilities_is_a_regression(tmp_path: Path) -> None:
    nll = np.random.default_rng(0).normal(3, 0.1, 30)
    store = write_pair(
        tmp_path, nll, np.where(np.arange(30) == 3, np.inf, nll), PERPLEXITY, units=[2047] * 30
    )
    assert gate(store, "regression").outcome == "regression"


def test_divergence_is_limited_where_it_was_measured(tmp_path: Path) -> None:
    nll = np.random.default_rng(0).normal(3, 0.1, 30)
    policy = Policy.model_validate({"name": "test", "kl": {"maximum": 0.05}})
    store = write_pair(tmp_path, nll, nll, PERPLEXITY, units=[2047] * 30)
    with pytest.raises(InputError, match="limits kl, and the divergence of 'small'"):
        gate(store, policy)
    for level, expected in ((0.01, "pass"), (0.2, "regression")):
        kl = level * np.random.default_rng(1).uniform(0.5, 1.5, 30)
        write_scores(store, "small", PERPLEXITY, pd.DataFrame({"nll": nll, "units": [2047] * 30, "kl": kl}))
        assert gate(store, policy).outcome == expected


def test_families_are_judged_by_their_mean(tmp_path: Path) -> None:
    store = make_results(tmp_path, items=200, tasks=[FACTS, "kick_mmlu"], damage={"dense": 0, "rtn-3": 0.3})
    policy = Policy.model_validate({"name": "test", "families": {"factoid_qa": {"margin": 0.02}}})
    checks = gate(store, policy).verdicts[0].checks
    assert [(check.kind, check.name) for check in checks] == [
        ("task", FACTS),
        ("task", "kick_mmlu"),
        ("family", "factoid_qa"),
    ]
    assert checks[-1].outcome == "regression"


def test_losses_are_corrected_for_the_number_of_checks(tmp_path: Path) -> None:
    store = make_results(
        tmp_path, items=150, tasks=[FACTS, "kick_hotpotqa", "kick_mmlu"], damage={"dense": 0, "rtn-4": 0.05}
    )
    corrected, plain = (
        gate(store, Policy.model_validate({"name": "test", "correction": correction})).verdicts[0].checks
        for correction in ("holm", "none")
    )
    assert min(check.p_loss for check in corrected) == pytest.approx(3 * min(check.p_loss for check in plain))


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["inconclusive", "regression", "pass"], "regression"),
    ],
)
def test_the_worst_outcome_is_the_answer(outcomes: list[Outcome], expected: Outcome) -> None:
    assert worst(outcomes) == expected


def test_the_packaged_policy_is_valid() -> None:
    policy = Policy.read("regression")
    assert policy.perplexity is not None
    assert policy.rule("anything").margin == 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nmargn: 0.1", "margn: unknown key. Did you mean 'margin'?"),
        (
            "name: x\ntasks: {a: {maximum_drp: 1}}",
            "tasks.a.maximum_drp: unknown key. Did you mean 'maximum_drop'?",
        ),
        ("name: x\nperplexity: {max: 1}", "perplexity.max: unknown key."),
        ("margin: 0.1", "name: this key is missing."),
        ("name: x\nmargin: 5", "margin: Input should be less than 1 (given: 5)."),
        ("name: x\ntasks: {a: {margin: 0.1, maximum_drop: 1}}", "give margin or maximum_drop, not both"),
        ("name: x\ncorrection: bonferoni", "correction: Input should be 'holm'"),
        ("name: x\nmargin: 0.05\nmargin: 0.9", "the key 'margin' is given twice"),
        ("name: x\nkl: {maximum: 1, maximum: 9}", "the key 'maximum' is given twice"),
        (
            "name: x\ntasks: {a: {maximum_drop: .inf}}",
            "tasks.a.maximum_drop: Input should be a finite number",
        ),
        (
            "name: x\ntasks: {a: {minimum_reference: .nan}}",
            "minimum_reference: Input should be a finite number",
        ),
        (
            "name: x\ntasks: {a: {minimum_reference: -1}}",
            "minimum_reference: Input should be greater than or equal",
        ),
        ("name: x\nminimum_items: true", "minimum_items: Input should be a valid integer (given: True)."),
        ("name: x\nminimum_items: '5'", "minimum_items: Input should be a valid integer (given: '5')."),
        ("name: x\nabove_chance: 1", "above_chance: Input should be a valid boolean"),
        (
            "name: x\nmargin: 0.05\ntolerated: 0.06",
            "tolerated (0.06) may not exceed the loss that a pass excludes",
        ),
        ("name: x\nperplexity: {maximum_rise: 0.1, tolerated: 0.2}", "tolerated (0.2) may not exceed"),
        ("name: x\ntasks: {a: {tolerated: 0.1}}", "tolerated needs a margin or a maximum_drop"),
        ("name: " + "[" * 1200, "nested more than 20 levels deep"),
        ("name: [", "cannot be read as YAML"),
        ("- 1", "Input should be a valid dictionary"),
    ],
)
def test_a_mistake_in_a_policy_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Policy.read(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_policy_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no policy file 'strict'. Packaged policies: .*regression"):
        Policy.read("strict")


def test_a_policy_for_a_task_that_is_not_there_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, [1, 0], [1, 0])
    policy = Policy(name="test", tasks={"fact": Rule(margin=0.1)})
    with pytest.raises(InputError, match=r"there is no task 'fact' .*Did you mean 'facts'"):
        gate(store, policy)


def test_every_pair_that_cannot_be_compared_is_named_at_once(tmp_path: Path) -> None:
    store = make_results(
        tmp_path, items=30, tasks=[FACTS, "kick_hotpotqa"], damage={"dense": 0, "rtn-4": 0.1}
    )
    for name in (FACTS, "kick_hotpotqa"):
        cell = store.cell("rtn-4", name)
        assert cell is not None
        write_scores(store, "rtn-4", cell.task, store.items(cell), dtype="float16")
    with pytest.raises(InputError) as caught:
        gate(store, "regression")
    assert str(caught.value).count("dtype: bfloat16 | float16") == 2


def test_an_unknown_candidate_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, [1, 0], [1, 0])
    with pytest.raises(InputError, match="there is no candidate 'smal'"):
        gate(store, "regression", candidates=["smal"])
