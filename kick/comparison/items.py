"""The items behind a comparison: those that flipped, with both responses, and the loss per category."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from kick.comparison.flips import answered_otherwise, loss_rate
from kick.comparison.paired import difference_test, mcnemar
from kick.comparison.pairing import Pairs
from kick.comparison.records import CategoryLoss
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.moments import Array
from kick.comparison.statistics.multiplicity import adjust
from kick.errors import InputError, nearest

_BANDS = 4
# In the order in which they are listed.
_CHANGES = ("lost", "worse", "gained", "better", "other wrong")


def changed_items(pairs: Pairs, most: int | None = None) -> pd.DataFrame:
    """Return the items that got another answer, one row each; those that were lost come first.

    Columns: task, metric, reference, candidate, change, doc_id, group, prompt, target, and for both
        checkpoints response, score and margin. `change` is "lost", "gained" or "other wrong" for
        right-or-wrong items, "worse" or "better" for graded ones. The margin is the gap between the
        likeliest choice and the next one, in nats; NaN for generated answers.

    Args:
        pairs: the pairs of one task.
        most: rows to return; all when left out.
    """
    kind = item_changes(pairs)
    at = listed(kind)[:most]
    sample, left, right = pairs.sample, pairs.reference_items, pairs.candidate_items

    def column(items: pd.DataFrame, name: str) -> pd.Series:
        return items[name].take(at).reset_index(drop=True)

    return pd.DataFrame(
        {
            "task": pairs.task,
            "metric": pairs.metric,
            "reference": pairs.reference.checkpoint,
            "candidate": pairs.candidate.checkpoint,
            "change": kind[at],
            "doc_id": column(left, "doc_id"),
            "group": column(left, "group"),
            "prompt": column(left, "prompt"),
            "target": column(left, "target"),
            "reference_response": column(left, "response"),
            "candidate_response": column(right, "response"),
            "reference_score": sample.a[at],
            "candidate_score": sample.b[at],
            "reference_margin": choice_margins(column(left, "choice_logprobs")),
            "candidate_margin": choice_margins(column(right, "choice_logprobs")),
        }
    )


def item_changes(pairs: Pairs) -> npt.NDArray[np.str_]:
    """Return the `change` of each item (n,), as in `changed_items`; empty where nothing changed."""
    sample = pairs.sample
    change = np.sign(sample.b - sample.a) * (1 if sample.higher_is_better else -1)
    words = ("lost", "gained") if sample.is_binary else ("worse", "better")
    kind: npt.NDArray[np.str_] = np.select([change < 0, change > 0], words, "")
    if sample.is_binary:
        wrong = sample.a == (0 if sample.higher_is_better else 1)
        kind = np.where((change == 0) & wrong & answered_otherwise(pairs), "other wrong", kind)
    return kind


def listed(kinds: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """Return the rows of the items that changed, in the order in which they are listed."""
    return np.concatenate([np.flatnonzero(kinds == name) for name in _CHANGES])


def choice_margins(logprobs: Iterable[Array]) -> Array:
    """Return how far the likeliest choice is ahead of the next one, in nats (n,); NaN where there are no choices."""
    rows = list(logprobs)
    sizes = {len(row) for row in rows}
    if len(sizes) == 1 and max(sizes) > 1:
        best: Array = np.sort(np.stack(rows), axis=1)[:, -2:]
        return best[:, 1] - best[:, 0]
    margins = [float(np.diff(np.sort(row)[-2:])[0]) if len(row) > 1 else np.nan for row in rows]
    return np.array(margins, dtype=np.float64)


def losses_by_category(
    pairs: Pairs, column: str = "group", *, fewest: int = 1, most: int | None = None
) -> list[CategoryLoss]:
    """Return the loss in each category, the largest first.

    Args:
        pairs: the pairs of one task.
        column: a column of the items: `group` (subject, article, relation) or any other that the task
            keeps. Numbers of many different values (popularity) are cut into four bands of equally many
            items.
        fewest: items that a category must have to be tested and listed.
        most: categories to list; all of them when left out. p-values are adjusted for all that were tested.

    Raises:
        InputError: there is no such column, or it is empty.
    """
    if column not in pairs.reference_items or pairs.reference_items[column].isna().all():
        filled = [str(name) for name in pairs.reference_items if pairs.reference_items[name].notna().any()]
        raise InputError(f"{pairs.task} keeps no categories in '{column}'. {nearest(column, filled)}")
    whole = pairs.sample
    codes, names = pd.factorize(_bands(pairs.reference_items[column]), sort=True)
    sizes = np.bincount(codes)
    tested = np.flatnonzero(sizes >= fewest)
    sign = 1 if whole.higher_is_better else -1
    weights = np.ones(whole.n) if whole.weights is None else whole.weights
    gains = np.bincount(codes, weights * (whole.b - whole.a)) / np.bincount(codes, weights)

    def sample(code: int) -> PairedSample:
        at = np.flatnonzero(codes == code)
        return PairedSample(
            whole.a[at],
            whole.b[at],
            weights=None if whole.weights is None else whole.weights[at],
            perplexity=whole.perplexity,
            higher_is_better=whole.higher_is_better,
        )

    if whole.is_binary:
        lost, gained = (np.bincount(codes, side)[tested] for side in (whole.a > whole.b, whole.a < whole.b))
        p_values = mcnemar(lost, gained).tolist()
    else:
        tests = [difference_test(sample(code))[0] for code in tested.tolist()]
        p_values = [1.0 if p is None else p for p in tests]
    adjusted = adjust(p_values, "benjamini-hochberg")
    order = np.argsort(sign * gains[tested], kind="stable")[:most]
    records = []
    for index in order:
        one = sample(int(tested[index]))
        records.append(
            CategoryLoss(
                category=str(names[tested[index]]),
                n=one.n,
                delta=one.delta,
                knowledge_loss=loss_rate(one),
                p_value=p_values[index],
                p_fdr=adjusted[index],
            )
        )
    return records


def _bands(values: pd.Series) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 5 * _BANDS:
        return values.astype("string").fillna("(none)")
    bands = pd.qcut(values, _BANDS, duplicates="drop", precision=3)
    return bands.map(lambda band: f"{band.left:g} to {band.right:g}").astype("string").fillna("(none)")
