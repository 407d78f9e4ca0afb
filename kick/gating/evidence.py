"""The evidence of a verdict: the measurements that a suite asks for, and whether the stored cells are those.

A gate that cannot evaluate something must not pass. Each problem here is a sentence; `kick.gating.judgement` collects
the sentences, and the gate ends with exit code 2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kick.comparison.grid import suite_checkpoints, task_names
from kick.comparison.pairing import Pairs
from kick.errors import InputError, nearest
from kick.gating.policy_file import Policy
from kick.store import Store, cell_key
from kick.types import Cell, Check

# Keys that every suite.yaml of a run has. `tasks` and `seed` follow the checkpoints, so a file that is cut off lacks
# them.
_SUITE_KEYS = ("name", "reference", "checkpoints", "tasks", "seed")


def measurements(store: Store) -> list[str]:
    """Return the tasks and perplexity texts that the suite asks for, then those that were scored besides."""
    perplexity = store.suite().get("perplexity") or {}
    texts = [f"perplexity_{name}" for name in perplexity.get("datasets", [])]
    return list(dict.fromkeys([*task_names(store), *texts]))


def judged_tasks(store: Store, policy: Policy) -> list[str]:
    """Return the measurements that a policy judges: all but those that it ignores.

    Raises:
        InputError: the policy names a task that is not there.
    """
    tasks = measurements(store)
    for name in (*policy.tasks, *policy.ignore):
        if name not in tasks:
            raise InputError(
                f"policy '{policy.name}': there is no task '{name}' in {store.root}. {nearest(name, tasks)}"
            )
    return [task for task in tasks if task not in policy.ignore]


def folder_problems(store: Store, *, every_candidate: bool) -> list[str]:
    """Return what is wrong with a results folder as a whole, one sentence each.

    Args:
        store: the results folder.
        every_candidate: whether all candidates of the suite are judged: then one that was scored and is no longer in
            the suite is a problem, since it would go unjudged.
    """
    problems = store.damage()
    suite = store.suite()
    lacking = [key for key in _SUITE_KEYS if key not in suite]
    if lacking:
        problems.append(
            f"{store.root / 'suite.yaml'} is not whole: it has no {', '.join(lacking)}. Run the suite again."
        )
    if every_candidate:
        known = {checkpoint.id for checkpoint in suite_checkpoints(store)}
        problems += [
            f"'{record.checkpoint.id}' was scored in {store.root}, and suite.yaml does not name it. Run the suite "
            "again, or name the candidates to judge."
            for record in store.checkpoints()
            # Checkpoints with an @ are the noise floors of others.
            if record.checkpoint.id not in known and "@" not in record.checkpoint.id
        ]
    return problems


def pair_problems(store: Store, pairs: Pairs) -> list[str]:
    """Return why the two cells of a comparison are not the measurement that was planned, one sentence each."""
    reference, candidate = pairs.reference, pairs.candidate
    problems = [
        *_cell_problems(store, reference, pairs.reference_items),
        *_cell_problems(store, candidate, pairs.candidate_items),
    ]
    if pairs.unpaired:
        problems.append(
            f"{candidate.checkpoint} on {pairs.task}: {pairs.unpaired} items are not shared with the reference."
        )
    if reference.task != candidate.task:
        named = reference.task.model_dump().items()
        other = candidate.task.model_dump()
        unlike = ", ".join(name for name, value in named if value != other[name])
        problems.append(
            f"{candidate.checkpoint} on {pairs.task}: the two cells describe the task differently ({unlike})."
        )
    return problems


def _cell_problems(store: Store, cell: Cell, items: pd.DataFrame) -> list[str]:
    """Return why a cell is not what its record, its key and its plan say."""
    where = f"{cell.checkpoint} on {cell.task.name}"
    record = store.checkpoint(cell.checkpoint)
    key = record.cells.get(cell.task.name) if record else None
    problems = []
    if record is None or key != cell.key or cell_key(cell.identity) != cell.key:
        problems.append(f"{where}: the key of the cell is not the hash of its identity.")
    elif cell.identity.task != cell.task.name:
        problems.append(f"{where}: the cell is of the task {cell.identity.task}.")
    elif record.checkpoint.id != cell.checkpoint or record.fingerprint != cell.identity.checkpoint:
        problems.append(f"{where}: the cell was scored on other weights than the record names.")
    elif record.tokenizer_fingerprint != cell.identity.tokenizer:
        problems.append(f"{where}: the cell was scored with another tokenizer than the record names.")
    planned = cell.identity.plan.items
    if not cell.items == len(items) == planned:
        problems.append(f"{where}: {len(items)} of {planned} planned items are stored.")
    if not items["doc_id"].is_unique:
        repeated = int(items["doc_id"].duplicated().sum())
        problems.append(f"{where}: {repeated} items are stored more than once.")
    return problems


def unmeasured(store: Store, pairs: Pairs, policy: Policy) -> list[str]:
    """Return the divergence that the suite or the policy asks for and a cell does not hold, one sentence each."""
    cell = pairs.candidate
    # The reference's cell says if divergence cannot be measured on such a task at all.
    if cell.divergence is not None or pairs.reference.not_diverged is not None:
        return []
    required = bool(store.suite().get("divergence")) and _in_suite(store.suite(), cell.task.name)
    limited = policy.kl is not None and pairs.sample.perplexity and "kl" not in pairs.candidate_items
    if not required and not limited:
        return []
    if required and not limited and cell.not_diverged is not None:
        return []
    reason = f": {cell.not_diverged}" if cell.not_diverged else ""
    asks = f"policy '{policy.name}' limits kl" if limited else "the suite asks for divergence"
    return [
        f"{asks}, and the divergence of '{cell.checkpoint}' from its reference was not measured on "
        f"{pairs.task}{reason}."
    ]


def rules_without_checks(policy: Policy, checks: Sequence[Check]) -> list[str]:
    """Return the rules of a policy that no check has evaluated, one sentence each."""
    kinds = {check.kind for check in checks}
    names = {check.name for check in checks}
    named = f"policy '{policy.name}'"
    sentences = [
        f"{named}: families.{family} was not evaluated: not every task was scored, or none is of this family."
        for family in policy.families
        if family not in names
    ]
    if policy.perplexity and policy.perplexity.required and "perplexity" not in kinds:
        sentences.append(
            f"{named} limits perplexity, and no text was scored. Add `perplexity` to the suite, or take the rule out."
        )
    if policy.kl and policy.kl.required and "kl" not in kinds:
        sentences.append(
            f"{named} limits kl, and no divergence was measured on a perplexity text. Add `divergence: true` and "
            "`perplexity` to the suite, or take the rule out."
        )
    if not checks:
        sentences.append(f"{named} checks nothing of what was scored. Give it a rule that applies.")
    return sentences


def _in_suite(suite: Mapping[str, Any], task: str) -> bool:
    texts = [f"perplexity_{name}" for name in (suite.get("perplexity") or {}).get("datasets", [])]
    return task in (*suite.get("tasks", []), *texts)
