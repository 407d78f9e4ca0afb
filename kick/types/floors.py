"""Scores of answerers without knowledge, and signs of a model that answers nothing, as records."""

from kick.types.base import Record


class Floor(Record):
    """The score of one answerer without knowledge."""

    # Who answered, as a phrase: "the question given back".
    answerer: str
    # Its mean over the items, in the units of the task's metric.
    score: float


class Floors(Record):
    """Scores of answerers without knowledge on the items of a task, by its primary metric."""

    task: str
    metric: str
    higher_is_better: bool
    # The number of items that each of them answered.
    items: int
    floors: tuple[Floor, ...]

    @property
    def best(self) -> Floor:
        """The answerer that scores best: a model has to beat it to show knowledge."""
        order = max if self.higher_is_better else min
        return order(self.floors, key=lambda floor: floor.score)


class ResponseSigns(Record):
    """Signs that generated answers are no answers: counts over the responses of a cell, as shares in 0..1."""

    # The number of responses.
    responses: int
    # Responses without a letter or digit.
    empty: float
    # The most common response that is not empty, in normal form; None if all are empty.
    most_common: str | None
    # Responses that equal it.
    most_common_share: float
    # Responses that repeat themselves: a piece of one to eight words, at least three times in a row.
    repetitive: float
