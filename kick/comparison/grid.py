"""Every candidate of a results folder on every task, and the checkpoints of every series."""

from collections.abc import Mapping, Sequence

from kick.comparison.paired import compare_pairs, noise_floor
from kick.comparison.pairing import Pairs, load_pairs
from kick.comparison.statistics.multiplicity import adjust
from kick.errors import InputError, nearest
from kick.store import Store
from kick.store.snapshot import Snapshot
from kick.types import (
    Axis,
    Checkpoint,
    CheckpointRecord,
    Comparison,
    NoiseFloor,
    Refusal,
    Step,
    SuiteComparison,
)


class PairReader:
    """Reads the pairs of the candidates of a results folder, which is assumed not to change meanwhile.

    A report asks for the same pairs as its verdicts do, and so do the statistics that a `PairedSample` keeps. The pairs
    of one candidate are in memory at a time: ask candidate by candidate.

    Attributes:
        store: The results.
        reference: The id of the reference.
        candidates: The ids of all other checkpoints of the suite.
    """

    def __init__(self, store: Store, reference: str | None = None) -> None:
        """Open a results folder.

        Args:
            store: The results.
            reference: The id of a checkpoint; the reference of the suite when left out.

        Raises:
            InputError: The reference is not a checkpoint of the suite, or none is named.
        """
        self.store = store if isinstance(store, Snapshot) else Snapshot(store)
        self.reference = reference_id(self.store, reference)
        self.candidates = candidate_ids(self.store, self.reference)
        self._candidate: str | None = None
        # By task and metric.
        self._pairs: dict[tuple[str, str | None], Pairs] = {}
        self._noise: dict[tuple[str, str], NoiseFloor | None] = {}

    def read(self, candidate: str, task: str, metric: str | None = None) -> Pairs:
        """Return the pairs of a candidate on a task; see `load_pairs` for the arguments and what is refused."""
        if candidate != self._candidate:
            self._candidate, self._pairs = candidate, {}
        key = (task, metric)
        if key not in self._pairs:
            self._pairs[key] = load_pairs(self.store, self.reference, candidate, task, metric)
        return self._pairs[key]

    def noise_floor(self, pairs: Pairs) -> NoiseFloor | None:
        """Return the reference against itself on the task of these pairs; see `kick.comparison.paired.noise_floor`."""
        key = (pairs.task, pairs.metric)
        if key not in self._noise:
            self._noise[key] = noise_floor(self.store, pairs)
        return self._noise[key]


def compare_all(store: Store, reference: str | None = None, *, resamples: int = 0) -> SuiteComparison:
    """Compare every checkpoint of the suite with the reference on every task.

    Args:
        store: the results folder.
        reference: id of a checkpoint; the reference of the suite when left out.
        resamples: bootstrap resamples per comparison; 0 leaves the bootstrap out.

    Returns:
        The comparisons, and the pairs that could not be compared with the reasons, those that were not scored
        among them.

    Raises:
        InputError: the reference is not a checkpoint of the suite.
    """
    reader = PairReader(store, reference)
    results = [
        attempt(reader, candidate, task, resamples=resamples)
        for candidate in reader.candidates
        for task in task_names(store)
    ]
    return collected(reader.reference, results)


def collected(reference: str, results: Sequence[Comparison | Refusal]) -> SuiteComparison:
    """Return the results of a whole folder with their p-values adjusted for being read together."""
    comparisons = [result for result in results if isinstance(result, Comparison)]
    refusals = tuple(result for result in results if isinstance(result, Refusal))
    return SuiteComparison(reference=reference, comparisons=tuple(adjusted(comparisons)), refusals=refusals)


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


def attempt(reader: PairReader, candidate: str, task: str, *, resamples: int = 0) -> Comparison | Refusal:
    """Return the comparison of a pair, or the reason why there is none."""
    try:
        pairs = reader.read(candidate, task)
        return compare_pairs(pairs, noise_floor=reader.noise_floor(pairs), resamples=resamples)
    except InputError as error:
        return Refusal(reference=reader.reference, candidate=candidate, task=task, reason=str(error))


def series_axis(steps: Mapping[str, Step | None]) -> Axis | None:
    """Return the axis of a series' first point with a known rate; None: no rate is known."""
    return next((step.axis for step in steps.values() if step), None)
