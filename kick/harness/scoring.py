"""The work of a task: the lm-eval task renders and scores, an engine answers in between.

This is the loop of `lm_eval.evaluate` for one task: responses are put next to the requests that they answer, the task's
own filters and its own `process_results` make scores of them. Every filter gives all metrics; those of the first keep
their names, those of a further one are called `<metric>,<filter>`, as in lm-eval's results.
"""

import copy
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from lm_eval.api.instance import Instance
from lm_eval.utils import handle_non_serializable, hash_string

from kick.engines.base import Completion, Engine, LogLikelihood, Progress, Request, Response, Score
from kick.engines.stops import before_stop, has_stop
from kick.engines.torch import batches
from kick.errors import InputError
from kick.harness.encoding import Encoder
from kick.harness.entailment import ENTAILED
from kick.harness.floors import passage
from kick.harness.plan import Plan, PlannedItem
from kick.harness.tasks import LoadedTask
from kick.harness.thinking import CUT_OFF, THOUGHT_TOKENS, Thinking, Thought
from kick.harness.work import RightAnswers
from kick.metrics.calibration import calibration_columns, probabilities
from kick.store import Journal
from kick.types import BatchSize, Floors, PlanInfo, Skipped, TaskInfo, Tier


@dataclass(frozen=True)
class TaskWork:
    """A task of lm-eval, planned for one tokenizer."""

    loaded: LoadedTask
    plan: Plan
    encoder: Encoder

    window: int | None
    """The number of tokens that fit the model; None if any do."""

    notes: tuple[str, ...] = ()
    floors: Floors | None = None
    undiverged: str | None = None
    thinking: Thinking | None = None
    """How the model marks its thoughts; None: all of a response is its answer."""

    @cached_property
    def task(self) -> TaskInfo:
        """The task; where answers are generated after thoughts, with the metrics of these."""
        info = self.loaded.info
        if self.thinking is None or info.kind != "generation":
            return info
        return info.model_copy(update={"metrics": (*info.metrics, THOUGHT_TOKENS, CUT_OFF)})

    @property
    def info(self) -> PlanInfo:
        """The facts that make its scores comparable."""
        return self.plan.info

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The items that do not fit the model's window."""
        return self.plan.skipped

    @property
    def available(self) -> int:
        """The number of items of the task, drawn or not."""
        return len(self.loaded.task.eval_docs)

    @property
    def steps(self) -> int:
        """The number of requests."""
        return len(self._requests)

    @cached_property
    def _requests(self) -> tuple[Request, ...]:
        return self.plan.requests

    def answer(self, engine: Engine, journal: Journal | None, progress: Progress | None) -> list[Response]:
        """Let an engine answer all requests."""
        return engine.answer(self._requests, journal, progress)

    def score(self, responses: Sequence[Response]) -> pd.DataFrame:
        """Return one row per item.

        An item with a log-likelihood that is not a number scores 0 in every metric: it answers nothing.

        Raises:
            InputError: `process_results` does not give a metric of the task's `metric_list`.
        """
        answered = [*self._answered(responses)]
        task = self.loaded.task
        task._instances = [instance for item in answered for instance in item.instances]
        task.apply_filters()
        return pd.DataFrame([self._row(item) for item in answered])

    def scores(self, items: pd.DataFrame) -> dict[str, float]:
        """Return the mean of every metric over the items."""
        return {metric: float(items[metric].mean()) for metric in self.task.metrics}

    def right_answers(self) -> RightAnswers:
        """Return the right answer of every item after its prompt: the first one if there are several.

        Raises:
            InputError: the task's answers are not texts.
        """
        return RightAnswers(self._right_answers, alone=False, are_all=False)

    def batched_alike(self, one: BatchSize, other: BatchSize, tier: Tier) -> bool:
        """Return whether two sizes cut the requests into the same batches."""
        return [*batches(self._requests, one, tier)] == [*batches(self._requests, other, tier)]

    @cached_property
    def _right_answers(self) -> tuple[Score, ...]:
        return tuple(self._right_answer(item) for item in self.plan.items)

    def _right_answer(self, item: PlannedItem) -> Score:
        first, task = item.instances[0], self.loaded.task
        target = task.doc_to_target(first.doc)
        if first.request_type != "generate_until":
            text = item.instances[target if len(item.instances) > 1 else 0].args[1]
        else:
            answer = target[0] if isinstance(target, list) and target else target
            if not isinstance(answer, str):
                raise InputError(
                    f"{self.task.name}: its answers are not texts, so there are no tokens to predict. "
                    "Leave the task out, or set divergence: false."
                )
            # The turn of the assistant is open: nothing comes between it and the answer.
            delimiter = "" if self.info.chat else task.config.target_delimiter
            text = f"{delimiter}{answer}"
        score = self.encoder.score(first.args[0], text)
        most = len(score.continuation)
        if self.window is not None:
            most = max(1, self.window - len(score.context))
        return Score(score.context, score.continuation[:most])

    def _row(self, item: "_AnsweredItem") -> dict[str, Any]:
        doc, task, group_by = item.instances[0].doc, self.loaded.task, self.task.group_by
        target = task.doc_to_target(doc)
        completions = [response for response in item.responses if isinstance(response, Completion)]
        values = [response.value for response in item.responses if isinstance(response, LogLikelihood)]
        metrics = self._metrics(item)
        if any(math.isnan(value) for value in values):
            metrics = dict.fromkeys(metrics, 0.0)
        document = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
        return {
            "doc_id": item.doc_id,
            "doc_hash": hash_string(document),
            "prompt_hash": hash_string(item.instances[0].arguments[0]),
            "target_hash": hash_string(str(target)),
            "group": str(doc[group_by]) if group_by else str(item.doc_id),
            "prompt": item.instances[0].args[0],
            "target": self._target(doc, target),
            "response": completions[0].text if completions else "",
            "cut": any(completion.cut for completion in completions),
            "choice_logprobs": values,
            **({"thought": item.thoughts[0].text} if item.thoughts else {}),
            **self._choice_columns(doc, target, values),
            **metrics,
        }

    def _choice_columns(
        self, doc: Mapping[str, Any], target: object, values: Sequence[float]
    ) -> dict[str, float]:
        """Return the columns of a choice from the log-likelihoods of the choices; none for other tasks.

        They are the probability of the right ones, and where one alone is right, those of `calibration_columns`.
        """
        if self.task.kind != "choice":
            return {}
        choices = list(self.loaded.task.doc_to_choice(doc))
        targets: list[Any] = target if isinstance(target, list) else [target]
        right = [choices.index(one) if isinstance(one, str) else int(one) for one in targets]
        # Mutual information asks for each choice once more, without its prompt.
        likelihoods = values[: len(choices)]
        spread = probabilities(likelihoods)
        # A model that gives no choice a probability has none for the right one.
        told = any(map(math.isfinite, likelihoods))
        columns = {"right_probability": sum(spread[one] for one in right) if told else 0.0}
        return columns | (calibration_columns(likelihoods, right[0]) if len(right) == 1 else {})

    def _answered(self, responses: Sequence[Response]) -> Iterator["_AnsweredItem"]:
        """Put responses into copies of the instances that they answer: a plan serves many checkpoints."""
        waiting = iter(responses)
        for item in self.plan.items:
            instances, answers, thoughts = [], [], []
            for planned in item.instances:
                own = [next(waiting) for _ in range(planned.repeats or 1)]
                if self.thinking and planned.request_type == "generate_until":
                    split = [self._split(planned, response) for response in own]
                    own = [answer for answer, _ in split]
                    thoughts += [thought for _, thought in split]
                instance = copy.copy(planned)
                instance.resps = [_as_lm_eval(response) for response in own]
                instance.filtered_resps = {}
                instances.append(instance)
                answers += own
            yield _AnsweredItem(item.doc_id, tuple(instances), tuple(answers), tuple(thoughts))

    def _split(self, instance: Instance, response: Response) -> tuple[Completion, Thought]:
        """Return the answer of a completion, ended by the task's stop strings and budget, and the thoughts before."""
        assert self.thinking is not None
        assert isinstance(response, Completion)
        prompt, settings = instance.args
        thought = self.thinking.split(prompt, response.text)
        stop, budget = self.encoder.ends(settings)
        answer = before_stop(thought.answer, stop)
        ended = has_stop(thought.answer, stop) or not response.cut
        tokens = self.encoder.encode(answer, False)
        if len(tokens) > budget:
            answer, ended = self.encoder.tokenizer.decode(tokens[:budget]), False
        return Completion(answer, cut=not ended), thought

    def _metrics(self, item: "_AnsweredItem") -> dict[str, float]:
        """Return the value of every metric by every filter."""
        instances = sorted(item.instances, key=lambda instance: instance.idx)
        metrics: dict[str, float] = {}
        for place, name in enumerate(instances[0].filtered_resps):
            results = [instance.filtered_resps[name] for instance in instances]
            values = self.loaded.task.process_results(instances[0].doc, results)
            suffix = f",{name}" if place else ""
            metrics |= {f"{metric}{suffix}": value for metric, value in values.items()}
        if self.loaded.entailment is not None:
            article, summary = passage(instances[0].doc), _as_text(item.responses[0])
            metrics[ENTAILED] = self.loaded.entailment.share_entailed(article, summary)
        if item.thoughts:
            lengths = [len(self.encoder.encode(thought.text, False)) for thought in item.thoughts]
            metrics[THOUGHT_TOKENS] = sum(lengths) / len(lengths)
            metrics[CUT_OFF] = sum(thought.cut_off for thought in item.thoughts) / len(item.thoughts)
        missing = [metric for metric in self.task.metrics if metric not in metrics]
        if missing:
            raise InputError(
                f"{self.task.name}: metric_list names {missing}, but its process_results gives {sorted(metrics)}. "
                "Name metrics that it gives."
            )
        return {metric: float(metrics[metric]) for metric in self.task.metrics}

    def _target(self, doc: Mapping[str, Any], target: object) -> str:
        """Return the expected answer as a reader wants to see it; alternatives are separated by ` | `."""
        task = self.loaded.task
        if task.config.doc_to_choice is not None and isinstance(target, int):
            return str(task.doc_to_choice(doc)[target])
        return " | ".join(str(part) for part in target) if isinstance(target, list) else str(target)


@dataclass(frozen=True)
class _AnsweredItem:
    """An item with its responses, which are in its instances, too."""

    doc_id: int
    instances: tuple[Instance, ...]
    responses: tuple[Response, ...]
    thoughts: tuple[Thought, ...] = ()
    """The thoughts before each response, if the model is asked to think."""


def _as_text(response: Response) -> str:
    return response.text if isinstance(response, Completion) else ""


def _as_lm_eval(response: Response) -> tuple[float, bool] | str:
    """Return a response as lm-eval's model classes give it."""
    return response.text if isinstance(response, Completion) else dataclasses.astuple(response)
