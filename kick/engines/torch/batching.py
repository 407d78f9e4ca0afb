"""Batches of scored requests: what they share is computed once.

Requests are token sequences that share beginnings: the few-shot header of a task, the passage of a document, the
context of an item's choices. A `Row` is a tree of such sequences, written one branch after the other; a `ScoreBatch` is
a few rows behind a prefix whose keys and values are computed once for all of them. Everything here is a function of
the requests, the size and the tier alone, so a run that was interrupted cuts the same batches as one that was not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapreplace
from itertools import pairwise

import numpy as np

from kick.engines.base import Score
from kick.engines.paths import MIN_SHARED, Counts, Path, distinct_paths, shared_lengths
from kick.types import BatchSize, Tier

# Tokens in a row of small trees side by side: the wider, the more attention is wasted.
WIDTH = 320
# A row may be wider by this share if less is padded then.
SLACK = 0.25
# Small trees that are packed together: trying rows for all of a long task would take a minute.
TOGETHER = 256
# A position of a prefix takes this much less of a batch's budget than a token.
PREFIX_WEIGHT = 4

Paths = Sequence[Path]
# Consecutive paths, from the first to before the last.
Run = tuple[int, int]


@dataclass(frozen=True)
class Branch:
    """Consecutive tokens of a row, which begin at `start` and follow the token at `parent`, or the prefix (-1)."""

    start: int
    parent: int


@dataclass(frozen=True)
class Answer:
    """The place of a request in a row: the logits at `nodes` predict its continuation."""

    position: int
    """The position of the request in the plan."""

    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A tree of tokens, one branch after the other."""

    tokens: tuple[int, ...]
    depths: tuple[int, ...]
    """The depth of each token, 0 right after the prefix."""

    branches: tuple[Branch, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class ScoreBatch:
    """Rows that go through the model together, behind a prefix that they share (it may be empty)."""

    prefix: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def positions(self) -> list[int]:
        """The positions of all requests in the plan."""
        return [answer.position for row in self.rows for answer in row.answers]


def score_batches(
    requests: Mapping[int, Score], size: BatchSize, tier: Tier, width: int = WIDTH
) -> Iterator[ScoreBatch]:
    """Cut requests, given by their position in the plan, into batches, longest first.

    Args:
        requests: what to score. Requests with the same input take one path: equal ones, and choices of one token.
        size: the budget of a batch in padded tokens; at least one row goes through, however long it is.
        tier: `tree` shares whatever is shared, `prefix` shares prefixes alone, `plain` nothing but equal inputs.
        width: the approximate number of tokens per row of small trees.
    """
    if not requests:
        return
    paths = distinct_paths(requests)
    shared = shared_lengths(paths)
    width = min(width, size.tokens) if tier == "tree" else 0
    widest = min(width + int(SLACK * width), size.tokens)
    groups = (
        {(): [(i, i + 1) for i in range(len(paths))]} if tier == "plain" else _groups(paths, shared, width)
    )
    built = [
        (prefix, _rows(paths, shared, runs, len(prefix), width, widest)) for prefix, runs in groups.items()
    ]
    built.sort(key=lambda group: -len(group[0]) - len(group[1][0].tokens))
    for prefix, rows in built:
        start = 0
        while start < len(rows):
            length = len(rows[start].tokens)
            most = min(size.tokens // length, PREFIX_WEIGHT * size.tokens // (len(prefix) + length))
            yield ScoreBatch(prefix, tuple(rows[start : start + max(1, most)]))
            start += max(1, most)


def shared_prefixes(prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the number of first tokens of each prompt that are worth computing once for all that share them."""
    paths = distinct_paths({index: Score(prompt, (0,)) for index, prompt in enumerate(prompts)})
    lengths = [0] * len(prompts)
    for prefix, runs in _groups(paths, shared_lengths(paths), width=0).items():
        for first, _ in runs:
            for index, _ in paths[first].requests:
                lengths[index] = len(prefix)
    return lengths


def straight(tokens: Sequence[int]) -> Row:
    """Return a row of one branch without requests."""
    return Row(tuple(tokens), tuple(range(len(tokens))), (Branch(0, -1),), ())


def padded_tokens(rows: Sequence[Row]) -> int:
    """Return the number of tokens of some rows with their padding."""
    return len(rows) * max(len(row.tokens) for row in rows)


def _groups(paths: Paths, shared: Counts, width: int) -> dict[tuple[int, ...], list[Run]]:
    """Return the prefixes that are worth computing apart, each with the runs of paths behind it.

    A run goes through as one tree. It is split where its paths part until what follows its common beginning fits
    `width` tokens (0: one path per run); the beginning becomes a prefix where more tokens are saved than it costs.
    """
    # The tokens that each path adds to those before it.
    own = np.array([len(path.tokens) for path in paths]) - shared
    groups: dict[tuple[int, ...], list[Run]] = {}
    # The first path, the one after the last, and the length of their prefix.
    waiting = [(0, len(paths), 0)]
    while waiting:
        first, last, depth = waiting.pop()
        prefix = paths[first].tokens[:depth]
        if last - first == 1:
            groups.setdefault(prefix, []).append((first, last))
            continue
        inner = shared[first + 1 : last]
        parting = int(inner.min())
        common = min(parting, min(path.context for path in paths[first:last]))
        below = len(paths[first].tokens) + int(own[first + 1 : last].sum()) - common
        if below <= width:
            groups.setdefault(prefix, []).append((first, last))
            continue
        rows = -(-below // width) if width else last - first
        if common - depth >= MIN_SHARED and rows * (common - depth) > common:
            depth = common
        cuts = [first, *(first + 1 + np.flatnonzero(inner == parting)).tolist(), last]
        waiting += [(a, b, depth) for a, b in pairwise(cuts)]
    return groups


def _rows(
    paths: Paths, shared: Counts, runs: Sequence[Run], depth: int, width: int, widest: int
) -> list[Row]:
    """Return runs as rows, the longest first; small ones share a row of about `width` tokens, `widest` at most."""
    sizes = {
        run: len(paths[run[0]].tokens)
        - depth
        + sum(len(paths[i].tokens) - int(shared[i]) for i in range(run[0] + 1, run[1]))
        for run in runs
    }
    rows = [_row(paths, shared, together, depth) for together in _packed(sizes, width, widest)]
    return sorted(rows, key=lambda row: -len(row.tokens))


def _packed(sizes: Mapping[Run, int], width: int, widest: int) -> list[list[Run]]:
    """Return runs in rows of about `width` tokens: so many rows that all become equally long, and little is padded."""
    order = sorted(sizes, key=lambda run: (-sizes[run], run))
    alone = [[run] for run in order if sizes[run] >= width]
    small = order[len(alone) :]
    parts = [small[start : start + TOGETHER] for start in range(0, len(small), TOGETHER)]
    return alone + [row for part in parts for row in _least_padded(sizes, part, width, widest)]


def _least_padded(sizes: Mapping[Run, int], runs: Sequence[Run], width: int, widest: int) -> list[list[Run]]:
    """Return runs in the number of rows that pads least."""
    # The padded tokens of the best rows, and the rows.
    best: tuple[int, list[list[Run]]] | None = None
    for count in range(-(-sum(sizes[run] for run in runs) // widest), len(runs) + 1):
        rows, longest = _balanced(sizes, runs, count)
        if longest <= widest and (best is None or count * longest < best[0]):
            best = count * longest, rows
        if longest <= width:
            break
    assert best is not None
    return best[1]


def _balanced(sizes: Mapping[Run, int], order: Sequence[Run], count: int) -> tuple[list[list[Run]], int]:
    """Return runs in `count` rows, each in the row that is shortest so far, and the length of the longest row."""
    # A heap, by length.
    rows: list[tuple[int, int, list[Run]]] = [(0, row, []) for row in range(count)]
    for run in order:
        length, row, runs = rows[0]
        heapreplace(rows, (length + sizes[run], row, [*runs, run]))
    return [runs for _, _, runs in rows], max(length for length, _, _ in rows)


def _row(paths: Paths, shared: Counts, runs: Sequence[Run], depth: int) -> Row:
    tokens: list[int] = []
    depths: list[int] = []
    branches: list[Branch] = []
    answers: list[Answer] = []
    for first, last in runs:
        # The node of each token of the current path behind the prefix.
        trail: list[int] = []
        for index in range(first, last):
            path = paths[index]
            kept = int(shared[index]) - depth if index > first else 0
            fresh = path.tokens[depth + kept :]
            branches.append(Branch(len(tokens), trail[kept - 1] if kept else -1))
            trail = [*trail[:kept], *range(len(tokens), len(tokens) + len(fresh))]
            tokens += fresh
            depths += range(kept, kept + len(fresh))
            for position, request in path.requests:
                nodes = trail[len(request.context) - 1 - depth : request.length - depth]
                answers.append(Answer(position, tuple(nodes)))
    return Row(tuple(tokens), tuple(depths), tuple(branches), tuple(answers))
