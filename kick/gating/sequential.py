"""A policy becomes verdicts that hold at every look: for a results folder that grows, as `kick check` grows one.

The three zones, the minimum of items and the minimum of changed items are those of `kick.gating.rule`. What differs is
the evidence: e-values (`kick.comparison.statistics.sequential`) in place of p-values, so scoring may stop whenever the
answer is known, and go on whenever it is not. A pass needs evidence of 1 / alpha on every task. A regression needs
K / alpha on one, where K is the number of candidates times the number of tasks (Vovk and Wang, Annals of Statistics 49,
2021). What was shown once stays shown.

The claim is about the full run: "with every item of the task scored, the loss would be below the margin". The items
that are scored are the first of a random order of all items, so each is a draw without replacement, and the bets are
against the mean of the items that remain (Waudby-Smith and Ramdas, NeurIPS 2020). That the items of one passage
resemble each other is of no matter to this claim: a random draw of items is one whatever they have in common. It does
matter to the claim of the plain gate, which is about other passages, too. Where the number of items is not known
(imported results), the claim is about items in general, and whole groups of dependent items are the units.

Perplexity has no full run, and no bounds: its evidence is a mixture of t-tests over blocks of windows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, inf, isfinite, log
from pathlib import Path
from typing import Any

import numpy as np

from kick.comparison.evidence import Evidence, evidence_beyond, evidence_within
from kick.comparison.grid import candidate_ids, reference_id
from kick.comparison.pairing import Pairs, load_pairs
from kick.comparison.statistics.moments import Array, Codes
from kick.comparison.statistics.sequential import (
    Bets,
    bets_beyond,
    bets_within,
    is_shown,
    log_evidence_path,
)
from kick.draws import draw_order
from kick.errors import InputError
from kick.gating.checks import Question, questions
from kick.gating.early_warning import at_every_look, at_one_look, corrected, early_warning
from kick.gating.evidence import judged_tasks, pair_problems, rules_without_checks, unmeasured
from kick.gating.policy_file import Policy
from kick.store import Store
from kick.store.snapshot import Snapshot
from kick.types import Check, CheckpointRecord, EarlyWarning, Estimate, GateResult, Outcome, Verdict

# The widest loss that an interval looks at, in units of the margin's own unit.
_WIDEST = 4.0
_STEPS = 24


def sequential_verdicts(
    store: Store, policy: Policy | str | Path = "regression", *, reference: str | None = None
) -> GateResult:
    """Judge every candidate of a results folder as far as it was scored, by evidence that holds at every look.

    Args:
        store: the results folder. Tasks that were not scored yet are kept in the verdict, which is then no pass.
        policy: a `Policy`, a policy file, or the name of a packaged policy.
        reference: id of a checkpoint; the reference of the suite when left out.

    Raises:
        InputError: the policy is not valid, names a task that is not there, or limits what has no such evidence (the
            mean of a family, kl).
    """
    policy = policy if isinstance(policy, Policy) else Policy.read(policy)
    refuse_unsupported(policy)
    store = store if isinstance(store, Snapshot) else Snapshot(store)
    reference = reference_id(store, reference)
    judged = judged_tasks(store, policy)
    candidates = candidate_ids(store, reference)
    tests = len(candidates) * len(judged)
    return GateResult(
        policy=policy.name,
        reference=reference,
        alpha=policy.alpha,
        sequential=True,
        verdicts=tuple(
            _verdict(store, policy, reference, candidate, judged, tests) for candidate in candidates
        ),
    )


def fewest_items(reference_score: float, margin: float, alpha: float, total: int) -> int:
    """Return the items after which a candidate that answers like its reference passes a task, at the earliest.

    Args:
        reference_score: the mean score of the reference, 0..1.
        margin: the loss that a pass excludes, as a share of that score.
        alpha: the level of the pass.
        total: the items of the task; returned if fewer do not suffice.
    """
    right = (np.arange(total) * reference_score % 1.0) + reference_score >= 1.0
    scores = right.astype(np.float64)
    path = log_evidence_path(bets_within(scores, scores, ratio=margin), total)
    shown = np.flatnonzero(path >= log(1 / alpha))
    return int(shown[0]) + 1 if len(shown) else total


def refuse_unsupported(policy: Policy) -> None:
    """Refuse a policy that limits what has no evidence that holds at every look.

    Raises:
        InputError: the policy limits the mean of a family, or kl.
    """
    for key, rules in (("families", bool(policy.families)), ("kl", policy.kl is not None)):
        if rules:
            raise InputError(
                f"policy '{policy.name}' limits {key}, for which there is no evidence that holds at every look. Take "
                "the rule out, or score everything and use `kick gate` without --sequential."
            )


def _verdict(
    store: Store, policy: Policy, reference: str, candidate: str, tasks: Sequence[str], tests: int
) -> Verdict:
    if _is_copy(store, reference, candidate):
        return Verdict(candidate=candidate, checks=(), identical=True)
    checks: list[Check] = []
    missing: list[str] = []
    unscored: list[str] = []
    for task in tasks:
        try:
            if store.cell(reference, task) is None or store.cell(candidate, task) is None:
                unscored.append(task)
                continue
            pairs = load_pairs(store, reference, candidate, task, policy.rule(task).metric)
            problems = [*pair_problems(store, pairs), *unmeasured(store, pairs, policy)]
            missing += problems
            if not problems:
                checks += [
                    _check(policy, question, pairs, tests) for question in questions(policy, [pairs], {}, ())
                ]
        except InputError as error:
            missing.append(str(error))
    if not unscored:
        missing += rules_without_checks(policy, checks)
    return Verdict(
        candidate=candidate, checks=tuple(checks), missing=tuple(missing), unscored=tuple(unscored)
    )


def _is_copy(store: Store, reference: str, candidate: str) -> bool:
    """Return whether weights, configuration, tokenizer, dtype and engine of a candidate are those of the reference."""
    one, two = store.checkpoint(reference), store.checkpoint(candidate)
    if one is None or two is None:
        return False
    return _computation(one) == _computation(two)


def _computation(record: CheckpointRecord) -> tuple[object, ...]:
    """Return what decides the numbers of a checkpoint."""
    checkpoint = record.checkpoint
    engine = (checkpoint.engine, checkpoint.engine_args or {})
    return record.fingerprint, record.tokenizer_fingerprint, checkpoint.dtype, engine


@dataclass(frozen=True)
class _Evidence:
    """The evidence of one check.

    Attributes:
        within: log e-value against "the loss is this or more".
        beyond: log e-value against "the loss is this or less".
        total: items of the full run; None: the claim is about items in general.
        is_complete: whether every item of the full run was scored.
    """

    within: Callable[[float], float]
    beyond: Callable[[float], float]
    total: int | None
    is_complete: bool


def _check(policy: Policy, question: Question, pairs: Pairs, tests: int) -> Check:
    """Return the check of a question with the answer that its evidence gives."""
    draft = question.draft
    draw = _Draw.of(pairs)
    evidence = _in_general(pairs, draft) if draw is None else _full_run(pairs, draft, draw)
    within, beyond = evidence.within(draft.margin), evidence.beyond(draft.tolerated)
    passes = is_shown(within, policy.alpha)
    fails = is_shown(beyond, policy.alpha, tests)
    outcome, reason = _answer(question, policy, within, beyond, tests)
    needed = None
    if outcome == "inconclusive" and not passes and not fails:
        needed = _items_needed(draft, policy.alpha, within, beyond, tests, evidence.total)
        more = (needed or 0) - draft.candidate_score.n
        if more > 0:
            reason += f"; about {more:,} more items would decide if the rest are like these"
    elif outcome == "inconclusive" and draft.candidate_score.n < policy.minimum_items:
        needed = policy.minimum_items
    return draft.model_copy(
        update={
            "loss": _bracket(draft.loss, evidence, policy.alpha, draft),
            "p_within": exp(-max(within, 0.0)),
            "p_loss": min(1.0, tests * exp(-max(beyond, 0.0))),
            "outcome": outcome,
            "reason": reason,
            "items_needed": needed,
            "limit": None if evidence.is_complete else draft.limit,
            "caveats": (*draft.caveats, *_caveats(pairs, draw)),
            "early_warning": _early_warning(pairs, draw, policy, tests),
        }
    )


def _answer(
    question: Question, policy: Policy, within: float, beyond: float, tests: int
) -> tuple[Outcome, str]:
    draft, (margin, tolerated) = question.draft, question.amounts
    if is_shown(within, policy.alpha):
        if question.worthless:
            return "inconclusive", question.worthless
        return "pass", f"less than {margin} ({_strength(within)})"
    if is_shown(beyond, policy.alpha, tests):
        if draft.changed is not None and draft.changed < question.minimum_changed:
            few = f"only {draft.changed} items changed"
            return "inconclusive", f"{few}, and the policy rests a regression on {question.minimum_changed}"
        return (
            "regression",
            f"more than {tolerated} ({_strength(beyond)}, where {tests / policy.alpha:,.0f} is enough)",
        )
    shown, lost = f"{1 / policy.alpha:,.3g}", f"{tests / policy.alpha:,.0f}"
    reason = f"neither less than {margin} is shown ({_strength(within)} of {shown} needed), "
    return "inconclusive", reason + f"nor more than {tolerated} ({_strength(beyond)} of {lost})"


def _strength(log_e: float) -> str:
    """Return evidence as text: how many times a bet against the claim has multiplied the stake."""
    if log_e == inf:
        return "certain for the full run"
    return f"evidence {exp(min(log_e, 20.0)):.3g}" if log_e < 20 else "evidence > 1e8"


def _items_needed(
    draft: Check, alpha: float, within: float, beyond: float, tests: int, total: int | None
) -> int | None:
    """Return the items after which one of the two would be shown if evidence grew as before; all of them at most."""
    n = draft.candidate_score.n
    growth = max(within / log(1 / alpha), beyond / log(tests / alpha))
    needed = ceil(n / growth) if growth > 0 else None
    if total is None:
        return needed
    return min(needed or total, total)


@dataclass(frozen=True)
class _Draw:
    """The items that were scored, as the first of a random order of all items of a task.

    An item that does not fit the model is in neither score, which is as if it scored 0 for both and nothing was bet.

    Attributes:
        order: (n,) rows of the pairs in the order in which they were drawn.
        slots: (n,) their places in that order; those of items that do not fit are missing.
        drawn: items that were drawn, scored or not.
        total: items of the full run.
    """

    order: Codes
    slots: Codes
    drawn: int
    total: int

    @classmethod
    def of(cls, pairs: Pairs) -> "_Draw | None":
        """Return the draw of some pairs; None if the size of the full run is not known."""
        cell = pairs.reference
        total = cell.available
        if total is None:
            return None
        place = {doc: rank for rank, doc in enumerate(draw_order(total, cell.identity.plan.seed))}
        ranks = np.array([place[int(doc)] for doc in pairs.reference_items["doc_id"]], dtype=np.int64)
        order = np.argsort(ranks)
        # The ranks of a draw are 0..drawn-1.
        return cls(order, ranks[order], len(ranks) + len(cell.skipped), total)

    def log_e(self, make: Callable[..., Bets], a: Array, b: Array, **claim: Any) -> float:
        """Return the log e-value against a claim about the scores (n,) of both models, in the order of the pairs."""
        bets = make(a[self.order], b[self.order], **claim)
        values = np.zeros(self.drawn)
        values[self.slots] = bets.values
        return strongest(Bets(values, bets.worst), self.total)


def _full_run(pairs: Pairs, draft: Check, draw: _Draw) -> _Evidence:
    """Return the evidence about the full run.

    Raises:
        InputError: scores are not within 0..1.
    """
    if not pairs.sample.is_bounded:
        raise InputError(
            f"{pairs.task}: evidence that holds at every look needs scores from 0 to 1, and {pairs.metric} has others. "
            "Leave the task out, or score everything and use `kick gate` without --sequential."
        )
    unit = "ratio" if draft.relative else "drop"

    def log_e(make: Callable[..., Bets], bound: float) -> float:
        claim = {unit: bound, "higher_is_better": draft.higher_is_better}
        return draw.log_e(make, pairs.sample.a, pairs.sample.b, **claim)

    return _Evidence(
        within=lambda loss: log_e(bets_within, loss),
        beyond=lambda loss: log_e(bets_beyond, loss),
        total=draw.total,
        is_complete=draw.drawn == draw.total,
    )


def _caveats(pairs: Pairs, draw: _Draw | None) -> tuple[str, ...]:
    """Return what the claim about the full run does not say where items come in groups."""
    sample = pairs.sample
    if draw is None or sample.groups is None or sample.perplexity:
        return ()
    kind = pairs.reference.task.group_by or "group"
    return (
        f"Items share a {kind}, and are bet on one by one: the verdict is about the full run of {draw.total:,} items, "
        f"and not about others of the kind. `kick gate` without --sequential takes each {kind} as one unit.",
    )


def _early_warning(pairs: Pairs, draw: _Draw | None, policy: Policy, tests: int) -> EarlyWarning | None:
    """Return the warning of the items so far; that of one look where the size of the full run is not known."""
    test = at_one_look(pairs) if draw is None else at_every_look(draw.order)
    return corrected(early_warning(pairs, policy.early_warning, test), policy.alpha, tests)


def strongest(bets: Bets, total: int) -> float:
    """Return the largest log e-value so far; the last one, which is certain, once everything is scored.

    Args:
        bets: (n,) the claim, in the order in which the items were drawn.
        total: items of the full run.
    """
    path = log_evidence_path(bets, total)
    return float(path[-1] if len(path) == total else path.max())


def _in_general(pairs: Pairs, draft: Check) -> _Evidence:
    """Return the evidence about items, groups of items or windows of the kind in general."""

    def log_e(evidence: Callable[..., Evidence], loss: float) -> float:
        unit = "ratio" if draft.relative else "drop"
        return evidence(pairs.sample, **{unit: loss}).log_e

    return _Evidence(
        within=lambda loss: log_e(evidence_within, loss),
        beyond=lambda loss: log_e(evidence_beyond, loss),
        total=None,
        is_complete=False,
    )


def _bracket(loss: Estimate, evidence: _Evidence, alpha: float, draft: Check) -> Estimate:
    """Return the loss with the interval of the losses that neither bet refutes at level `alpha`.

    A pass means that it ends below the margin. The evidence grows with the loss, so both ends are found by bisection.
    """
    if not isfinite(loss.value):
        return loss
    most = 1 - 1e-6 if draft.relative and draft.higher_is_better else _WIDEST
    least = -1 + 1e-6 if draft.relative and not draft.higher_is_better else -_WIDEST
    if not draft.relative:
        least, most = -1 + 1e-6, 1 - 1e-6
    high = _turn(lambda value: is_shown(evidence.within(value), alpha), loss.value, most)
    low = _turn(lambda value: is_shown(evidence.beyond(value), alpha), loss.value, least)
    method = f"the losses that no bet refutes at any look, {100 * (1 - 2 * alpha):g} %"
    return Estimate(value=loss.value, low=low, high=high, n=loss.n, method=method)


def _turn(holds: Callable[[float], bool], near: float, far: float) -> float:
    """Return where, on the way from `near` to `far`, a condition begins to hold; `far` if it does not."""
    if not holds(far):
        return far
    for _ in range(_STEPS):
        middle = (near + far) / 2
        near, far = (near, middle) if holds(middle) else (middle, far)
    return far
