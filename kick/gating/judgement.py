"""Results become verdicts: every check of every candidate by one rule, corrected together; see `kick.gating`."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path

from kick.comparison.grid import PairReader, candidate_ids, reference_id
from kick.comparison.pairing import Pairs
from kick.comparison.statistics.multiplicity import adjust
from kick.errors import InputError, nearest
from kick.gating.checks import Question, questions
from kick.gating.evidence import (
    folder_problems,
    judged_tasks,
    pair_problems,
    rules_without_checks,
    unmeasured,
)
from kick.gating.families import family_members, family_outcome, family_score
from kick.gating.policy_file import Policy
from kick.gating.sequential import sequential_verdicts
from kick.store import Store
from kick.types import Check, FamilyScore, GateResult, NoiseFloor, Verdict


def gate(
    store: Store,
    policy: Policy | str | Path = "regression",
    *,
    reference: str | None = None,
    candidates: Sequence[str] = (),
    sequential: bool = False,
) -> GateResult:
    """Judge candidates of a results folder by a policy, and refuse to where anything is missing.

    Args:
        store: the results folder.
        policy: a `Policy`, a policy file, or the name of a packaged policy (`regression`).
        reference: id of a checkpoint; the reference of the suite when left out.
        candidates: ids of checkpoints; all but the reference when left out. Tests are corrected over all candidates of
            the folder in either case, so a verdict does not depend on who asks for it.
        sequential: judge by evidence that holds at every look of a folder that grows (`kick.gating.sequential`).
            Tasks that were not scored yet are then no reason to refuse: they leave a candidate inconclusive.

    Returns:
        One verdict per candidate. The outcome and the exit code are those of the worst.

    Raises:
        InputError: the policy is not valid or names what is not there; or a rule of the policy or a measurement of the
            suite could not be evaluated on intact cells. All reasons are given at once.
    """
    policy = policy if isinstance(policy, Policy) else Policy.read(policy)
    reference = reference_id(store, reference)
    known = candidate_ids(store, reference)
    for name in candidates:
        if name not in known:
            raise InputError(f"there is no candidate '{name}' in {store.root}. {nearest(name, known)}")
    problems = folder_problems(store, every_candidate=not candidates)
    judge = sequential_verdicts if sequential else verdicts
    result = judge(store, policy, reference=reference)
    chosen = tuple(verdict for verdict in result.verdicts if verdict.candidate in (candidates or known))
    problems += [sentence for verdict in chosen for sentence in verdict.missing]
    if not chosen:
        problems.append(f"{store.root} holds no candidate to check. Run the suite first.")
    if problems:
        raise InputError(
            "there is no verdict, because not everything could be evaluated:\n"
            + "\n".join(dict.fromkeys(problems))
        )
    result = result.model_copy(update={"verdicts": chosen})
    return result.model_copy(update={"next_command": next_command(store, result)})


def verdicts(
    store: Store, policy: Policy | str | Path = "regression", *, reference: str | None = None
) -> GateResult:
    """Judge every candidate of a results folder as far as it was scored.

    This is the answer that reports, boards and badges show. It equals that of `gate` where nothing is missing; what is
    missing is kept in the verdict, which then cannot be a pass.

    Args:
        store: the results folder.
        policy: a `Policy`, a policy file, or the name of a packaged policy.
        reference: id of a checkpoint; the reference of the suite when left out.

    Raises:
        InputError: the policy is not valid or names a task that is not there, or the folder has no reference.
    """
    judging = Judging(PairReader(store, reference), policy)
    for candidate in judging.reader.candidates:
        judging.add(candidate)
    return judging.result()


class Judging:
    """Verdicts in the making: the tests of one candidate after the other, then the correction over all of them.

    Whoever asks more of the items than a verdict asks them of the same reader, candidate by candidate, so that they are
    read once.

    Attributes:
        reader: Reads the pairs of the results folder.
    """

    def __init__(self, reader: PairReader, policy: Policy | str | Path = "regression") -> None:
        """Open the case of a results folder.

        Args:
            reader: Reads its pairs.
            policy: A `Policy`, a policy file, or the name of a packaged policy.

        Raises:
            InputError: The policy is not valid or names a task that is not there.
        """
        self.reader = reader
        self._policy = policy if isinstance(policy, Policy) else Policy.read(policy)
        self._tasks = judged_tasks(reader.store, self._policy)
        self._drafts: list[_Draft] = []

    def add(self, candidate: str) -> None:
        """Test one candidate on every task."""
        self._drafts.append(_draft(self.reader, self._policy, candidate, self._tasks))

    def result(self) -> GateResult:
        """Return the verdicts of the candidates that were added, corrected over all of them."""
        policy = self._policy
        together = [question for draft in self._drafts for question in draft.questions]
        corrected = iter(adjust([question.draft.p_loss for question in together], policy.correction))
        return GateResult(
            policy=policy.name,
            reference=self.reader.reference,
            alpha=policy.alpha,
            verdicts=tuple(
                _verdict(
                    draft,
                    [question.answer(policy, next(corrected), len(together)) for question in draft.questions],
                )
                for draft in self._drafts
            ),
        )


@dataclass(frozen=True)
class _Draft:
    """The questions of one candidate, and what is missing to ask more; the items are let go."""

    candidate: str
    questions: tuple[Question, ...]
    families: tuple[FamilyScore, ...]
    missing: tuple[str, ...]


def _verdict(draft: _Draft, checks: Sequence[Check]) -> Verdict:
    families = tuple(
        family.model_copy(update={"outcome": family_outcome(family, checks)}) for family in draft.families
    )
    return Verdict(candidate=draft.candidate, checks=tuple(checks), families=families, missing=draft.missing)


def _draft(reader: PairReader, policy: Policy, candidate: str, tasks: Sequence[str]) -> _Draft:
    store = reader.store
    loaded: list[Pairs] = []
    noise: dict[str, NoiseFloor | None] = {}
    missing: list[str] = []
    for task in tasks:
        try:
            pairs = reader.read(candidate, task, policy.rule(task).metric)
            noise[task] = reader.noise_floor(pairs)
        except InputError as error:
            missing.append(str(error))
            continue
        problems = pair_problems(store, pairs)
        missing += [*problems, *unmeasured(store, pairs, policy)]
        if not problems:
            loaded.append(pairs)
    # The mean over a part of a family is not the score of the family.
    families = policy.families if len(loaded) == len(tasks) else ()
    raised = tuple(questions(policy, loaded, noise, families))
    missing += rules_without_checks(policy, [question.draft for question in raised])
    return _Draft(candidate, raised, _families(store, reader.reference, loaded, tasks), tuple(missing))


def _families(
    store: Store, reference: str, loaded: Sequence[Pairs], tasks: Sequence[str]
) -> tuple[FamilyScore, ...]:
    """Return what is kept of each family of which every task that the reference was scored on could be compared."""
    pairs = {one.task: one for one in loaded}
    try:
        infos = [cell.task for task in tasks if (cell := store.cell(reference, task))]
    except InputError:
        # A damaged cell is among what is missing. Its family is unknown, so no family is known to be whole.
        return ()
    scores = [
        family_score(family, [pairs[name] for name in members])
        for family, members in family_members(infos).items()
        if all(name in pairs for name in members)
    ]
    return tuple(score for score in scores if score)


def next_command(store: Store, result: GateResult) -> str | None:
    """Return the command that scores enough items to decide what is inconclusive; None if there is none.

    Only tasks have a limit that the command line can raise. No command is named where a task has no further items, or
    where no number of items would decide.
    """
    if store.suite().get("imported"):
        return None
    undecided: dict[str, int] = {}
    for verdict in result.verdicts:
        for check in verdict.checks:
            if limit := _sufficient_limit(check):
                undecided[check.name] = max(limit, undecided.get(check.name, 0))
    if not undecided:
        return None
    return (
        f"kick run {store.root / 'suite.yaml'} --results {store.root} --tasks {','.join(sorted(undecided))} "
        f"--limit {_rounded_up(max(undecided.values()))}"
    )


def _sufficient_limit(check: Check) -> int | None:
    """Return the limit of items under which an inconclusive check of a task would be decided."""
    if check.kind != "task" or check.outcome != "inconclusive" or check.limit is None:
        return None
    if check.items_needed is None or check.items_needed <= check.candidate_score.n:
        return None
    return ceil(check.limit * check.items_needed / check.candidate_score.n)


def _rounded_up(number: int) -> int:
    """Return a number rounded up to two significant digits, as a plan needs no more."""
    unit: int = 10 ** max(floor(log10(number)) - 1, 0)
    return ceil(number / unit) * unit
