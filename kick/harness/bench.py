"""The tasks of a suite with their data, loaded once: plans for every tokenizer, scores for every checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kick.checkpoints import Loaded
from kick.data.corpora import Corpus, load_corpus
from kick.engines.torch.forward import Forward
from kick.engines.torch.memory import Memory
from kick.engines.torch.tiers import why_not
from kick.errors import InputError
from kick.harness.checks import check_task, rendered, stop_if_unfit
from kick.harness.divergence import States, TokenPass, TokenScores, columns, right_answers, summarise
from kick.harness.model import KickLM, batches
from kick.harness.perplexity import (
    PerplexityPlan,
    TextScorer,
    make_perplexity_plan,
    perplexity_scores,
    score_windows,
)
from kick.harness.plan import Plan, Score, context_window, make_plan
from kick.harness.scoring import mean_scores, score_task
from kick.harness.tasks import LoadedTask, load_tasks
from kick.harness.word_perplexity import RollingPlan, make_rolling_plan, score_pages
from kick.store import Journal
from kick.suite import Suite
from kick.suite.catalog import Catalog
from kick.types import BatchSize, Divergence, PlanInfo, Skipped, TaskInfo, Tier


@dataclass(frozen=True)
class TaskPlan:
    """What will be scored of one task: requests of an lm-eval task, or windows of a corpus."""

    task: TaskInfo
    info: PlanInfo
    skipped: tuple[Skipped, ...]
    steps: int  # what progress counts: requests or windows
    work: tuple[LoadedTask, Plan] | PerplexityPlan
    notes: tuple[str, ...] = ()  # what the checks of its prompts found in the data

    @property
    def has_tokens(self) -> bool:
        """Whether its tokens are predicted one by one, so that divergence can be measured."""
        return not isinstance(self.work, RollingPlan)

    def batched_alike(self, one: BatchSize, other: BatchSize, tier: Tier) -> bool:
        """Whether two sizes cut the plan into the same batches."""
        if isinstance(self.work, PerplexityPlan):
            return self.work.together(one) == self.work.together(other)
        requests = self.work[1].requests
        return [*batches(requests, one, tier)] == [*batches(requests, other, tier)]


@dataclass
class Bench:
    """The tasks and corpora of a suite."""

    tasks: list[LoadedTask]
    corpora: list[Corpus]
    _plans: dict[tuple[str, int | None], dict[str, TaskPlan]] = field(default_factory=dict)
    _memory: Memory = field(default_factory=Memory)

    @classmethod
    def load(
        cls, suite: Suite, names: Sequence[str], catalog: Catalog, data_root: Path | None, tokenizer: Path
    ) -> "Bench":
        """Load the data of the tasks `names` of a suite; `tokenizer` is the folder of its reference's.

        Raises:
            InputError: data are missing.
        """
        tasks = [name for name in names if name in suite.tasks]
        include = [Path(path) for path in suite.include_path]
        datasets = suite.perplexity.datasets if suite.perplexity else ()
        return cls(
            load_tasks(tasks, catalog, include=include, data_root=data_root, tokenizer=tokenizer),
            [load_corpus(name, data_root) for name in datasets if f"perplexity_{name}" in names],
        )

    def plans(
        self,
        tokenizer_fingerprint: str,
        config: PretrainedConfig,
        tokenizer: Callable[[], PreTrainedTokenizerBase],
        suite: Suite,
    ) -> dict[str, TaskPlan]:
        """The plans for a tokenizer, by task name; made once for the checkpoints that share it.

        Raises:
            InputError: the prompts of a task would make its scores wrong (`kick.harness.checks`).
        """
        fits = context_window(config)
        key = (tokenizer_fingerprint, fits)
        if key not in self._plans:
            self._plans[key] = self._make_plans(tokenizer(), fits, suite)
        return self._plans[key]

    def _make_plans(
        self, tokenizer: PreTrainedTokenizerBase, fits: int | None, suite: Suite
    ) -> dict[str, TaskPlan]:
        plans: dict[str, TaskPlan] = {}
        for loaded in self.tasks:
            plan = make_plan(loaded, tokenizer, window=fits, limit=suite.limit, seed=suite.seed)
            drawn = sorted({*plan.doc_ids, *(item.doc_id for item in plan.skipped)})
            check = check_task(loaded, rendered(loaded, loaded.task.instances, drawn), plan.skipped)
            stop_if_unfit(check)
            plans[loaded.info.name] = TaskPlan(
                loaded.info, plan.info, plan.skipped, len(plan.requests), (loaded, plan), check.notes
            )
        for corpus in self.corpora:
            settings = suite.perplexity
            assert settings is not None
            make = make_rolling_plan if corpus.pages else make_perplexity_plan
            windows = make(
                corpus,
                tokenizer,
                window=settings.window,
                windows=settings.windows,
                fits=fits,
                seed=suite.seed,
            )
            plans[windows.task.name] = TaskPlan(windows.task, windows.info, (), len(windows.windows), windows)
        return plans

    def scorer(self, loaded: Loaded, batch: BatchSize, tier: Tier) -> "Scorer":
        """A scorer of a checkpoint by the tier of its suite.

        Raises:
            InputError: the checkpoint is not scored rightly by that tier.
        """
        reason = why_not(loaded, tier)
        if reason is not None:
            raise InputError(
                f"it cannot be scored as its reference is: {reason}. Set `tier: plain` in the suite, so that all "
                "checkpoints are scored by a plain forward."
            )
        return Scorer(loaded, KickLM(loaded, batch, tier, self._memory))


@dataclass(frozen=True)
class KeptStates:
    """The final states of a reference on the tokens of one task."""

    path: Path
    reference: str  # its id
    own: bool  # the checkpoint that is scored is the reference itself, and keeps them


@dataclass(frozen=True)
class Scored:
    """What a checkpoint made of a plan."""

    items: pd.DataFrame
    divergence: Divergence | None


@dataclass(frozen=True)
class Scorer:
    """A loaded checkpoint that answers plans."""

    loaded: Loaded
    lm: KickLM

    def score(
        self,
        plan: TaskPlan,
        journal: Journal,
        progress: Callable[[int], None],
        states: KeptStates | None = None,
    ) -> Scored:
        """The items of a plan, one row each.

        Args:
            plan: what to score.
            journal: of the responses.
            progress: called with the number of steps as they are done.
            states: of the reference, where divergence from it is measured.
        """
        divergence, added = None, {}
        if states is not None:
            tokens = self._predict_tokens(plan.work, journal, states)
            if not states.own:
                divergence, added = summarise(tokens, states.reference), columns(tokens)
        if isinstance(plan.work, RollingPlan):
            items = score_pages(self._text_scorer, plan.work, journal, progress)
        elif isinstance(plan.work, PerplexityPlan):
            items = score_windows(self._text_scorer, plan.work, journal, progress)
        else:
            items = score_task(self.lm, *plan.work, journal, progress)
        return Scored(items.assign(**added), divergence)

    @property
    def _text_scorer(self) -> TextScorer:
        return TextScorer(self.lm.forward, self.lm.batch, self.lm.memory)

    def _predict_tokens(
        self, work: tuple[LoadedTask, Plan] | PerplexityPlan, journal: Journal, kept: KeptStates
    ) -> list[TokenScores]:
        """The scores of all tokens of a text's windows, or of the right answers to a task's items."""
        lm = self.lm
        forward, tier = lm.forward, lm.tier
        if isinstance(work, PerplexityPlan):
            requests = [Score(window[:1], window[1:]) for window in work.windows]
            forward, tier, offset = Forward(self.loaded.model, "plain"), "plain", len(requests)
        else:
            requests = right_answers(*work, lm.encoder, context_window(self.loaded.model.config))
            offset = len(work[1].requests)
        states = States(kept.path, requests)
        if not kept.own and not states.complete:
            raise InputError(
                f"its divergence from {kept.reference} cannot be measured: the states of {kept.reference} are not "
                f"in {kept.path.parent}. Run the suite without --only, so that it is scored first."
            )
        scoring = TokenPass(
            forward,
            tier,
            lm.batch,
            lm.memory,
            keep=states if kept.own else None,
            against=None if kept.own else states,
        )
        tokens = scoring.run(requests, journal, offset)
        if kept.own:
            states.finish()
        if isinstance(work, PerplexityPlan):
            losses = [float(score.nll.mean(dtype=np.float64)) for score in tokens]
            journal.append(range(len(losses)), losses)
        return tokens

    def scores(self, plan: TaskPlan, items: pd.DataFrame) -> dict[str, float]:
        """The scores of a plan's items, by metric."""
        return (
            perplexity_scores(items)
            if isinstance(plan.work, PerplexityPlan)
            else mean_scores(plan.task, items)
        )
