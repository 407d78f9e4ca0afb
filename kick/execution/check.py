"""The shortest way from two models to a verdict: score block after block until the answer is known.

Every task is scored in blocks of growing size, by the reference and all candidates, the least decided task first. After
each block `kick.gating.sequential` judges all that was scored; its evidence holds at every look, so the check stops as
soon as the verdict is known. All is kept in an ordinary results folder, from which the same command goes on.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kick.checkpoints import fingerprint
from kick.compression import read_samples
from kick.engines.torch.memory import Memory
from kick.errors import InputError
from kick.execution.budget import Budget
from kick.execution.check_session import FIRST_BLOCK, CheckResult, Look, Session
from kick.execution.check_tasks import BASE_TASKS, default_tasks
from kick.execution.jobs import RunContext
from kick.execution.runner import GENERATED_ROWS, default_cache, device_name
from kick.gating import Policy
from kick.gating.sequential import refuse_unsupported
from kick.harness.suite_tasks import SuiteTasks
from kick.progress import Reporter
from kick.store import Store
from kick.suite import Suite
from kick.types import BatchSize


def check(
    dense: str | Path,
    candidates: Sequence[str | Path] | str | Path,
    *,
    tasks: Sequence[str] = (),
    engine: str | None = None,
    chat: str | None = "auto",
    system: str | None = None,
    policy: Policy | str | Path = "regression",
    budget: str | None = None,
    results: Path | str | None = None,
    data_root: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
    batch_tokens: int = 8192,
    reporter: Reporter | None = None,
    watch: Callable[[Look], object] | None = None,
) -> CheckResult:
    """Say whether compressed models may replace a dense one, from as few items as that takes.

    Args:
        dense: the dense model, as a suite takes it: a folder, a .gguf file, or owner/name@revision.
        candidates: the compressed models, likewise.
        tasks: names of tasks and groups (default: those that the policy names, else one per family, for a base or an
            instruct model: `kick.execution.check_tasks`).
        engine: what computes: `torch` (the default), `llama-cpp`, `openai`, or a package's own engine.
        chat: `auto` asks by the dense model's chat template where answers are generated, if it has one; `on`, `off`.
        system: the system message of conversations.
        policy: a `Policy`, a policy file, or the name of a packaged policy.
        budget: the most to spend now: `10m`, `2h`, `2000 items` (default: whatever it takes).
        results: the results folder (default: results/<dense>-vs-<candidates>). A check goes on from what it holds.
        data_root: a local mirror of the data sets (default: the hub).
        cache: where converted checkpoints are kept.
        device: `cpu`, `cuda`, or `auto`.
        batch_tokens: padded tokens of a batch.
        reporter: where messages go (default: stderr).
        watch: called before and after each block, and at the end.

    Raises:
        InputError: a model, a task, the policy or the budget is not valid, or another run scores into the folder.
    """
    spending = Budget.parse(budget)
    policy_option = [] if policy == "regression" or isinstance(policy, Policy) else ["--policy", str(policy)]
    policy = policy if isinstance(policy, Policy) else Policy.read(policy)
    refuse_unsupported(policy)
    models = [candidates] if isinstance(candidates, str | Path) else list(candidates)
    if not models:
        raise InputError(
            "there is no candidate to check. Give the dense model and one or more compressed ones."
        )
    names = tuple(tasks) or tuple(policy.tasks)
    asked = Suite.ad_hoc(str(dense), [*map(str, models)], names or BASE_TASKS, FIRST_BLOCK, engine)
    suite = _suite(asked.with_chat(chat, system), policy, named=bool(names))
    reporter = reporter or Reporter()
    root = Path(results) if results is not None else Path("results") / suite.name
    with _held_folder(root, suite) as store:
        context = RunContext(
            suite=suite,
            tasks=SuiteTasks(suite, [], []),
            store=store,
            cache=cache or default_cache(),
            device=device_name(device),
            reporter=reporter,
            fingerprint=functools.cache(fingerprint),
            read_samples=functools.cache(functools.partial(read_samples, data_root=data_root)),
            keep=None,
            memory=Memory(),
        )
        session = Session(
            context, policy, spending, BatchSize(tokens=batch_tokens, rows=GENERATED_ROWS), watch
        )
        session.run(data_root)
        again = ["kick", "check", str(dense), *map(str, models), "--results", str(root)]
        again += ["--tasks", ",".join(tasks)] if tasks else []
        again += ["--engine", engine] if engine else []
        again += ["--chat", chat] if chat not in (None, "auto") else []
        again += ["--system", system] if system else []
        again += policy_option
        again += ["--data-root", str(data_root)] if data_root else []
        return session.result(again)


def _suite(suite: Suite, policy: Policy, *, named: bool) -> Suite:
    """Return the suite of a check: the default tasks where none are named, without those that the policy ignores."""
    if not named:
        suite = suite.model_copy(update={"tasks": default_tasks(suite.checkpoint(suite.reference))})
    kept = tuple(name for name in suite.tasks if name not in policy.ignore)
    if not kept:
        raise InputError(f"policy '{policy.name}' ignores every task that would be scored.")
    # A rule for a task that is not scored could not be evaluated.
    strangers = [name for name in policy.tasks if name not in kept]
    if strangers:
        raise InputError(
            f"policy '{policy.name}' has a rule for {strangers[0]}, which is not scored. Add it to --tasks."
        )
    ignored = tuple(name for name in policy.ignore if name in suite.tasks)
    if ignored:
        suite = suite.model_copy(update={"tasks": kept})
    return suite.model_copy(update={"noise_floor": False})


@contextlib.contextmanager
def _held_folder(root: Path, suite: Suite) -> Iterator[Store]:
    """Hold all checkpoints of a results folder against other runs, and write the suite into it.

    Raises:
        InputError: another run or check scores into the folder, or it holds the results of other models.
    """
    store = Store(root) if (root / "suite.yaml").is_file() else Store.create(root, suite.dump())
    with contextlib.ExitStack() as locks:
        for checkpoint in suite.checkpoints:
            locks.enter_context(store.lock(checkpoint.id))
        known = {checkpoint.id for checkpoint in suite.checkpoints}
        strangers = [
            record.checkpoint.id for record in store.checkpoints() if record.checkpoint.id not in known
        ]
        if strangers:
            raise InputError(
                f"{root} holds results of other models ({', '.join(strangers)}). Give another --results folder."
            )
        yield store
