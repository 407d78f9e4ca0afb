"""Batches of packed rows: every request is in them once, with its own tokens, and what is shared is there once."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.engines.base import Score
from kick.engines.torch.batching import Row, ScoreBatch, padded_tokens, score_batches, shared_prefixes
from kick.types import BatchSize, Tier

TIERS: tuple[Tier, ...] = ("tree", "prefix", "plain")
HEADER = tuple(range(100, 500))


def cut(
    requests: Sequence[Score], tokens: int = 8192, tier: Tier = "tree", width: int = 512
) -> list[ScoreBatch]:
    size = BatchSize(tokens=tokens, rows=16)
    return list(score_batches(dict(enumerate(requests)), size, tier, width))


def path(row: Row, node: int) -> tuple[int, ...]:
    """The tokens from the end of the prefix to a node."""
    branch = max((branch for branch in row.branches if branch.start <= node), key=lambda branch: branch.start)
    before = path(row, branch.parent) if branch.parent >= 0 else ()
    return (*before, *row.tokens[branch.start : node + 1])


def forwarded(batches: Sequence[ScoreBatch]) -> int:
    """Tokens that go through the model, padding left out."""
    prefixes = {batch.prefix for batch in batches}
    return sum(map(len, prefixes)) + sum(len(row.tokens) for batch in batches for row in batch.rows)


tokens = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)
scores = st.builds(
    lambda header, context, continuation: Score(HEADER[:header] + context, continuation),
    st.sampled_from([0, 40, 90]),
    tokens,
    tokens,
)


@given(st.lists(scores, max_size=30), st.integers(1, 200), st.sampled_from(TIERS), st.integers(1, 60))
def test_every_request_is_predicted_once_from_exactly_its_own_tokens(
    requests: list[Score], budget: int, tier: Tier, width: int
) -> None:
    batches = cut(requests, budget, tier, width)
    assert sorted(p for batch in batches for p in batch.positions) == list(range(len(requests)))
    for batch in batches:
        for row in batch.rows:
            assert [len(path(row, node)) - 1 for node in range(len(row.tokens))] == list(row.depths)
            for answer in row.answers:
                request = requests[answer.position]
                whole = (*request.context, *request.continuation)
                seen = [len(batch.prefix) + len(path(row, node)) for node in answer.nodes]
                assert seen == list(range(len(request.context), len(whole)))
                assert (*batch.prefix, *path(row, answer.nodes[-1])) == whole[:-1]


@given(st.lists(scores, max_size=30), st.integers(1, 200), st.sampled_from(TIERS))
def test_batches_keep_to_their_budget_unless_one_row_exceeds_it(
    requests: list[Score], budget: int, tier: Tier
) -> None:
    for batch in cut(requests, budget, tier):
        one_tree = len(batch.rows) == 1 and sum(one.parent < 0 for one in batch.rows[0].branches) == 1
        assert one_tree or padded_tokens(batch.rows) <= budget


def test_a_header_is_computed_once_and_a_context_once_for_all_its_choices() -> None:
    contexts = [(*HEADER, item, *range(50)) for item in range(2000, 2040)]
    requests = [Score(context, (7, 8, choice)) for context in contexts for choice in range(4)]
    choices = 1 + 1  # tokens after the context: all but the last, the same for all choices
    assert forwarded(cut(requests)) == len(HEADER) + 40 * (51 + choices)
    assert forwarded(cut(requests, tier="prefix")) == len(HEADER) + 40 * (51 + choices)
    assert forwarded(cut(requests, tier="plain")) == 40 * (len(HEADER) + 51 + choices)


def test_choices_that_differ_branch_off_after_their_context() -> None:
    context = (1, *HEADER)
    (batch,) = cut([Score(context, (choice, 8, 9)) for choice in range(4)])
    assert batch.prefix == ()
    (row,) = batch.rows
    assert len(row.tokens) == len(context) + 4 * 2
    assert forwarded(cut([Score(context, (choice,)) for choice in range(4)])) == len(context)


def test_headers_of_subjects_with_few_items_are_kept_in_their_rows() -> None:
    requests = [Score((subject, *HEADER, item), (5,)) for subject in range(10) for item in range(3)]
    batches = cut(requests)
    assert {batch.prefix for batch in batches} == {()}
    assert forwarded(batches) == 10 * (1 + len(HEADER) + 3)


def test_batches_begin_with_the_longest_rows() -> None:
    batches = cut([Score(tuple(range(1000 * n, 1001 * n)), (1,)) for n in range(5, 50)], 100, "plain")
    lengths = [len(row.tokens) for batch in batches for row in batch.rows]
    assert lengths == sorted(lengths, reverse=True)
    assert len(batches) > 1


@given(st.lists(st.integers(20, 60), min_size=40, max_size=80))
def test_small_trees_stand_in_rows_of_about_the_same_length(lengths: list[int]) -> None:
    requests = [Score((*HEADER, 1000 + item, *range(length)), (5,)) for item, length in enumerate(lengths)]
    (batch,) = cut(requests, width=200)
    real = sum(len(row.tokens) for row in batch.rows)
    assert max(len(row.tokens) for row in batch.rows) <= 250
    assert padded_tokens(batch.rows) <= 1.15 * real


@pytest.mark.parametrize("count", [1, 2])
def test_a_prefix_is_worth_computing_when_two_prompts_share_it(count: int) -> None:
    prompts = [(*HEADER, item) for item in range(count)]
    assert shared_prefixes([*prompts, (1, 2)]) == [len(HEADER) if count > 1 else 0] * count + [0]
