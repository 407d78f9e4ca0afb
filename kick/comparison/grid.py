"""Every candidate of a results folder on every task, and the checkpoints of every series."""

from collections.abc import Callable, Mapping, Sequence

from kick.comparison.paired import compare, compare_pairs, noise_floor
from kick.comparison.pairing import Pairs, load_pairs
from kick.comparison.statistics.multiplicity import adjust
from kick.errors import InputError, nearest
from kick.store import Store
from kick.types import (
    Axis,
    Checkpoint,
    CheckpointRecord,
    Comparison,
    Refusal,
    Step,
    SuiteComparison,
)


def compare_all(
    store: Store,
    reference: str | None = None,
    *,
    resamples: int = 0,
    see: Callable[[Pairs], object] | None = None,
) -> SuiteComparison:
    """Compare every checkpoint of the suite with the reference on every task.

    Args:
        store: the results folder.
        reference: id of a checkpoint; the reference of the suite when left out.
        resamples: bootstrap resamples per comparison; 0 leaves the bootstrap out.
        see: called with the pairs of each comparison, candidate by candidate, by whoever asks more of the items,
            which are read once.

    Returns:
        The comparisons, and the pairs that could not be compared with the reasons, those that were not scored
        among them.

    Raises:
        InputError: the reference is not a checkpoint of the suite.
    """
    reference = reference_id(store, reference)
    comparisons: list[Comparison] = []
    refusals: list[Refusal] = []
    for candidate in candidate_ids(store, reference):
        for task in task_names(store):
            try:
                pairs = load_pairs(store, reference, candidate, task)
                floor = noise_floor(store, pairs)
                comparisons.append(compare_pairs(pairs, noise_floor=floor, resamples=resamples))
            except InputError as error:
                refusals.append(
                    Refusal(reference=reference, candidate=candidate, task=task, reason=str(error))
                )
                continue
            if see:
                see(pairs)
    return SuiteComparison(
        reference=reference, comparisons=tuple(adjusted(comparisons)), refusals=tuple(refusals)
    )


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with their p-values adjusted for being read together."""
    p_values = [1.0 if comparison.p_value is None else comparison.p_value for comparison in comparisons]
    pairs = zip(adjust(p_values, "holm"), adjust(p_values, "benjamini-hochberg"), strict=True)
    return [
        comparison.model_copy(update={"p_holm": holm, "p_fdr": fdr} if comparison.p_value is not None else {})
        for comparison, (holm, fdr) in zip(comparisons, pairs, strict=True)
    ]


def series_members(
    checkpoints: Sequence[Checkpoint], records: Mapping[str, CheckpointRecord]
) -> dict[str, dict[str, Step | None]]:
    """Return the checkpoints of every series with the last step of each; None: its rate is unknown."""
    series: dict[str, dict[str, Step | None]] = {}
    for checkpoint in checkpoints:
        if checkpoint.series:
            record = records.get(checkpoint.id)
            step = record.step if record else checkpoint.recipe or checkpoint.declared
            series.setdefault(checkpoint.series, {})[checkpoint.id] = step
    return series


def reference_id(store: Store, reference: str | None = None) -> str:
    """Return the reference to compare with: the one given, or the suite's.

    Raises:
        InputError: there is no such checkpoint.
    """
    named = reference or store.suite().get("reference")
    ids = [checkpoint.id for checkpoint in suite_checkpoints(store)]
    if named is None:
        raise InputError(
            f"{store.root / 'suite.yaml'} names no reference. Name a checkpoint: {', '.join(ids)}."
        )
    if named not in ids:
        raise InputError(f"there is no checkpoint '{named}' in {store.root}. {nearest(str(named), ids)}")
    return str(named)


def candidate_ids(store: Store, reference: str) -> list[str]:
    """Return every checkpoint of the suite but the reference, scored or not, in the order of the suite."""
    return [checkpoint.id for checkpoint in suite_checkpoints(store) if checkpoint.id != reference]


def suite_checkpoints(store: Store) -> list[Checkpoint]:
    """Return the checkpoints of the suite as it was run last, without those that an earlier suite left behind."""
    return [Checkpoint.model_validate(entry) for entry in store.suite().get("checkpoints", [])]


def task_names(store: Store) -> list[str]:
    """Return the tasks of the suite, then those that were scored besides, perplexity among them."""
    scored = [task for record in store.checkpoints() for task in record.cells]
    return list(dict.fromkeys([*store.suite().get("tasks", []), *scored]))


def attempt(
    store: Store, reference: str, candidate: str, task: str, *, resamples: int = 0
) -> Comparison | Refusal:
    """Return the comparison of a pair, or the reason why there is none."""
    try:
        return compare(store, reference, candidate, task, resamples=resamples)
    except InputError as error:
        return Refusal(reference=reference, candidate=candidate, task=task, reason=str(error))


def series_axis(steps: Mapping[str, Step | None]) -> Axis | None:
    """Return the axis of a series' first point with a known rate; None: no rate is known."""
    return next((step.axis for step in steps.values() if step), None)
