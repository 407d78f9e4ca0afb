from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kick.comparison import compare, load_pairs
from kick.errors import InputError
from kick.store import Store
from tests.results import PERPLEXITY, binary_task, write_pair, write_scores

SCORES = [1.0, 0.0, 1.0, 1.0]


def one_side_as(path: Path, rows: int | None = None, **changes: object) -> Store:
    """Two checkpoints with the same scores; the second was scored under other conditions."""
    store = write_pair(path, SCORES, SCORES)
    frame = pd.DataFrame({"em": SCORES[:rows]})
    write_scores(store, "small", binary_task(), frame, **changes)  # type: ignore[arg-type]
    return store


def refusal(store: Store, task: str = "facts") -> str:
    with pytest.raises(InputError) as caught:
        compare(store, "dense", "small", task)
    return str(caught.value)


def test_another_plan_is_refused_with_what_differs(tmp_path: Path) -> None:
    store = one_side_as(tmp_path, plan={"hash": "beef", "shots": 5, "task_config": "cafe"})
    message = refusal(store)
    assert "'small' cannot be compared with 'dense' on facts" in message
    assert "plan hash: " in message
    assert "| beef" in message
    assert "shots: 0 | 5" in message
    assert "| cafe" in message
    assert "documents" not in message  # they are the same


def test_another_tokenizer_is_compared_by_the_texts_and_said_so(tmp_path: Path) -> None:
    found = compare(
        one_side_as(tmp_path, plan={"hash": "beef"}, tokenizer="another"), "dense", "small", "facts"
    )
    assert found.n == 4
    assert found.caveats[0].startswith(
        "The tokenizers differ: items are paired by the texts of document and prompt"
    )


@pytest.mark.parametrize(
    "change",
    [{"task_config": "cafe"}, {"documents": "cafe"}, {"shots": 5}, {"limit": 9}, {"seed": 9}, {"items": 9}],
)
def test_another_tokenizer_with_any_other_difference_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    message = refusal(one_side_as(tmp_path, plan={"hash": "beef", **change}, tokenizer="another"))
    assert "plan hash" in message
    assert "tokenizer: " in message
    assert "| another" in message


def test_another_plan_of_the_same_tokenizer_is_refused(tmp_path: Path) -> None:
    assert "plan hash" in refusal(one_side_as(tmp_path, plan={"hash": "beef"}))


def test_windows_of_another_tokenizer_are_refused_and_pages_are_named(tmp_path: Path) -> None:
    windows = pd.DataFrame({"nll": np.full(20, 3.0), "units": np.full(20, 99)})
    store = write_pair(tmp_path, SCORES, SCORES)
    write_scores(store, "dense", PERPLEXITY, windows)
    hashes = [f"other {number}" for number in range(20)]
    tokens = windows.assign(doc_hash=hashes, prompt_hash=hashes)
    same = {"documents": store.cell("dense", PERPLEXITY.name).identity.plan.documents}  # type: ignore[union-attr]
    write_scores(store, "small", PERPLEXITY, tokens, plan=same, tokenizer="another")
    message = refusal(store, PERPLEXITY.name)
    assert "they share no item" in message
    assert "as wikitext2_words" in message


def test_another_limit_is_refused(tmp_path: Path) -> None:
    message = refusal(one_side_as(tmp_path, rows=3))
    assert "limit: 4 | 3" in message
    assert "items: 4 | 3" in message


@pytest.mark.parametrize(
    ("field", "given", "shown"),
    [
        ("dtype", "float32", "dtype: bfloat16 | float32"),
        ("device", "cuda", "device: cpu | cuda"),
        ("tier", "plain-forward/512", "scoring tier: fast | plain-forward/512"),
    ],
)
def test_another_way_of_scoring_is_refused(tmp_path: Path, field: str, given: str, shown: str) -> None:
    assert shown in refusal(one_side_as(tmp_path, **{field: given}))


def test_a_missing_task_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    assert "task 'fact' of 'dense' is missing" in refusal(store, "fact")
    assert "Did you mean 'facts'?" in refusal(store, "fact")


def test_an_unknown_checkpoint_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    with pytest.raises(InputError, match=r"'smal' was not scored in .* Did you mean 'small'"):
        compare(store, "dense", "smal", "facts")


def test_a_cell_that_was_not_finished_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    cell = store.cell("small", "facts")
    assert cell is not None
    (store.cell_dir("small", "facts", cell.key) / "cell.json").unlink()
    assert "task 'facts' of 'small' was not finished" in refusal(store)


def test_a_damaged_cell_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    cell = store.cell("small", "facts")
    assert cell is not None
    path = store.cell_dir("small", "facts", cell.key) / "items.parquet"
    items = pd.read_parquet(path)
    items["em"] = 1.0
    items.to_parquet(path)
    assert "its SHA-256 differs" in refusal(store)


def test_no_shared_item_is_refused(tmp_path: Path) -> None:
    same_plan = {"plan": {"hash": "same"}}
    store = write_pair(tmp_path, SCORES, SCORES)
    for checkpoint, first in (("dense", 0), ("small", 100)):
        frame = pd.DataFrame({"em": SCORES, "doc_id": range(first, first + 4)})
        write_scores(store, checkpoint, binary_task(), frame, **same_plan)  # type: ignore[arg-type]
    assert "they share no item: 4 and 4 items" in refusal(store)


def test_another_target_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    frame = pd.DataFrame({"em": SCORES, "target_hash": ["x", "y", "z", "w"]})
    write_scores(store, "small", binary_task(), frame)
    assert "the targets of 4 of 4 items differ" in refusal(store)


def test_an_unknown_metric_is_refused(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    with pytest.raises(InputError, match="facts has no metric 'me'"):
        load_pairs(store, "dense", "small", "facts", "me")


def test_a_score_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    message = refusal(write_pair(tmp_path, SCORES, [1.0, np.nan, 0.0, 1.0]))
    assert "small on facts: em of 1 of 4 items is not a number" in message


def test_items_are_paired_by_document_and_prompt_whatever_their_order(tmp_path: Path) -> None:
    store = write_pair(tmp_path, [1, 0, 1, 1], [1, 0, 1, 1])
    frame = pd.DataFrame({"em": [1.0, 1.0, 0.0, 1.0], "doc_id": [3, 2, 1, 0]})
    plan = store.cell("dense", "facts").identity.plan.model_dump()  # type: ignore[union-attr]
    write_scores(store, "small", binary_task(), frame, plan=plan)
    pairs = load_pairs(store, "dense", "small", "facts")
    assert pairs.sample.a.tolist() == pairs.sample.b.tolist() == [1, 0, 1, 1]


def test_a_document_that_occurs_twice_is_paired_once_each(tmp_path: Path) -> None:
    store = write_pair(tmp_path, [1, 0], [1, 0])
    for checkpoint, ids, em in (("dense", [7, 7, 8], [1.0, 0, 0]), ("small", [8, 7, 7], [0.0, 1, 0])):
        frame = pd.DataFrame({"em": em, "doc_id": ids})
        write_scores(store, checkpoint, binary_task(), frame, plan={"hash": "same"})
    pairs = load_pairs(store, "dense", "small", "facts")
    assert len(pairs.sample.a) == 3
    assert pairs.sample.a.tolist() == pairs.sample.b.tolist()


def test_items_that_one_side_lacks_are_counted_and_named(tmp_path: Path) -> None:
    store = write_pair(tmp_path, SCORES, SCORES)
    frame = pd.DataFrame({"em": SCORES[:3]})
    plan = store.cell("dense", "facts").identity.plan.model_dump()  # type: ignore[union-attr]
    write_scores(store, "small", binary_task(), frame, plan=plan)
    comparison = compare(store, "dense", "small", "facts")
    assert (comparison.n, comparison.unpaired) == (3, 1)
    assert any("only one of the two has them: items, 1" in caveat for caveat in comparison.caveats)


def test_other_versions_are_a_caveat_and_no_refusal(tmp_path: Path) -> None:
    comparison = compare(one_side_as(tmp_path, versions={"torch": "2.12"}), "dense", "small", "facts")
    assert any("torch 2.13.0 | 2.12" in caveat for caveat in comparison.caveats)


def test_another_attention_implementation_is_a_caveat_and_no_refusal(tmp_path: Path) -> None:
    comparison = compare(one_side_as(tmp_path, attention="eager"), "dense", "small", "facts")
    assert any("which round differently: sdpa | eager" in caveat for caveat in comparison.caveats)


def test_tokenizer_files_that_encode_alike_are_a_caveat_and_no_refusal(tmp_path: Path) -> None:
    comparison = compare(one_side_as(tmp_path, tokenizer="resaved"), "dense", "small", "facts")
    assert any("tokenizer files differ" in caveat for caveat in comparison.caveats)


def test_groups_count_only_where_the_task_declares_them(tmp_path: Path) -> None:
    group = ["a", "a", "b", None]
    plain = compare(write_pair(tmp_path / "1", SCORES, SCORES, group=group), "dense", "small", "facts")
    grouped_task = binary_task(group_by="title")
    store = write_pair(tmp_path / "2", SCORES, SCORES, grouped_task, group=group)
    grouped = compare(store, "dense", "small", "facts")
    assert plain.groups is None
    assert grouped.groups == 3  # an item without a group is its own


def test_windows_of_a_text_are_resampled_in_blocks(tmp_path: Path) -> None:
    nll = np.random.default_rng(0).normal(3, 0.1, 64)
    store = write_pair(tmp_path, nll, nll + 0.1, PERPLEXITY, units=np.full(64, 2047))
    comparison = compare(store, "dense", "small", PERPLEXITY.name)
    assert comparison.metric == "perplexity"
    assert comparison.groups == 8
    assert comparison.ratio is not None
    assert comparison.ratio.value == pytest.approx(np.exp(0.1))
    assert not comparison.higher_is_better


def test_fixed_categories_are_strata_where_all_items_were_asked_and_independent_where_a_limit_drew_them(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(0)
    subject = np.repeat(np.arange(12), 50)
    a = (generator.random(600) < 0.6).astype(float)
    b = np.where(generator.random(600) < 0.02 * subject, 0.0, a)
    group = [f"subject {index}" for index in subject]
    widths = {}
    for name, changes, limit in (
        ("cluster", {}, None),
        ("strata", {"grouping": "strata"}, None),
        ("drawn", {"grouping": "strata"}, 600),
    ):
        task = binary_task(group_by="subject", **changes)
        store = write_pair(tmp_path / name, a, b, task, group=group)
        for checkpoint, scores in (("dense", a), ("small", b)):
            frame = pd.DataFrame({"em": scores, "group": group})
            write_scores(store, checkpoint, task, frame, plan={"limit": limit})
        comparison = compare(store, "dense", "small", "facts")
        widths[name] = comparison.delta.high - comparison.delta.low
        assert ("strata" in comparison.delta.method) == (name == "strata")
        assert (comparison.groups is None) == (name != "cluster")
    assert widths["strata"] < widths["drawn"] < 0.7 * widths["cluster"]
