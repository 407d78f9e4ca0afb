"""One task of the catalog, loaded, rendered whole and checked: what `kick tasks check` does with each."""

from collections.abc import Sequence
from pathlib import Path

from kick.checkpoints import read_config, read_tokenizer
from kick.engines.torch.window import context_window
from kick.harness.checks import TaskCheck, check_task, rendered
from kick.harness.encoding import Encoder
from kick.harness.plan import make_plan, render
from kick.harness.tasks import load_tasks
from kick.suite.catalog import Catalog

SEED = 1234  # of lm-eval's few-shot sampler, as suites have it where they name none


def inspect(
    name: str,
    catalog: Catalog,
    *,
    include: Sequence[Path] = (),
    data_root: Path | None = None,
    model: Path | None = None,
) -> TaskCheck:
    """Check every item of a task.

    Args:
        name: of the task.
        catalog: where it is declared.
        include: the folders of the catalog beside the packaged one.
        data_root: a local mirror of the data; the hub if left out.
        model: the folder of a checkpoint, whose tokenizer and window decide which items fit; without one that is not
            checked.

    Raises:
        InputError: the data are not there, no item fits the window, or the task cannot be rendered without a tokenizer.
    """
    loaded = load_tasks([name], catalog, include=include, data_root=data_root, tokenizer=model)[0]
    task = render(loaded, limit=None, seed=SEED)
    items = rendered(loaded, task.instances, task.doc_ids)
    if model is None:
        return check_task(loaded, items)
    plan = make_plan(task, Encoder(read_tokenizer(model)), window=context_window(read_config(model)))
    return check_task(loaded, items, plan.skipped)
