"""Few-shot examples that depend on the question asked."""

from collections.abc import Sequence
from typing import Any

from lm_eval.api.samplers import ContextSampler

from kick.errors import InputError


class SubjectSampler(ContextSampler):  # type: ignore[misc]
    """Draw the first n of the `shots` that a document carries with it.

    lm-eval hands a sampler the document under test only if `fewshot_split` equals `test_split`; a task with this
    sampler says so although its shots come from another split.
    """

    def sample(
        self, n: int, eval_doc: dict[str, Any] | None = None, _df: object = None, **_kwargs: object
    ) -> Sequence[dict[str, Any]]:
        """Return the first n shots of the document under test.

        Raises:
            InputError: lm-eval gave no document, or the document has fewer shots.
        """
        if eval_doc is None:
            raise InputError("SubjectSampler needs `fewshot_split` to equal `test_split` in the task's YAML.")
        shots: list[dict[str, Any]] = eval_doc["shots"]
        if n > len(shots):
            raise InputError(f"{n} shots were requested; this subject has {len(shots)}. Request fewer.")
        return shots[:n]
