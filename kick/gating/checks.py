"""The checks of a policy for one candidate: each limit becomes a `Question`, which is answered once all are known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite, log1p
from statistics import NormalDist
from typing import Any

import numpy as np

from kick.comparison.families import TaskMean, compare_family
from kick.comparison.flips import count_flips
from kick.comparison.floors import not_measurable, signs_object
from kick.comparison.matching import margin_tests
from kick.comparison.paired import caveats, loss_test
from kick.comparison.pairing import Pairs
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Moments
from kick.comparison.statistics.power import items_needed
from kick.errors import InputError
from kick.gating.early_warning import at_one_look, corrected, early_warning
from kick.gating.families import family_members, family_score, known
from kick.gating.policy_file import Policy, Rule
from kick.gating.rule import LossTests, outcome_of
from kick.types import Check, Estimate, Family, NoiseFloor


@dataclass(frozen=True)
class Question:
    """A check that is not answered yet.

    Attributes:
        draft: everything but the answer; its `p_loss` is not corrected yet.
        p_beyond_margin: p-value of "the loss is the margin or less".
        amounts: the margin and the tolerated loss in words.
        item_variance: the variance of one item's loss; None: there is nothing to plan by.
        room: how far the loss as measured is below the margin, in the unit of `item_variance`.
        excess: how far it is above what is tolerated, likewise.
        worthless: why a pass would mean nothing, if it would.
        minimum_changed: changed items that a regression needs.
    """

    draft: Check
    p_beyond_margin: float
    amounts: tuple[str, str]
    item_variance: float | None
    room: float
    excess: float
    worthless: str | None = None
    minimum_changed: int = 0

    def answer(self, policy: Policy, p_loss: float, tests: int) -> Check:
        """Return the check with its outcome.

        Args:
            policy: the level of the tests.
            p_loss: the p-value of the draft, corrected.
            tests: the number of tests that it was corrected for.
        """
        draft, (margin, tolerated) = self.draft, self.amounts
        outcome = outcome_of(draft.p_within, p_loss, policy.alpha)
        # The stronger statement and the warning are each one of as many (Bonferroni).
        together = 1 if policy.correction == "none" else tests
        beyond = min(1.0, together * self.p_beyond_margin)
        needed = None
        if outcome == "pass" and self.worthless:
            outcome, reason = "inconclusive", self.worthless
            few = draft.candidate_score.n < policy.minimum_items
            needed = policy.minimum_items if few else None
        elif outcome == "pass":
            reason = f"less than {margin} ({_p(draft.p_within)})"
        elif outcome == "regression" and draft.changed is not None and draft.changed < self.minimum_changed:
            outcome = "inconclusive"
            reason = f"only {draft.changed} items changed, and the policy rests a regression on {self.minimum_changed}"
        elif outcome == "regression" and beyond <= policy.alpha:
            reason = f"more than {margin} ({_p(beyond)})"
        elif outcome == "regression":
            reason = f"more than {tolerated} ({_p(p_loss)}), and not shown to be less than {margin}"
        else:
            needed = self._items_needed(policy.alpha, tests)
            reason = f"neither less than {margin} is shown ({_p(draft.p_within)}), nor more"
            reason += f" than {tolerated} ({_p(p_loss)}, corrected)"
            if needed is not None:
                reason += f"; {_plan(draft, needed)}"
        return draft.model_copy(
            update={
                "outcome": outcome,
                "reason": reason,
                "p_loss": p_loss,
                "items_needed": needed,
                "early_warning": corrected(draft.early_warning, policy.alpha, together),
            }
        )

    def _items_needed(self, alpha: float, tests: int) -> int | None:
        """Return the items after which a loss as measured is decided; None if no number would."""
        if self.item_variance is None:
            return None
        if self.item_variance == 0 and self.draft.loss.value == 0 and self.room > 0:
            # No item differs: as many as show the margin by the score test, should none differ still.
            return ceil(NormalDist().inv_cdf(1 - alpha) ** 2 / self.room)
        numbers = [
            items_needed(self.item_variance, self.room, level=alpha) if self.room > 0 else None,
            items_needed(self.item_variance, self.excess, level=alpha / tests) if self.excess > 0 else None,
        ]
        return min((number for number in numbers if number is not None), default=None)


def questions(
    policy: Policy,
    loaded: Sequence[Pairs],
    noise: Mapping[str, NoiseFloor | None],
    families: Iterable[Family],
) -> Iterator[Question]:
    """Yield the checks of one candidate.

    Args:
        policy: what is checked.
        loaded: the pairs of each task, with the metric of its rule.
        noise: task -> its noise floor; None if it was not measured. It is shown and decides nothing.
        families: those to judge; a family without a task gives no check.
    """
    for pairs in loaded:
        floor = noise.get(pairs.task)
        if not pairs.sample.perplexity:
            yield _task_question(policy, pairs, floor)
            continue
        if policy.perplexity is not None:
            yield _perplexity_question(policy, pairs, floor)
        if policy.kl is not None and "kl" in pairs.candidate_items:
            yield _divergence_question(policy, pairs)
    members = family_members([pairs.reference.task for pairs in loaded])
    for family in families:
        parts = [pairs for pairs in loaded if pairs.task in members.get(family, ())]
        if parts:
            yield _family_question(policy, family, parts)


def _task_question(policy: Policy, pairs: Pairs, noise: NoiseFloor | None) -> Question:
    rule, sample = policy.rule(pairs.task), pairs.sample
    chance = pairs.reference.task.chance if policy.above_chance else None
    return _question(
        _score_limits(policy, rule, sample, sample.moments, loss_test(sample)),
        _worthless(policy, rule, sample.reference_score, chance)
        or _without_knowledge(policy, pairs)
        or signs_object(pairs.reference, pairs.candidate),
        policy.minimum_changed,
        kind="task",
        name=pairs.task,
        metric=pairs.metric,
        higher_is_better=sample.higher_is_better,
        reference_score=sample.reference_score,
        candidate_score=sample.candidate_score,
        delta=sample.delta,
        flips=count_flips(pairs),
        changed=_changed(pairs),
        noise_floor=noise,
        limit=pairs.reference.identity.plan.limit,
        caveats=(*pairs.caveats, *caveats(sample)),
        early_warning=early_warning(pairs, policy.early_warning, at_one_look(pairs)),
    )


def _family_question(policy: Policy, family: Family, members: Sequence[Pairs]) -> Question:
    rule = policy.family_rule(family)
    if rule.metric is not None:
        raise InputError(f"policy '{policy.name}': families.{family}.metric: name metrics under tasks.")
    score = family_score(family, members)
    # A reference that knows none of the tasks passes nothing; what the candidate does on them is still shown.
    counted = known(members) if score else members
    means = score or compare_family(family, counted)
    worthless = _worthless(policy, rule, means.reference_score, None)
    if score is None and policy.above_chance:
        worthless = "the reference is not shown to know anything of its tasks"
    objections = [_without_knowledge(policy, p) or signs_object(p.reference, p.candidate) for p in counted]
    if len(counted) == 1:
        sample = counted[0].sample
        limits = _score_limits(policy, rule, sample, sample.moments, loss_test(sample))
    else:
        mean = TaskMean(counted)
        limits = _score_limits(policy, rule, mean, mean.moments, margin_tests(mean, drop=0.0)[1])
    return _question(
        limits,
        worthless or next(filter(None, objections), None),
        policy.minimum_changed,
        kind="family",
        name=family,
        metric="mean of "
        + ", ".join(pairs.task for pairs in counted)
        + (f"; left out, not measurable: {', '.join(score.unknown)}" if score and score.unknown else ""),
        reference_score=means.reference_score,
        candidate_score=means.candidate_score,
        delta=means.delta,
        changed=sum(map(_changed, counted)),
    )


def _perplexity_question(policy: Policy, pairs: Pairs, noise: NoiseFloor | None) -> Question:
    sample, rule = pairs.sample, policy.perplexity
    assert rule is not None
    margin = rule.maximum_rise
    tolerated = policy.tolerated_part * margin if rule.tolerated is None else rule.tolerated
    tests = LossTests(sample)
    loss = sample.ratio.value - 1 if sample.ratio else inf
    log_loss = log1p(loss) if isfinite(loss) else inf
    limits = _Limits(
        relative=True,
        margin=margin,
        tolerated=tolerated,
        loss=_bracketed(tests, loss, sample.n, policy.alpha),
        p_within=tests.p_within(margin),
        p_loss=max(tests.p_beyond(tolerated), loss_test(sample)),
        p_beyond_margin=tests.p_beyond(margin),
        item_variance=sample.moments.variance() * sample.n if sample.finite else None,
        room=log1p(margin) - log_loss,
        excess=log_loss - log1p(tolerated),
        word="rise",
    )
    return _question(
        limits,
        kind="perplexity",
        name=pairs.task,
        metric=pairs.metric,
        higher_is_better=False,
        reference_score=sample.reference_score,
        candidate_score=sample.candidate_score,
        delta=sample.delta,
        noise_floor=noise,
        limit=pairs.reference.identity.plan.limit,
        caveats=(*pairs.caveats, *caveats(sample)),
    )


def _divergence_question(policy: Policy, pairs: Pairs) -> Question:
    assert policy.kl is not None
    maximum = policy.kl.maximum
    values = pairs.candidate_items["kl"].to_numpy(np.float64)
    # The reference does not diverge from itself.
    sample = replace(
        pairs.sample, a=np.zeros_like(values), b=values, perplexity=False, higher_is_better=False
    )
    tests = LossTests(sample, relative=False)
    score = sample.candidate_score
    # A model that gives no probability diverges without bounds, which no variance can show.
    within, beyond = (tests.p_within(maximum), tests.p_beyond(maximum)) if sample.finite else (1.0, 0.0)
    limits = _Limits(
        relative=False,
        margin=maximum,
        tolerated=maximum,
        loss=_bracketed(tests, score.value, score.n, policy.alpha),
        p_within=within,
        p_loss=beyond,
        p_beyond_margin=beyond,
        item_variance=sample.moments.variance() * sample.n if sample.finite else None,
        room=maximum - score.value,
        excess=score.value - maximum,
        word="nats per token",
    )
    return _question(
        limits,
        kind="kl",
        name=pairs.task,
        metric="kl",
        higher_is_better=False,
        candidate_score=score,
        limit=pairs.reference.identity.plan.limit,
    )


@dataclass(frozen=True)
class _Limits:
    """A loss, its two limits, and the tests against them; see `Check` and `Question` for the fields."""

    relative: bool
    margin: float
    tolerated: float
    loss: Estimate
    p_within: float
    p_loss: float
    p_beyond_margin: float
    item_variance: float | None
    room: float
    excess: float
    # How an amount is named: "5 % lost".
    word: str


def _score_limits(
    policy: Policy, rule: Rule, contrast: PairedSample | TaskMean, m: Moments, p_any_loss: float
) -> _Limits:
    """Test scores against a rule.

    A loss above what is tolerated is a loss, so both tests must show it: where few items flip, the exact test of
    `p_any_loss` is the stricter one.
    """
    relative = rule.maximum_drop is None
    margin = rule.margin if rule.maximum_drop is None else rule.maximum_drop
    tolerated = rule.tolerated
    assert margin is not None
    assert tolerated is not None
    tests = LossTests(contrast, relative)
    drop = m.mean_a - m.mean_b if contrast.higher_is_better else m.mean_b - m.mean_a
    # A reference that scores 0 has nothing to lose: no share of it can be named.
    unit = m.mean_a if relative else 1.0
    share = drop / unit if unit > 0 else 0.0
    return _Limits(
        relative=relative,
        margin=margin,
        tolerated=tolerated,
        loss=_bracketed(tests, share, m.n, policy.alpha)
        if unit > 0
        else _estimate(share, -inf, inf, m.n, policy.alpha),
        p_within=tests.p_within(margin),
        p_loss=max(tests.p_beyond(tolerated), p_any_loss),
        p_beyond_margin=tests.p_beyond(margin),
        item_variance=m.variance() * m.n,
        room=(margin - share) * unit,
        excess=(share - tolerated) * unit,
        word="lost" if contrast.higher_is_better else "rise",
    )


def _question(
    limits: _Limits, worthless: str | None = None, minimum_changed: int = 0, **described: Any
) -> Question:
    """Return the question of a check; `described` are the fields of the `Check` that say what it is about."""
    names = ("relative", "margin", "tolerated", "loss", "p_within", "p_loss")
    amounts = [_amount(bound, limits.word, limits.relative) for bound in (limits.margin, limits.tolerated)]
    return Question(
        draft=Check(**described, **{name: getattr(limits, name) for name in names}),
        p_beyond_margin=limits.p_beyond_margin,
        amounts=(amounts[0], amounts[1]),
        item_variance=limits.item_variance,
        room=limits.room,
        excess=limits.excess,
        worthless=worthless,
        minimum_changed=minimum_changed,
    )


def _changed(pairs: Pairs) -> int:
    return int((pairs.sample.a != pairs.sample.b).sum())


def _bracketed(tests: LossTests, loss: float, n: int, alpha: float) -> Estimate:
    low, high = tests.bracket(loss, alpha)
    return _estimate(loss, low, high, n, alpha)


def _estimate(loss: float, low: float, high: float, n: int, alpha: float) -> Estimate:
    method = f"the losses that the tests do not reject, {100 * (1 - 2 * alpha):g} %"
    return Estimate(value=loss, low=low, high=high, n=n, method=method)


def _plan(check: Check, needed: int) -> str:
    """Return how many items in all would decide a check, and whether there are as many.

    The tests hold for one look, so this is a plan for a run of that size and no reason to score on and look again.
    """
    noun = "windows" if check.kind in ("perplexity", "kl") else "items"
    text = f"a run planned with about {max(needed, check.candidate_score.n + 1):,} {noun} would decide"
    if check.limit is None and check.kind != "family":
        text += ", and all there are have been scored"
    return text


def _p(value: float) -> str:
    """Return a p-value as text; below the precision of its computation only that it is."""
    return f"p = {value:.2g}" if value >= 1e-15 else "p < 1e-15"


def _amount(bound: float, word: str, relative: bool) -> str:
    return f"{100 * bound:.3g} % {word}" if relative else f"{bound:.3g} {word}"


def _without_knowledge(policy: Policy, pairs: Pairs) -> str | None:
    """Return why the reference has no knowledge to lose: it is not shown to be above what knows nothing."""
    return not_measurable(pairs.sample, pairs.floor, pairs.reference.task) if policy.above_chance else None


def _worthless(policy: Policy, rule: Rule, reference: Estimate, chance: float | None) -> str | None:
    """Return why a pass would mean nothing: few items, or a reference that knows nothing and so loses nothing."""
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
