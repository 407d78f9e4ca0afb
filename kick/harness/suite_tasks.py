"""The tasks and texts of a suite: data loaded once, items rendered once, work planned once per tokenizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from kick.checkpoints import resolve
from kick.data.corpora import Corpus, load_corpus
from kick.engines.torch.window import context_window
from kick.harness.chat import ChatFormat, ChatRenderer, chat_format, in_chat
from kick.harness.checks import check_task, rendered, stop_if_unfit
from kick.harness.encoding import Encoder
from kick.harness.entailment import EntailmentModel, with_entailment
from kick.harness.floors import floors_of, has_floors
from kick.harness.perplexity import plan_windows
from kick.harness.plan import Plan, RenderedTask, make_plan, render
from kick.harness.scoring import TaskWork
from kick.harness.tasks import LoadedTask, load_tasks
from kick.harness.word_perplexity import plan_pages
from kick.harness.work import Work
from kick.suite import Suite
from kick.suite.catalog import Catalog
from kick.suite.model_refs import parse_folder
from kick.types import Floors


@dataclass(frozen=True)
class CheckedTask:
    """The rendered items of a task that passed its checks, and what these say about the data."""

    rendered: RenderedTask
    notes: tuple[str, ...]


@dataclass
class SuiteTasks:
    """The tasks and texts of a suite, with their data in memory."""

    suite: Suite
    tasks: list[LoadedTask]
    corpora: list[Corpus]
    chat: ChatFormat | None = None
    """How the tasks of `in_chat` are asked; None: every prompt is as its task writes it."""

    _work: dict[tuple[str, int | None], dict[str, Work]] = field(default_factory=dict)
    _floors: dict[tuple[str, tuple[int, ...]], Floors] = field(default_factory=dict)

    @classmethod
    def load(
        cls, suite: Suite, names: Sequence[str], catalog: Catalog, data_root: Path | None, tokenizer: Path
    ) -> "SuiteTasks":
        """Load the data of some tasks of a suite.

        Args:
            suite: the suite.
            names: the names of tasks and texts.
            catalog: where tasks are declared.
            data_root: a local mirror of the data; the hub if None.
            tokenizer: the folder of the reference's tokenizer.

        Raises:
            InputError: data are missing, or the model that the suite names under `nli` is not one.
        """
        tasks = [name for name in names if name in suite.tasks]
        include = [Path(path) for path in suite.include_path]
        datasets = suite.perplexity.datasets if suite.perplexity else ()
        loaded = load_tasks(tasks, catalog, include=include, data_root=data_root, tokenizer=tokenizer)
        if suite.nli is not None:
            model = EntailmentModel.read(resolve(parse_folder(suite.nli, "nli")))
            loaded = [with_entailment(task, model) for task in loaded]
        return cls(
            suite,
            loaded,
            [load_corpus(name, data_root) for name in datasets if f"perplexity_{name}" in names],
            chat_format(suite, tokenizer),
        )

    @property
    def in_chat(self) -> tuple[str, ...]:
        """The names of the tasks that are asked as conversations."""
        return tuple(task.info.name for task in self.tasks if self.chat and in_chat(task, self.suite))

    def work(
        self,
        tokenizer_fingerprint: str,
        config: PretrainedConfig,
        tokenizer: Callable[[], PreTrainedTokenizerBase],
    ) -> dict[str, Work]:
        """Return the work of every cell for a tokenizer, by task name; planned once for checkpoints that share it.

        Args:
            tokenizer_fingerprint: equal for tokenizers that encode alike.
            config: the config of a checkpoint, which states its window.
            tokenizer: loads the tokenizer.

        Raises:
            InputError: the prompts of a task would make its scores wrong (`kick.harness.checks`).
        """
        window = context_window(config)
        key = (tokenizer_fingerprint, window)
        if key not in self._work:
            self._work[key] = self._plan(tokenizer(), window)
        return self._work[key]

    @cached_property
    def _checked(self) -> list[CheckedTask]:
        return [self._check(loaded) for loaded in self.tasks]

    def _check(self, loaded: LoadedTask) -> CheckedTask:
        task = render(loaded, self.suite.limit, self.suite.seed)
        check = check_task(loaded, rendered(loaded, task.instances, task.doc_ids))
        stop_if_unfit(check)
        return CheckedTask(task, check.notes)

    def _plan(self, tokenizer: PreTrainedTokenizerBase, window: int | None) -> dict[str, Work]:
        planned: list[Work] = []
        if self.tasks:
            encoder = Encoder(tokenizer)
            for checked in self._checked:
                asked = self._asked(checked, tokenizer)
                plan = make_plan(asked.rendered, encoder, window=window)
                loaded = asked.rendered.loaded
                floors = self._floors_of(loaded, plan)
                thinking = asked.rendered.chat.thinking if asked.rendered.chat else None
                planned.append(
                    TaskWork(loaded, plan, encoder, window, asked.notes, floors, thinking=thinking)
                )
        for corpus in self.corpora:
            settings = self.suite.perplexity
            assert settings is not None
            plan_text = plan_pages if corpus.pages else plan_windows
            planned.append(
                plan_text(
                    corpus,
                    tokenizer,
                    window=settings.window,
                    windows=settings.windows,
                    fits=window,
                    seed=self.suite.seed,
                )
            )
        return {work.task.name: work for work in planned}

    def _asked(self, checked: CheckedTask, tokenizer: PreTrainedTokenizerBase) -> CheckedTask:
        """Return a task as it is asked: as it was checked, or with its prompts as conversations."""
        loaded = checked.rendered.loaded
        if self.chat is None or loaded.info.name not in self.in_chat:
            return checked
        renderer = ChatRenderer(self.chat, tokenizer)
        task = render(loaded, self.suite.limit, self.suite.seed, renderer)
        notes = [self.chat.in_words()]
        if renderer.folded:
            notes.append("the template takes no system message: it is in front of the user's first one")
        return CheckedTask(task, (*checked.notes, *notes))

    def _floors_of(self, loaded: LoadedTask, plan: Plan) -> Floors | None:
        """Return the floors over the planned items; scored once for plans of the same items."""
        if not has_floors(loaded):
            return None
        key = (loaded.info.name, plan.doc_ids)
        if key not in self._floors:
            self._floors[key] = floors_of(loaded, [item.instances[0].doc for item in plan.items])
        return self._floors[key]
