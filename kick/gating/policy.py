"""A policy and the comparisons of a candidate become a verdict: pass, regression, or inconclusive.

Each check asks two questions, each by a one-sided test at the policy's level. Is the loss shown to stay
within the margin? Then it passes, however certain a smaller loss is. Otherwise: is a loss shown at all?
Then it is a regression. Neither: the items are too few to tell. A candidate passes when every check does,
which needs no correction (intersection-union test; Berger, Technometrics 24, 1982); it fails when any check
does, so the tests that show a loss are corrected for their number, and a candidate that is as good as the
reference fails with at most the policy's level.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kick.comparison.families import TaskMean, compare_family
from kick.comparison.flips import count_flips
from kick.comparison.grid import candidate_ids, reference_id, task_names
from kick.comparison.matching import Contrast, margin_tests
from kick.comparison.paired import loss_test, noise_floor
from kick.comparison.pairing import Pairs, load_pairs
from kick.comparison.sample import PairedSample, score_estimate
from kick.comparison.statistics.moments import Moments
from kick.comparison.statistics.multiplicity import adjust
from kick.comparison.statistics.power import items_to_decide
from kick.errors import InputError, nearest
from kick.gating.policy_file import Policy, Rule
from kick.store import Store
from kick.types import Check, CheckKind, Estimate, Family, GateResult, NoiseFloor, Outcome, Verdict


def gate(
    store: Store,
    policy: Policy | str | Path,
    *,
    reference: str | None = None,
    candidates: Sequence[str] = (),
) -> GateResult:
    """Judge candidates of a results folder by a policy.

    Args:
        store: the results folder.
        policy: a `Policy`, a policy file, or the name of a packaged policy (`regression`).
        reference: id of a checkpoint; the reference of the suite when left out.
        candidates: ids of checkpoints; every one but the reference when left out.

    Returns:
        One verdict a candidate; its outcome and its exit code are those of the worst.

    Raises:
        InputError: the policy is not valid, names what is not there, or a pair that it needs cannot be
            compared. All reasons are given at once.
    """
    policy = policy if isinstance(policy, Policy) else Policy.read(policy)
    reference = reference_id(store, reference)
    known = candidate_ids(store, reference)
    for name in candidates:
        if name not in known:
            raise InputError(f"there is no candidate '{name}' in {store.root}. {nearest(name, known)}")
    tasks = task_names(store)
    for name in (*policy.tasks, *policy.ignore):
        if name not in tasks:
            raise InputError(
                f"policy '{policy.name}': there is no task '{name}' in {store.root}. {nearest(name, tasks)}"
            )
    checked = [task for task in tasks if task not in policy.ignore]
    chosen = list(candidates) or known
    if not chosen or not checked:
        raise InputError(
            f"{store.root} holds no {'task' if chosen else 'candidate'} to check. Run the suite first."
        )
    return GateResult(
        policy=policy.name,
        reference=reference,
        verdicts=tuple(_verdict(store, policy, reference, name, checked) for name in chosen),
    )


def _verdict(store: Store, policy: Policy, reference: str, candidate: str, tasks: Sequence[str]) -> Verdict:
    loaded: list[Pairs] = []
    problems: list[str] = []
    for task in tasks:
        try:
            loaded.append(load_pairs(store, reference, candidate, task, policy.rule(task).metric))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return judge(policy, loaded, {pairs.task: noise_floor(store, pairs) for pairs in loaded})


def judge(
    policy: Policy, tasks: Sequence[Pairs], noise: Mapping[str, NoiseFloor | None] | None = None
) -> Verdict:
    """Judge one candidate by its pairs with the reference.

    Args:
        policy: what is checked.
        tasks: the pairs of each task.
        noise: task -> its noise floor, as far as it was measured; it is shown and decides nothing.

    Raises:
        InputError: the policy asks for what was not measured, or checks none of the tasks.
    """
    questions = list(_questions(policy, tasks, noise or {}))
    if not questions:
        names = ", ".join(pairs.task for pairs in tasks)
        raise InputError(f"policy '{policy.name}' checks none of {names}. Give it a rule that applies.")
    losses = adjust([question.tests.p_loss for question in questions], policy.correction)
    checks = tuple(
        question.answer(policy, p_loss, len(questions))
        for question, p_loss in zip(questions, losses, strict=True)
    )
    return Verdict(candidate=tasks[0].candidate.checkpoint, checks=checks)


def outcome_of(p_within: float, p_loss: float, alpha: float) -> Outcome:
    """The rule of every check.

    Args:
        p_within: of "the loss is the margin or more".
        p_loss: of "nothing is lost", corrected for the number of checks.
        alpha: the level of both tests.
    """
    if p_within <= alpha:
        return "pass"
    return "regression" if p_loss <= alpha else "inconclusive"


@dataclass(frozen=True)
class _Tests:
    """The two questions of a check, and what it takes to answer them."""

    p_within: float  # of "the loss is the margin or more"
    p_beyond: float  # of "the loss is the margin or less"
    p_loss: float  # of "nothing is lost"
    moments: Moments | None = None  # of the pairs, for the number of items that would decide;
    gain: float = 0.0  # as measured, negative for a loss,
    bound: float = 0.0  # and the loss that is tolerated, in the same units

    def items_needed(self, alpha: float, checks: int) -> int | None:
        if self.moments is None:
            return None
        return items_to_decide(self.moments, self.gain, self.bound, level=alpha, loss_level=alpha / checks)


@dataclass(frozen=True)
class _Question:
    """A check that is not answered yet: `draft` holds everything but the answer."""

    draft: Check
    tests: _Tests
    amount: str  # what may be lost, in words
    worthless: str | None = None  # why a pass would mean nothing

    def answer(self, policy: Policy, p_loss: float, checks: int) -> Check:
        """Judge by the corrected `p_loss`; `checks` is the number of tests that it was corrected for."""
        outcome = outcome_of(self.tests.p_within, p_loss, policy.alpha)
        needed = None
        if outcome == "pass" and self.worthless:
            outcome, reason = "inconclusive", self.worthless
        elif outcome == "pass":
            reason = f"less than {self.amount} (p = {self.tests.p_within:.2g})"
        elif outcome == "regression" and self.tests.p_beyond <= policy.alpha:
            reason = f"more than {self.amount} (p = {self.tests.p_beyond:.2g})"
        elif outcome == "regression":
            reason = f"a loss (p = {p_loss:.2g}), and not shown to be less than {self.amount}"
        else:
            needed = self.tests.items_needed(policy.alpha, checks)
            reason = f"no loss is shown (p = {p_loss:.2g}, corrected), nor that it is less than {self.amount}"
            if needed is not None:
                reason += f"; about {max(needed - self.draft.candidate_score.n, 1):,} more items would decide"
        update = {"outcome": outcome, "reason": reason, "p_loss": p_loss, "items_needed": needed}
        return self.draft.model_copy(update=update)


def _questions(
    policy: Policy, loaded: Sequence[Pairs], noise: Mapping[str, NoiseFloor | None]
) -> Iterator[_Question]:
    for pairs in loaded:
        floor = noise.get(pairs.task)
        if not pairs.sample.perplexity:
            yield _task_question(policy, pairs, floor)
            continue
        if policy.perplexity is not None:
            yield _perplexity_question(pairs, policy.perplexity.maximum_rise, floor)
        if policy.kl is not None:
            yield _divergence_question(policy, pairs, policy.kl.maximum)
    for family in policy.families:
        members = [pairs for pairs in loaded if pairs.reference.task.family == family]
        if not members:
            raise InputError(f"policy '{policy.name}': families.{family}: no task of this family was scored.")
        yield _family_question(policy, family, members)


def _task_question(policy: Policy, pairs: Pairs, noise: NoiseFloor | None) -> _Question:
    rule, sample = policy.rule(pairs.task), pairs.sample
    tests = _bound_tests(rule, sample, sample.moments, loss_test(sample))
    chance = pairs.reference.task.chance if policy.above_chance else None
    return _Question(
        _draft("task", pairs, tests, noise),
        tests,
        _amount(rule, sample.higher_is_better),
        _worthless(policy, rule, sample.reference_score, chance),
    )


def _family_question(policy: Policy, family: Family, members: Sequence[Pairs]) -> _Question:
    rule = policy.family_rule(family)
    if rule.metric is not None:
        raise InputError(f"policy '{policy.name}': families.{family}.metric: name metrics under tasks.")
    mean = TaskMean(members)
    found = compare_family(family, members, policy.margin)
    tests = _bound_tests(rule, mean, mean.moments, 1 - mean.evidence_above(delta=0.0))
    draft = Check(
        kind="family",
        name=family,
        metric="mean of " + ", ".join(found.tasks),
        reference_score=found.reference_score,
        candidate_score=found.candidate_score,
        delta=found.delta,
        p_within=tests.p_within,
        p_loss=tests.p_loss,
    )
    return _Question(draft, tests, _amount(rule), _worthless(policy, rule, found.reference_score, None))


def _perplexity_question(pairs: Pairs, maximum_rise: float, noise: NoiseFloor | None) -> _Question:
    sample = pairs.sample
    within, beyond = margin_tests(sample, ratio=maximum_rise)
    m = sample.moments if sample.finite else None
    gain = m.mean_a - m.mean_b if m else 0.0
    tests = _Tests(within, beyond, loss_test(sample), m, gain, math.log1p(maximum_rise))
    draft = _draft("perplexity", pairs, tests, noise)
    return _Question(draft, tests, f"{100 * maximum_rise:.3g} % rise")


def _divergence_question(policy: Policy, pairs: Pairs, maximum: float) -> _Question:
    if "kl" not in pairs.candidate_items:
        raise InputError(
            f"policy '{policy.name}' limits kl, and the divergence of '{pairs.candidate.checkpoint}' from "
            f"its reference was not measured on {pairs.task}. Remove `kl` from the policy, or measure it."
        )
    values = pairs.candidate_items["kl"].to_numpy(np.float64)
    sample = PairedSample(np.zeros_like(values), values, pairs.sample.groups, pairs.sample.weights)
    beyond = sample.evidence_above(delta=maximum)
    score = score_estimate(values, pairs.sample.groups, pairs.sample.weights)
    draft = Check(
        kind="kl",
        name=pairs.task,
        metric="kl",
        candidate_score=score,
        p_within=1 - beyond,
        p_loss=beyond,
    )
    return _Question(draft, _Tests(1 - beyond, beyond, beyond), f"{maximum:g} nats a token")


def _bound_tests(rule: Rule, contrast: Contrast, m: Moments, p_loss: float) -> _Tests:
    sign = 1 if contrast.higher_is_better else -1
    if rule.maximum_drop is not None:
        bound = rule.maximum_drop
        within, beyond = margin_tests(contrast, drop=bound)
    else:
        assert rule.margin is not None
        bound = rule.margin * m.mean_a
        within, beyond = margin_tests(contrast, ratio=rule.margin)
    return _Tests(within, beyond, p_loss, m, sign * (m.mean_b - m.mean_a), bound)


def _draft(kind: CheckKind, pairs: Pairs, tests: _Tests, noise: NoiseFloor | None) -> Check:
    return Check(
        kind=kind,
        name=pairs.task,
        metric=pairs.metric,
        reference_score=pairs.sample.reference_score,
        candidate_score=pairs.sample.candidate_score,
        delta=pairs.sample.delta,
        flips=count_flips(pairs),
        noise_floor=noise,
        p_within=tests.p_within,
        p_loss=tests.p_loss,
    )


def _amount(rule: Rule, higher_is_better: bool = True) -> str:
    word = "lost" if higher_is_better else "rise"
    if rule.maximum_drop is not None:
        return f"{rule.maximum_drop:.3g} {word}"
    return f"{100 * (rule.margin or 0):.3g} % {word}"


def _worthless(policy: Policy, rule: Rule, reference: Estimate, chance: float | None) -> str | None:
    """Why a pass would mean nothing: few items, or a reference that knows nothing and so loses nothing."""
    if reference.value <= 0:
        return "the reference scores 0"
    if rule.minimum_reference is not None and reference.value < rule.minimum_reference:
        return (
            f"the reference scores {reference.value:.3f}, and the policy asks for {rule.minimum_reference:g}"
        )
    if chance is not None and reference.low <= chance:
        return f"the reference scores {reference.value:.3f}, not shown to be above chance ({chance:g})"
    if reference.n < policy.minimum_items:
        return f"{reference.n} items, and the policy asks for {policy.minimum_items}"
    return None
