"""Two cells become pairs of answers to the same items, or are refused with what differs between them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kick.comparison.engines import floor_checkpoint
from kick.comparison.floors import floor_of
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array, Codes
from kick.errors import InputError, nearest
from kick.store import Store
from kick.types import Cell, CellIdentity, Floor

# A difference in any of these forbids a comparison.
_DECISIVE: dict[str, Callable[[CellIdentity], object]] = {
    "plan hash": lambda identity: identity.plan.hash,
    "dtype": lambda identity: identity.dtype,
    "device": lambda identity: identity.device,
    "scoring tier": lambda identity: identity.tier,
    "engine": lambda identity: identity.engine_name,
}
# These belong to the engine, and are of no meaning on another one.
_OF_THE_ENGINE = ("dtype", "device", "scoring tier", "engine")
# These say why the plans differ, or are worth knowing.
_TELLING: dict[str, Callable[[CellIdentity], object]] = {
    "tokenizer": lambda identity: identity.tokenizer,
    "task configuration": lambda identity: identity.plan.task_config,
    "documents": lambda identity: identity.plan.documents,
    "shots": lambda identity: identity.plan.shots,
    "chat format": lambda identity: identity.plan.chat,
    "limit": lambda identity: identity.plan.limit,
    "seed": lambda identity: identity.plan.seed,
    "items": lambda identity: identity.plan.items,
    "attention": lambda identity: identity.attention,
    "versions": lambda identity: ", ".join(
        f"{name} {value}" for name, value in sorted(identity.versions.items())
    ),
}
_KEY = ["doc_hash", "prompt_hash"]
# What must be alike where plans differ, for the texts behind the tokens to be the same.
_SAME_TEXTS = ("task configuration", "documents", "shots", "chat format", "limit", "seed")
_OTHER_TOKENIZER = (
    "The tokenizers differ: items are paired by the texts of document and prompt, and each model reads its own tokens "
    "of them."
)
_OTHER_PAGES = (
    "Windows of as many tokens roll over the pages: they reach further back in the text for the tokenizer that cuts it "
    "into fewer. Losses are by words and bytes, which both share."
)
_OTHER_WINDOWS = (
    "Windows of tokens hold other texts for another tokenizer. Compare bits per byte on a text that is scored page by "
    "page, as wikitext2_words."
)


@dataclass(frozen=True)
class Pairs:
    """Reference and candidate on the same items; the rows of both frames correspond."""

    reference: Cell
    candidate: Cell
    reference_items: pd.DataFrame
    candidate_items: pd.DataFrame
    metric: str
    sample: PairedSample
    # The number of items that only one of the two has.
    unpaired: int
    # Differences that do not forbid the comparison.
    caveats: tuple[str, ...]
    # The best answerer without knowledge; None: not measured.
    floor: Floor | None = None
    # The reference against itself on the candidate's engine, if that is another.
    engine_floor: "Pairs | None" = None

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.reference.task.name


def load_pairs(
    store: Store,
    reference: str,
    candidate: str,
    task: str,
    metric: str | None = None,
    *,
    any_tier: bool = False,
) -> Pairs:
    """Return the pairs of two checkpoints of a results folder on one task.

    Args:
        store: the results folder.
        reference: id of a checkpoint.
        candidate: id of a checkpoint.
        task: name of a task.
        metric: a metric of the task; the one that stands for it when left out.
        any_tier: let the scoring tiers differ, which is how a noise floor is measured.

    Raises:
        InputError: a cell is missing or damaged, or the two cannot be compared; says what differs.
    """
    cells = [_current_cell(store, checkpoint, task) for checkpoint in (reference, candidate)]
    _refuse_stale(store, reference, candidate)
    again = floor_checkpoint(store, cells[0], cells[1])
    refuse_unlike(cells[0], cells[1], any_tier=any_tier, any_engine=again is not None)
    pairs = pair(cells[0], store.items(cells[0]), cells[1], store.items(cells[1]), metric)
    if again is None:
        return pairs
    itself = _current_cell(store, again, task)
    return replace(
        pairs, engine_floor=pair(cells[0], store.items(cells[0]), itself, store.items(itself), metric)
    )


def pair(
    reference: Cell,
    reference_items: pd.DataFrame,
    candidate: Cell,
    candidate_items: pd.DataFrame,
    metric: str | None = None,
) -> Pairs:
    """Align the items of two cells by the hashes of document and prompt.

    Items that only one of the two has are left out and counted.

    Raises:
        InputError: no item is shared, shared items have other targets, or the metric is unknown or not a
            number.
    """
    metric = _metric(reference, metric)
    left, right = _align(reference_items, candidate_items)
    if left.empty:
        raise InputError(
            f"{_refused_pair(reference, candidate)}: they share no item: "
            f"{len(reference_items)} and {len(candidate_items)} items, none with the same document and "
            f"prompt. {_OTHER_WINDOWS if _other_windows(reference, candidate) else 'Score both with one suite.'}"
        )
    alike = left["target_hash"].equals(right["target_hash"])
    changed = 0 if alike else int((left["target_hash"].to_numpy() != right["target_hash"].to_numpy()).sum())
    if changed:
        raise InputError(
            f"{_refused_pair(reference, candidate)}: the targets of {changed} of {len(left)} items differ. "
            "Score both on the same data."
        )
    a, b = (scores(cell, items, metric) for cell, items in ((reference, left), (candidate, right)))
    perplexity = reference.task.kind == "text"
    floor = floor_of(reference, metric)
    sample = PairedSample(
        a,
        b,
        groups=group_codes(reference, left),
        strata=stratum_codes(reference, left),
        weights=left["units"].to_numpy(float) if perplexity else None,
        perplexity=perplexity,
        higher_is_better=reference.task.higher_is_better and not perplexity,
        floor=floor.score if floor else None,
    )
    unpaired = len(reference_items) + len(candidate_items) - 2 * len(left)
    return Pairs(
        reference,
        candidate,
        left,
        right,
        metric,
        sample,
        unpaired,
        _caveats(reference, candidate, unpaired),
        floor,
    )


def refuse_unlike(
    reference: Cell,
    candidate: Cell,
    *,
    any_tier: bool = False,
    any_tokenizer: bool = True,
    any_engine: bool = False,
) -> None:
    """Refuse cells that were not scored on the same requests in the same way.

    Args:
        reference: a cell.
        candidate: another cell of the same task.
        any_tier: let the scoring tiers differ.
        any_engine: let the engines differ, and what belongs to them.
        any_tokenizer: take plans of different tokenizers for alike if the texts behind them are (`same_texts`).

    Raises:
        InputError: lists every field that differs, with both values.
    """
    one, two = reference.identity, candidate.identity
    left_out = [*(["scoring tier"] if any_tier else []), *(_OF_THE_ENGINE if any_engine else [])]
    decisive = [name for name in _DECISIVE if name not in left_out]
    if any_tokenizer and one.plan.hash != two.plan.hash and same_texts(reference, candidate):
        decisive.remove("plan hash")
    if all(_DECISIVE[name](one) == _DECISIVE[name](two) for name in decisive):
        return
    fields = {name: _DECISIVE[name] for name in decisive} | _TELLING
    rows = [f"  {name}: {read(one)} | {read(two)}" for name, read in fields.items() if read(one) != read(two)]
    way_out = "Score both with one suite on one kind of machine."
    if _other_windows(reference, candidate):
        way_out = _OTHER_WINDOWS
    raise InputError(
        f"{_refused_pair(reference, candidate)}. These differ ({reference.checkpoint} | {candidate.checkpoint}):\n"
        + "\n".join(rows)
        + f"\n{way_out}"
    )


def same_texts(reference: Cell, candidate: Cell) -> bool:
    """Return whether two plans differ in their tokenizer alone: the same texts were cut into other tokens.

    Windows of a text are cut by tokens, so those of two tokenizers hold different texts, and `pair` finds none that
    both have. Pages of a text are the same for every tokenizer.
    """
    one, two = reference.identity, candidate.identity
    if one.tokenizer == two.tokenizer or one.plan.items != two.plan.items:
        return False
    return all(_TELLING[name](one) == _TELLING[name](two) for name in _SAME_TEXTS)


def _other_windows(reference: Cell, candidate: Cell) -> bool:
    return reference.task.kind == "text" and reference.identity.tokenizer != candidate.identity.tokenizer


def _refuse_stale(store: Store, reference: str, candidate: str) -> None:
    """Refuse a candidate that was made from other weights than the reference has now."""
    one, two = store.checkpoint(reference), store.checkpoint(candidate)
    if one is None or two is None or two.checkpoint.base != reference:
        return
    if two.source_fingerprint not in (None, one.fingerprint):
        raise InputError(
            f"cannot compare {candidate} with {reference}: it was made from other weights than {reference} has now "
            f"({str(two.source_fingerprint)[:12]} | {one.fingerprint[:12]}). Run the suite again."
        )


def scores(cell: Cell, items: pd.DataFrame, metric: str) -> Array:
    """Return the scores of the items (n,); of a perplexity text the `nll` of its windows.

    Raises:
        InputError: a score is not finite (a window may be: a broken model has no perplexity).
    """
    perplexity = cell.task.kind == "text"
    values = items["nll" if perplexity else metric].to_numpy(np.float64)
    broken = int((~np.isfinite(values)).sum())
    if broken and not perplexity:
        raise InputError(
            f"{cell.checkpoint} on {cell.task.name}: {metric} of {broken} of {len(values)} items is not a "
            "number. Correct the metric and run the suite again."
        )
    return values


def group_codes(cell: Cell, items: pd.DataFrame) -> Codes | None:
    """Return the group (n,) of each item, 0..G-1, if the task declares clusters and items share them; else None.

    An item without a group is its own. Windows of a text are grouped with their neighbours.
    """
    n = len(items)
    if cell.task.kind == "text":
        return window_blocks(n)
    if cell.task.group_by is None or cell.task.grouping == "strata":
        return None
    codes, names = pd.factorize(items["group"])
    alone = codes < 0
    codes = codes.astype(np.int64)
    codes[alone] = len(names) + np.arange(int(alone.sum()))
    return codes if len(names) + int(alone.sum()) < n else None


def stratum_codes(cell: Cell, items: pd.DataFrame) -> Codes | None:
    """Return the category (n,) of each item, 0..H-1, if the task declares strata and all items were asked; else None.

    Items that a limit drew at random are independent, categories and all: how many of each are drawn is chance too.
    """
    if cell.task.kind == "text" or cell.task.grouping != "strata" or cell.task.group_by is None:
        return None
    if cell.identity.plan.limit is not None or items["group"].isna().any():
        return None
    codes, names = pd.factorize(items["group"])
    return codes.astype(np.int64) if 1 < len(names) < len(codes) else None


def window_blocks(windows: int) -> Codes:
    """Return the blocks (n,) of 2 n^(1/3) consecutive windows, which depend on their neighbours.

    The rate is Kuensch's (Annals of Statistics 17, 1989); the factor makes the interval hold where
    neighbours correlate by 0.3 (scripts/simulate_statistics.py).
    """
    block = round(2 * windows ** (1 / 3))
    return np.arange(windows, dtype=np.int64) // np.int64(block)


def _current_cell(store: Store, checkpoint: str, task: str) -> Cell:
    cell = store.cell(checkpoint, task)
    if cell is not None:
        return cell
    record = store.checkpoint(checkpoint)
    if record is None:
        known = [record.checkpoint.id for record in store.checkpoints()]
        hint = nearest(checkpoint, known) if known else ""
        raise InputError(f"'{checkpoint}' was not scored in {store.root}. {hint}".rstrip())
    if task in record.not_measured:
        raise InputError(f"task '{task}' of '{checkpoint}' is not measurable: {record.not_measured[task]}.")
    state = "was not finished" if task in record.cells else "is missing"
    hint = "" if task in record.cells else f" {nearest(task, list(record.cells))}" if record.cells else ""
    raise InputError(
        f"task '{task}' of '{checkpoint}' {state} in {store.root}. Run the suite to the end.{hint}"
    )


def _metric(cell: Cell, metric: str | None) -> str:
    if cell.task.kind == "text":
        if metric not in (None, "perplexity", "nll"):
            raise InputError(f"{cell.task.name} has no metric '{metric}'. It is compared by perplexity.")
        return "perplexity"
    if metric is None:
        return cell.task.metric
    if metric not in cell.task.metrics:
        raise InputError(f"{cell.task.name} has no metric '{metric}'. {nearest(metric, cell.task.metrics)}")
    return metric


def _align(left: pd.DataFrame, right: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    if len(left) == len(right) and all(left[name].equals(right[name]) for name in _KEY):
        return left, right
    # A document that occurs twice is paired in the order of its occurrences.
    keys = [frame[_KEY].assign(occurrence=frame.groupby(_KEY).cumcount()) for frame in (left, right)]
    rows = (
        keys[0]
        .assign(left=range(len(left)))
        .merge(keys[1].assign(right=range(len(right))), on=[*_KEY, "occurrence"])
    )
    return (
        left.iloc[rows["left"]].reset_index(drop=True),
        right.iloc[rows["right"]].reset_index(drop=True),
    )


def _caveats(reference: Cell, candidate: Cell, unpaired: int) -> tuple[str, ...]:
    one, two = reference.identity, candidate.identity
    notes = []
    if one.plan.hash != two.plan.hash:
        notes.append(_OTHER_TOKENIZER)
        if reference.task.kind == "text":
            notes.append(_OTHER_PAGES)
    elif one.tokenizer != two.tokenizer:
        notes.append("The tokenizer files differ, though every request is tokenised alike.")
    if one.attention != two.attention:
        # An architecture may have only one of the two, so this forbids no comparison.
        notes.append(
            f"Attention is computed in other ways, which round differently: {one.attention} | {two.attention}."
        )
    others = sorted(
        f"{name} {one.versions.get(name)} | {two.versions.get(name)}"
        for name in one.versions.keys() | two.versions.keys()
        if one.versions.get(name) != two.versions.get(name)
    )
    if others:
        notes.append(f"Scored under other versions: {', '.join(others)}.")
    if one.engine and two.engine and one.engine_name == two.engine_name and one.engine != two.engine:
        notes.append(f"The engine had other settings: {one.engine.text} | {two.engine.text}.")
    if unpaired:
        notes.append(f"Left out, because only one of the two has them: items, {unpaired}.")
    return tuple(notes)


def _refused_pair(reference: Cell, candidate: Cell) -> str:
    return (
        f"'{candidate.checkpoint}' cannot be compared with '{reference.checkpoint}' on {reference.task.name}"
    )
