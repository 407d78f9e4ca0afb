"""The work of one cell, whatever its kind: what an engine is asked, and how its responses become items and scores.

A cell is a task, a text cut into windows, or the pages of a text. Each kind implements `Work` in a module of its own;
`score_cell` is all that happens to any of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from kick.engines.base import (
    DamagedStatesError,
    Engine,
    LogLikelihood,
    Progress,
    Response,
    Score,
    TokenScores,
)
from kick.errors import InputError
from kick.harness.divergence import columns, likelihoods, summarise
from kick.store import Journal
from kick.types import BatchSize, Divergence, Floors, PlanInfo, Skipped, TaskInfo, Tier


class Work(Protocol):
    """The work for one cell, planned for one tokenizer."""

    @property
    def task(self) -> TaskInfo:
        """The task."""

    @property
    def info(self) -> PlanInfo:
        """The facts that make its scores comparable."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The items that are left out."""

    @property
    def available(self) -> int | None:
        """The number of items that the draw was made from; None for a text."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts about the data that a reader of the scores should know, one sentence each."""

    @property
    def floors(self) -> Floors | None:
        """The scores of answerers without knowledge on its items; None if they are not defined."""

    @property
    def steps(self) -> int:
        """The number of requests, which progress counts."""

    @property
    def undiverged(self) -> str | None:
        """The reason why no divergence from a reference is measured; None if it can be."""

    def answer(self, engine: Engine, journal: Journal | None, progress: Progress | None) -> list[Response]:
        """Let an engine answer all requests."""

    def score(self, responses: Sequence[Response]) -> pd.DataFrame:
        """Return one row per item: the columns of `kick.store.ITEM_COLUMNS` and the metrics."""

    def scores(self, items: pd.DataFrame) -> dict[str, float]:
        """Return the scores of items, by metric."""

    def right_answers(self) -> "RightAnswers":
        """Return the continuations that divergence from a reference is measured on, one per item.

        Raises:
            InputError: the task's answers are not texts.
        """

    def batched_alike(self, one: BatchSize, other: BatchSize, tier: Tier) -> bool:
        """Return whether two sizes cut the requests into the same batches."""


@dataclass(frozen=True)
class RightAnswers:
    """Continuations whose tokens a model predicts one by one."""

    requests: tuple[Score, ...]

    alone: bool
    """True if each is run by a forward of its own tokens."""

    are_all: bool
    """True if they are the requests of the work itself, so the scores of their tokens answer it."""


@dataclass(frozen=True)
class Journals:
    """The journals of a cell's responses and of the scores of its tokens, kept until it is finished."""

    responses: Journal
    tokens: Journal


@dataclass(frozen=True)
class KeptStates:
    """The states that a reference keeps for the tokens of one task, for the divergence of candidates."""

    path: Path

    reference: str
    """The id of the reference."""

    own: bool
    """True if the checkpoint that is scored is the reference, and keeps them."""


@dataclass(frozen=True)
class Scored:
    """A checkpoint's items of one cell."""

    items: pd.DataFrame
    divergence: Divergence | None


def score_cell(
    engine: Engine, work: Work, journals: Journals, progress: Progress, states: KeptStates | None = None
) -> Scored:
    """Let an engine answer the requests of a cell and score its responses.

    Args:
        engine: the engine of the checkpoint.
        work: the work of the cell.
        journals: what an interrupted run has left, and where responses go.
        progress: called with the number of requests that were answered since the last call.
        states: what the reference keeps, if divergence is measured.

    Raises:
        InputError: divergence from the reference cannot be measured.
    """
    if states is None:
        return Scored(work.score(work.answer(engine, journals.responses, progress)), None)
    answers = work.right_answers()
    tokens = _predict(engine, answers, journals.tokens, states)
    if answers.are_all:
        responses: Sequence[Response] = [_summed(token_scores) for token_scores in tokens]
        progress(work.steps)
    else:
        responses = work.answer(engine, journals.responses, progress)
    items = work.score(responses)
    if states.own:
        return Scored(items, None)
    measured = columns(tokens) if answers.are_all else {**columns(tokens), **likelihoods(tokens)}
    return Scored(items.assign(**measured), summarise(tokens, states.reference))


def _predict(
    engine: Engine, answers: RightAnswers, journal: Journal, states: KeptStates
) -> list[TokenScores]:
    try:
        return engine.predict_tokens(
            answers.requests,
            journal,
            keep=states.path if states.own else None,
            reference_states=None if states.own else states.path,
            alone=answers.alone,
        )
    except DamagedStatesError as error:
        raise InputError(
            f"its divergence from {states.reference} cannot be measured: {error}. "
            "Run the suite without --only, so the states are made again first."
        ) from None


def _summed(tokens: TokenScores) -> LogLikelihood:
    """Return the log-likelihood of a continuation whose tokens were scored; whether it is greedy is not known."""
    return LogLikelihood(-float(tokens.nll.sum(dtype="float64")), greedy=False)
