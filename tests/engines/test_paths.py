"""Where sequences are cut: alike for all that share a beginning, and never behind the first logits that are needed."""

from hypothesis import given
from hypothesis import strategies as st

from kick.engines.base import Score
from kick.engines.paths import MIN_SHARED, common_length, cuts, distinct_paths

HEADERS = st.sampled_from([(), tuple(range(40)), tuple(range(90)), tuple(range(60, 100))])
TAILS = st.lists(st.integers(0, 2), min_size=1, max_size=50).map(tuple)
CHOICES = st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple)
SCORES = st.lists(
    st.builds(lambda header, tail, choice: Score(header + tail, choice), HEADERS, TAILS, CHOICES), min_size=1
)


@given(SCORES)
def test_what_is_computed_up_to_a_cut_is_the_same_whichever_sequence_comes_first(scores: list[Score]) -> None:
    paths = distinct_paths(dict(enumerate(scores)))
    depths = [*cuts(paths)]
    assert len(depths) == len(paths)
    for path, own in zip(paths, depths, strict=True):
        assert all(depth <= path.context for depth in own)
        assert all(b - a >= MIN_SHARED for a, b in zip((0, *own), own, strict=False))
    for one, first in zip(paths, depths, strict=True):
        for other, second in zip(paths, depths, strict=True):
            shared = common_length(one.tokens, other.tokens)
            inside = [depth for depth in first if depth <= shared]
            # Cuts are equal up to where the shorter list of those within the shared tokens ends.
            both = min(len(inside), len([depth for depth in second if depth <= shared]))
            assert first[:both] == second[:both]


def test_choices_behind_a_shared_context_are_cut_where_the_first_of_them_is_predicted() -> None:
    context = tuple(range(50))
    paths = distinct_paths({0: Score(context, (7, 8)), 1: Score(context, (9, 9)), 2: Score((1, 2), (3,))})
    assert [*cuts(paths)] == [(49,), (49,), ()]
